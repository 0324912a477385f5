"""Dice, HD95 and surface Dice of one case, per label, in millimetres on the grid of the reference.

The rule for empty masks, used everywhere:

======================  ====  ============  =======  ===============================================
label is in             Dice  surface Dice  HD95     status
======================  ====  ============  =======  ===============================================
both                    as computed         mm       ``scored``
reference only          0     0             null     ``missed``
prediction only         0     0             null     ``invented``
neither                 null  null          null     ``absent``: enters no mean
======================  ====  ============  =======  ===============================================

Null enters no mean; the counts of each status stand beside every mean. So a missed organ costs Dice and
surface Dice, and cannot improve HD95 unnoticed. Voxels that are 255 (not annotated) in the reference are
looked at in neither image. A mask that touches only unannotated voxels has no surface; without any surface
HD95 and surface Dice are null, with one only HD95 is null and surface Dice 0.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.labels import IGNORE, Label, LabelSet
from medcontext.metrics.surfaces import Box, surface_distances, union_box, value_boxes

Status = Literal["scored", "missed", "invented", "absent"]


@dataclass(frozen=True)
class LabelScore:
    """One label of one case; None is null in the sense of the rule for empty masks."""

    case: str
    label: str
    value: int
    status: Status
    dice: float | None
    hd95_mm: float | None
    surface_dice: float | None
    tolerance_mm: float
    reference_voxels: int
    prediction_voxels: int
    reference_ml: float
    prediction_ml: float


def score_case(
    prediction: Volume,
    reference: Volume,
    labels: LabelSet,
    tolerance_mm: float = 1.0,
    *,
    case: str = "",
    annotated: Collection[int] | None = None,
) -> list[LabelScore]:
    """Compare two labelmaps, label by label.

    HD95 is the larger of the two directed 95th percentiles; surface Dice is the share of both surfaces'
    voxels that lie within ``tolerance_mm`` of the other surface. Both are what MONAI computes, which however
    knows neither unannotated voxels nor sheared grids and measures the distances once for each of the two.

    Args:
        prediction: labelmap ``(1, K, J, I)``.
        reference: labelmap on the same grid; 255 where nobody annotated.
        labels: the labels to score.
        tolerance_mm: distance that still counts as agreement.
        case: name of the case in the rows.
        annotated: label values that the reference knows; others are not scored. None means all.

    Raises:
        InputError: the grids differ, an image is no labelmap, a value has no label, or the tolerance is
            negative.
    """
    if not tolerance_mm >= 0:
        raise InputError(f"The tolerance must be 0 mm or more, not {tolerance_mm}.")
    check_same_grid(prediction, reference)
    predicted, truth = label_array(prediction, "prediction"), label_array(reference, "reference")
    boxes = value_boxes(predicted), value_boxes(truth)
    unknown = set(boxes[0]) - set(labels.values)
    _check_known("prediction", {v for v in unknown if _counts(v, boxes[0][v], predicted, truth)}, labels)
    _check_known("reference", set(boxes[1]) - set(labels.values) - {IGNORE}, labels)
    rows = []
    for label in labels:
        if annotated is not None and label.value not in annotated:
            continue
        box = union_box(boxes[0].get(label.value), boxes[1].get(label.value), reference.shape)
        rows.append(_score(predicted, truth, label, box, reference.geometry, tolerance_mm, case))
    return rows


def check_same_grid(prediction: Volume, reference: Volume) -> None:
    """Raise :class:`InputError`, naming both grids, when the two images do not lie on the same one."""
    if not prediction.geometry.same_grid(reference.geometry):
        raise InputError(
            f"The prediction ({_grid(prediction.geometry)}) and the reference ({_grid(reference.geometry)}) "
            "do not lie on the same grid.",
            "Compare them on the grid of the original image.",
        )


def label_array(labelmap: Volume, name: str) -> np.ndarray:
    """The ``(K, J, I)`` values of a labelmap.

    Raises:
        InputError: it is not one channel of uint8.
    """
    if labelmap.channels != 1 or labelmap.array.dtype != np.uint8:
        raise InputError(
            f"The {name} must be a labelmap (one channel of uint8), "
            f"not {labelmap.channels} channel(s) of {labelmap.array.dtype}."
        )
    return labelmap.array[0]


def _score(
    predicted: np.ndarray,
    truth: np.ndarray,
    label: Label,
    box: Box | None,
    geometry: Geometry,
    tolerance_mm: float,
    case: str,
) -> LabelScore:
    where = box or (slice(0, 0),) * 3
    ignored = truth[where] == IGNORE
    ours, theirs = (predicted[where] == label.value) & ~ignored, truth[where] == label.value
    counts = int(np.count_nonzero(theirs)), int(np.count_nonzero(ours))
    status = _status(*counts)
    dice: float | None = None if status == "absent" else 0.0
    hd95: float | None = None
    surface: float | None = dice
    if status == "scored":
        dice = 2 * int(np.count_nonzero(ours & theirs)) / sum(counts)
        hd95, surface = _surface_scores(*surface_distances(ours, theirs, ignored, geometry), tolerance_mm)
    volumes = counts[0] * geometry.voxel_ml, counts[1] * geometry.voxel_ml
    return LabelScore(
        case, label.name, label.value, status, dice, hd95, surface, tolerance_mm, *counts, *volumes
    )


def _status(reference_voxels: int, prediction_voxels: int) -> Status:
    if reference_voxels and prediction_voxels:
        return "scored"
    if reference_voxels:
        return "missed"
    return "invented" if prediction_voxels else "absent"


def _surface_scores(
    there: np.ndarray, back: np.ndarray, tolerance_mm: float
) -> tuple[float | None, float | None]:
    total = len(there) + len(back)
    if not total:
        return None, None
    # Positions in mm are sums of products: a distance that is the tolerance on paper may exceed it by 1e-14.
    near = tolerance_mm + 1e-6
    surface = float((there <= near).sum() + (back <= near).sum()) / total
    if not len(there) or not len(back):
        return None, surface
    return float(max(np.percentile(there, 95), np.percentile(back, 95))), surface


def _counts(value: int, box: Box, predicted: np.ndarray, truth: np.ndarray) -> bool:
    """Whether a predicted value also occurs where the reference is annotated."""
    return bool(((predicted[box] == value) & (truth[box] != IGNORE)).any())


def _check_known(name: str, unknown: set[int], labels: LabelSet) -> None:
    if unknown:
        known = ", ".join(f"{label.value} {label.name}" for label in labels)
        raise InputError(
            f"The {name} holds values that no label has: {sorted(unknown)} (labels: {known}).",
            "Use the labels that the labelmap was made with.",
        )


def _grid(geometry: Geometry) -> str:
    k, j, i = geometry.shape
    spacing = " x ".join(f"{size:.4g}" for size in reversed(geometry.spacing))
    origin = ", ".join(f"{value:.5g}" for value in geometry.origin)
    return f"{i} x {j} x {k} voxels of {spacing} mm, {geometry.orientation}, first voxel at LPS {origin}"
