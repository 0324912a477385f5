"""Quick scores during training, on the preprocessed grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from medcontext.data.preprocess import PreparedCase
from medcontext.events import Reporter
from medcontext.inference.postprocess import keep_largest_component
from medcontext.inference.quick import predict_classes
from medcontext.labels import IGNORE
from medcontext.plan import Plan

OVERLAP = 0.5
"""Overlap of the windows."""
LEAST_GAIN = 1e-4
"""Mean Dice that keeping the largest piece must add to be worth switching on."""


def validate(
    network: nn.Module,
    cases: Sequence[PreparedCase],
    plan: Plan,
    precision: str,
    show: Callable[[np.ndarray], None] | None = None,
    reporter: Reporter | None = None,
) -> dict[str, float]:
    """Mean Dice of each label over the cases that show it or claim it; 255 ignored.

    Args:
        network, cases, plan, precision: of the run.
        show: receives the class indices ``(K, J, I)`` of each case.
        reporter: asked between windows whether to stop.
    """
    names = [label.name for label in plan.label_set]
    scores: dict[str, list[float]] = {name: [] for name in names}
    for case in cases:
        predicted = _predict(network, case, plan, precision, reporter)
        if show is not None:
            show(predicted)
        for index, name in enumerate(names, start=1):
            if case.known[index] and (len(case.locations[index]) or (predicted == index).any()):
                scores[name].append(_dice(predicted, case, index))
    return {name: float(np.mean(values)) for name, values in scores.items() if values}


def missing_labels(
    network: nn.Module, cases: Sequence[PreparedCase], plan: Plan, precision: str
) -> list[str]:
    """Labels that are annotated in some case but predicted nowhere in one case that shows them most."""
    missing = []
    for index, label in enumerate(plan.label_set, start=1):
        shown = max(cases, key=lambda case, c=index: len(case.locations[c]))  # type: ignore[misc]
        if len(shown.locations[index]) and not (_predict(network, shown, plan, precision) == index).any():
            missing.append(label.name)
    return missing


def warn_of_missing_labels(
    network: nn.Module, cases: Sequence[PreparedCase], plan: Plan, precision: str, reporter: Reporter
) -> None:
    """Say which labels a network does not find in the cases that it learns from, a quarter into a run."""
    for name in missing_labels(network, cases, plan, precision):
        reporter.warning(
            f"After a quarter of the steps no voxel is labelled '{name}' in the training cases. "
            "The model may lose this label: raise the learning rate or add cases that show it."
        )


def helped_by_largest_component(network: nn.Module, cases: Sequence[PreparedCase], plan: Plan) -> list[int]:
    """Label values whose mean Dice over the held-out cases rises when only the largest piece is kept."""
    helped = []
    predictions = [_predict(network, case, plan, "fp32") for case in cases]
    for index, value in enumerate(plan.label_set.values, start=1):
        gains = []
        for case, predicted in zip(cases, predictions, strict=True):
            if not case.known[index]:
                continue
            cleaned = predicted.copy()
            keep_largest_component(cleaned, [index])
            gains.append(_dice(cleaned, case, index) - _dice(predicted, case, index))
        if gains and float(np.mean(gains)) > LEAST_GAIN:
            helped.append(value)
    return helped


def _dice(predicted: np.ndarray, case: PreparedCase, index: int) -> float:
    """Dice of one class over annotated voxels; 1 when neither has it."""
    labels = np.asarray(case.labels)
    a, b = (predicted == index) & (labels != IGNORE), labels == index
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum()) if a.any() or b.any() else 1.0


@torch.inference_mode()
def _predict(
    network: nn.Module, case: PreparedCase, plan: Plan, precision: str, reporter: Reporter | None = None
) -> np.ndarray:
    training = network.training
    network.eval()
    image = np.asarray(case.image, dtype=np.float32)
    result = predict_classes(
        network, image, plan.patch_size, overlap=OVERLAP, flips=(), precision=precision, reporter=reporter
    )
    network.train(training)
    return result
