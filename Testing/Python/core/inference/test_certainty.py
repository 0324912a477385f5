"""The certainty map: 255 where the model is sure."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medcontext.geometry import Geometry, Volume
from medcontext.inference import Predictor
from medcontext.inference.certainty import view_masks


def flat(value: float) -> Volume:
    return Volume(np.full((1, 8, 8, 8), value, np.float32), Geometry.from_spacing((8, 8, 8)))


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0), (30.0, 255), (-30.0, 255), (1.0, 41)])
def test_entropy_of_two_classes(make_card, threshold, cpu, value, expected) -> None:
    """Scores 0 and 1 are probabilities 0.269 and 0.731, entropy 0.84 bit: 1 - 0.84 is 41 of 255."""
    result = Predictor([threshold], make_card(), cpu).predict(flat(value), certainty="entropy")
    assert result.certainty.array.dtype == np.uint8
    assert set(np.unique(result.certainty.array)) == {expected}


def test_entropy_of_regions_is_that_of_the_least_sure_one(make_card, bands, cpu) -> None:
    card = make_card(5, activation="sigmoid")
    result = Predictor([bands], card, cpu).predict(flat(0.0), certainty="entropy")
    assert set(np.unique(result.certainty.array)) == {0}  # the third score is 0: probability one half


def test_every_voxel_is_hidden_equally_often() -> None:
    masks = np.stack(view_masks((40, 24, 20)))
    assert masks.shape == (5, 40, 24, 20)
    assert (masks.sum(0) == 2).all()
    np.testing.assert_array_equal(masks, np.stack(view_masks((40, 24, 20))))


def test_masked_views_that_still_agree_are_sure(make_card, threshold, cpu) -> None:
    """A score of 0 where hidden is no evidence: two of five views say 0.5, three say 1."""
    result = Predictor([threshold], make_card(patch=(16, 16, 16)), cpu).predict(
        flat(40.0), certainty="masked"
    )
    np.testing.assert_allclose(result.certainty.array / 255, 0.8, atol=0.003)
    np.testing.assert_array_equal(result.labelmap.array, 1)


def test_masked_certainty_does_not_change_labels(make_card, bands, cpu, noise) -> None:
    card = make_card(4, spacing=(1.2, 1.0, 0.8))
    image = noise((14, 15, 16))
    predictor = Predictor([bands], card, cpu, "fp32")
    plain, masked = predictor.predict(image), predictor.predict(image, certainty="masked")
    np.testing.assert_array_equal(masked.labelmap.array, plain.labelmap.array)
    assert masked.certainty.geometry.same_grid(image.geometry)


def test_a_masked_network_of_the_method_is_used_when_given(make_card, threshold, cpu) -> None:
    class Blind(torch.nn.Module):
        def forward(self, image: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
            assert mask.dtype == torch.bool
            assert mask.shape == (image.shape[0], *image.shape[2:])
            return [torch.cat([torch.full_like(image, 50.0), torch.zeros_like(image)], 1)]

    predictor = Predictor([threshold], make_card(), cpu, masked_network=Blind())
    assert not predictor.predict(flat(3.0), certainty="masked").certainty.array.any()
