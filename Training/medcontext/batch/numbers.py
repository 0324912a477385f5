"""The numbers of a case that enter the ledger."""

from __future__ import annotations

import numpy as np

from medcontext.batch.case import BatchCase
from medcontext.errors import MedContextError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.inference.predictor import Prediction
from medcontext.io import read_labelmap
from medcontext.labels import IGNORE, LabelSet
from medcontext.resample import resample_to_grid
from medcontext.voxel_counts import voxel_counts


def voxels(labelmap: Volume, labels: LabelSet) -> dict[str, int]:
    """Voxels of each label of a labelmap."""
    counts = voxel_counts(labelmap.array)
    return {label.name: int(counts[label.value]) for label in labels}


def mean_certainty(prediction: Prediction) -> float | None:
    """Mean certainty, 0 to 1, over the voxels of the structures found (over all where none was); None unknown."""
    if prediction.certainty is None:
        return None
    found, sure = prediction.labelmap.array > 0, prediction.certainty.array
    inside = sure[found] if found.any() else sure
    return round(float(inside.mean(dtype=np.float64)) / 255, 4)


def dice(labelmap: Volume, reference: Volume, labels: LabelSet) -> dict[str, float | None]:
    """Dice of each label where the reference is annotated; None where neither has it.

    Args:
        labelmap, reference: uint8 on the same grid; 255 in the reference was not annotated.
    """
    known = reference.array != IGNORE
    pairs = np.bincount(
        labelmap.array[known].astype(np.int64) * 256 + reference.array[known], minlength=1 << 16
    ).reshape(256, 256)
    sizes = {label: int(pairs[label.value].sum() + pairs[:, label.value].sum()) for label in labels}
    return {
        label.name: round(2 * int(pairs[label.value, label.value]) / size, 4) if size else None
        for label, size in sizes.items()
    }


def scores(
    case: BatchCase, labelmap: Volume, native: Geometry | None, labels: LabelSet, reporter: Reporter
) -> dict[str, dict[str, float | None]]:
    """Dice against the reference of a case; one that cannot be used costs the case nothing but its Dice.

    Args:
        native: the planes of the series where ``labelmap`` lies on another grid.
    """
    if case.reference is None:
        return {}
    if native is not None:  # people paint on the planes as they were acquired
        labelmap = resample_to_grid(labelmap, native, order=0)
    try:
        return {"dice": dice(labelmap, read_labelmap(case.reference, labelmap.geometry), labels)}
    except MedContextError as error:
        reporter.warning(f"No Dice: {error.message}")
        return {}
