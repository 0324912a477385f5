"""Quick scores during training, on the preprocessed grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from medcontext.data.preprocess import PreparedCase
from medcontext.inference.quick import predict_classes
from medcontext.labels import IGNORE
from medcontext.plan import Plan


def validate(network: nn.Module, cases: Sequence[PreparedCase], plan: Plan, precision: str) -> dict[str, float]:
    """Mean Dice of each label over the cases that show it or claim it; 255 ignored."""
    names = [label.name for label in plan.label_set]
    scores: dict[str, list[float]] = {name: [] for name in names}
    for case in cases:
        predicted, labels = _predict(network, case, plan, precision), np.asarray(case.labels)
        valid = labels != IGNORE
        for index, name in enumerate(names, start=1):
            a, b = (predicted == index) & valid, (labels == index) & valid
            if case.known[index] and (a.any() or b.any()):
                scores[name].append(2 * float((a & b).sum()) / float(a.sum() + b.sum()))
    return {name: float(np.mean(values)) for name, values in scores.items() if values}


def missing_labels(network: nn.Module, cases: Sequence[PreparedCase], plan: Plan, precision: str) -> list[str]:
    """Labels that are annotated in some case but predicted nowhere in one case that shows them most."""
    missing = []
    for index, label in enumerate(plan.label_set, start=1):
        shown = max(cases, key=lambda case, c=index: len(case.locations[c]))  # type: ignore[misc]
        if len(shown.locations[index]) and not (_predict(network, shown, plan, precision) == index).any():
            missing.append(label.name)
    return missing


@torch.inference_mode()
def _predict(network: nn.Module, case: PreparedCase, plan: Plan, precision: str) -> np.ndarray:
    training = network.training
    network.eval()
    image = np.asarray(case.image, dtype=np.float32)
    result = predict_classes(network, image, plan.patch_size, overlap=0.5, flips=(), precision=precision)
    network.train(training)
    return result
