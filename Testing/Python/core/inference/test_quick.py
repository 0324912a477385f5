"""Prediction during training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from medcontext.errors import CancelledError
from medcontext.events import Reporter
from medcontext.inference.quick import predict_classes


def test_the_strongest_class_of_each_voxel(bands) -> None:
    image = np.random.default_rng(0).normal(size=(1, 11, 9, 17)).astype(np.float32)
    classes = predict_classes(bands, image, (8, 8, 8))
    assert classes.dtype == np.uint8
    np.testing.assert_array_equal(classes, np.digitize(image[0], [-1.5, -0.5, 0.5, 1.5]))


def test_the_training_mode_is_put_back(threshold) -> None:
    threshold.train()
    predict_classes(threshold, torch.zeros(1, 4, 4, 4), (8, 8, 8))
    assert threshold.training


def test_dropout_is_off() -> None:
    network = nn.Sequential(nn.Conv3d(1, 3, 1), nn.Dropout(0.5)).train()
    image = np.ones((1, 6, 6, 6), np.float32)
    assert len(np.unique(predict_classes(network, image, (8, 8, 8)))) == 1


def test_it_stops_between_windows_when_asked(threshold) -> None:
    asked = iter([False, False, True])
    with pytest.raises(CancelledError):
        predict_classes(
            threshold, np.ones((1, 32, 8, 8)), (8, 8, 8), reporter=Reporter(cancelled=lambda: next(asked))
        )
    assert threshold.calls == 2
