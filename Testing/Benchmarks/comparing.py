"""Two programs on the same test cases: how many voxels agree, and the Dice of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from record import REPOSITORY

from medcontext.api import read_labelmap

SAMPLE = REPOSITORY / "Training/medcontext/resources/samples/hippocampus"


def test_cases(data: Path) -> list[tuple[Path, Path]]:
    """Image and labels of the 50 hippocampus test cases, or of the bundled ones where the data are not there."""
    folder = data / "hippocampus"
    if folder.exists():
        names = json.loads((folder / "splits.json").read_text())["test"]
        return [(folder / f"images/{n}.nii.gz", folder / f"labels/{n}.nii.gz") for n in names]
    images = [SAMPLE / entry["image"] for entry in json.loads((SAMPLE / "dataset.json").read_text())["test"]]
    return [(image, SAMPLE / "labels" / image.name) for image in images]


def agreement(theirs: Mapping[str, Path], ours: Mapping[str, Path]) -> dict[str, float]:
    """Share of voxels with the same label, over all cases and in the worst one, and the Dice of the foreground."""
    pairs = [(labels_of(theirs[name]), labels_of(ours[name])) for name in theirs]
    equal = [int((a == b).sum()) for a, b in pairs]
    return {
        "voxels_equal": round(sum(equal) / sum(a.size for a, _ in pairs), 6),
        "voxels_equal_in_the_worst_case": round(
            min(n / a.size for n, (a, _) in zip(equal, pairs, strict=True)), 6
        ),
        "share_of_foreground": round(
            sum(int((a > 0).sum()) for a, _ in pairs) / sum(a.size for a, _ in pairs), 4
        ),
        "foreground_dice": round(float(np.mean([dice(a > 0, b > 0) for a, b in pairs])), 6),
    }


def mean_dice(found: Mapping[str, Path], truths: Mapping[str, Path]) -> dict[str, float]:
    """Mean Dice of each label over the cases."""
    pairs = [(labels_of(found[name]), labels_of(truths[name])) for name in truths]
    values = sorted({int(value) for _, truth in pairs for value in np.unique(truth) if value})
    return {str(v): round(float(np.mean([dice(a == v, b == v) for a, b in pairs])), 4) for v in values}


def labels_of(path: Path) -> np.ndarray:
    """The labels of a file, ``(K, J, I)``."""
    return read_labelmap(path).array[0]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice of two masks; 1 where both are empty."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0
