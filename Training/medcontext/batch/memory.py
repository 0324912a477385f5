"""How much memory cases may take together: estimated from headers, stated before anything is read, and kept to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import SimpleITK as sitk

from medcontext.batch.case import BatchCase
from medcontext.batch.voice import size_in_words
from medcontext.card_schema import ModelCard
from medcontext.errors import InputError
from medcontext.io.dicom_folder import has_text_name

STAGES = 5
"""Cases that can be somewhere between the first byte read and the last one written: one is read, one computed, one
written, and one waits between each two of them."""

SHARE = 0.6
"""Of the free memory that cases may take; the rest is for the network, for libraries and for other programs."""

UNPACKED = 8
"""Times that an image is larger in memory than its file, where no header tells its size."""

LOOKED_AT = 16
"""Cases whose headers are read to state a plan."""

LEAST = 6
"""Bytes without which no voxel can be read: two as most scanners store it, and four as float32."""

_POLL_S = 0.2
_NOT_LOOKED_AT = (ArithmeticError, OSError, RuntimeError, ValueError)
"""What is wrong with a case whose header cannot be read is said when the case is."""


@dataclass(frozen=True)
class MemoryPlan:
    """What a run states before it begins.

    Attributes:
        budget: bytes that all cases in work may take together.
        case: bytes that the largest case looked at takes; larger ones than the budget do not count where others fit.
        at_once: cases in work at the same time at most.
    """

    budget: int
    case: int
    at_once: int

    @property
    def sentence(self) -> str:
        """For people."""
        cases = "1 case" if self.at_once == 1 else f"{self.at_once} cases"
        return (
            f"Memory: up to {cases} at once, together at most {size_in_words(self.budget)}; a case takes about "
            f"{size_in_words(self.case)}."
        )

    def to_json(self) -> dict[str, Any]:
        """As ``batch.json`` holds it."""
        return {"budget_bytes": self.budget, "case_bytes": self.case, "cases_at_once": self.at_once}


def plan_memory(
    cases: Sequence[BatchCase], card: ModelCard, free: int, limit_gb: float | None = None
) -> MemoryPlan:
    """Divide the memory that is there.

    Args:
        cases: what is to be done; some of them are looked at.
        card: the model.
        free: bytes of main memory that are free now.
        limit_gb: what the user allows, in GB.
    """
    budget = int(SHARE * free if limit_gb is None else limit_gb * 1e9)
    step = max(1, len(cases) // LOOKED_AT)
    sizes = [case_bytes(case, card) for case in cases[::step]]
    # One that does not fit is worked on alone anyway: it is no reason to work on all others one by one.
    largest = max((size for size in sizes if size <= budget), default=max(sizes, default=0))
    at_once = max(1, min(STAGES, budget // largest if largest else STAGES))
    return MemoryPlan(budget, largest, at_once)


def case_bytes(case: BatchCase, card: ModelCard) -> int:
    """Bytes that a case takes at most while it is read, computed and written, by its headers."""
    try:
        return _by_header(case, card)
    except _NOT_LOOKED_AT:
        return UNPACKED * _bytes_on_disk(case)


def check_room(case: BatchCase) -> None:
    """Refuse a case that no free memory would ever suffice for: the system would end the run in the middle of it.

    Raises:
        InputError: by its header its voxels alone take more than the main memory of this computer.
    """
    try:
        voxels, _ = _extent(case)
    except _NOT_LOOKED_AT:
        return
    needed, there = LEAST * voxels * len(case.paths), int(psutil.virtual_memory().total)
    if needed > there:
        raise InputError(
            f"By its header the image takes at least {size_in_words(needed)} of memory; this computer has "
            f"{size_in_words(there)}.",
            "Look whether the file is damaged; else crop it, or work on a computer with more memory.",
        )


def _by_header(case: BatchCase, card: ModelCard) -> int:
    voxels, cubic_mm = _extent(case)
    spacing, patch = card.input.spacing, card.input.patch_size
    channels = len(card.input.channels)
    scores = card.classes
    inside = int(cubic_mm / (spacing[0] * spacing[1] * spacing[2]))  # voxels on the model's grid
    side = max(1.0, inside ** (1 / 3))
    slab = 4 * scores * inside * min(1.0, max(patch) / side)
    # The image as float32 is kept for the thumbnail, and exists twice more while it is read and normalised; on the
    # model's grid it exists three times for a moment. Labels, certainty and what is packed take a few bytes a voxel.
    return int(voxels * (12 * channels + 8) + inside * 12 * channels + slab)


def _bytes_on_disk(case: BatchCase) -> int:
    """Bytes of the image files that can be looked at."""
    total = 0
    with suppress(OSError, ValueError):  # names too long for the system, folders that may not be read
        for file in case.image_files:
            total += file.stat().st_size
    return total


def _extent(case: BatchCase) -> tuple[int, float]:
    """Voxels of the first channel, and how many cubic millimetres they fill."""
    file = _first_file(case.image_files[0])
    if not has_text_name(file):
        raise ValueError("ITK ends the process when it is given such a name")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    reader.ReadImageInformation()
    size, spacing = reader.GetSize(), reader.GetSpacing()
    voxels, volume = 1, 1.0
    for count, width in zip(size[:3], spacing[:3], strict=True):
        voxels, volume = voxels * count, volume * count * width
    slices = max(1, len(case.series)) if case.is_dicom and size[2] == 1 else 1
    return voxels * slices, volume * slices


def _first_file(path: Path) -> Path:
    return next((file for file in sorted(path.iterdir()) if file.is_file()), path) if path.is_dir() else path


class MemoryGate:
    """Lets cases in as long as they fit together; one that never fits is let in alone.

    Args:
        plan: the budget and how many cases at once.
    """

    def __init__(self, plan: MemoryPlan) -> None:
        self._plan = plan
        self._inside: list[int] = []
        self._changed = threading.Condition()

    def enter(self, size: int, given_up: Callable[[], bool]) -> bool:
        """Wait until a case of ``size`` bytes fits; False where the run is given up before."""
        with self._changed:
            while not self._fits(size):
                if given_up():
                    return False
                self._changed.wait(_POLL_S)
            self._inside.append(size)
        return True

    def leave(self, size: int) -> None:
        """A case of ``size`` bytes is finished."""
        with self._changed:
            self._inside.remove(size)
            self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        if not self._inside:
            return True
        return len(self._inside) < self._plan.at_once and sum(self._inside) + size <= self._plan.budget
