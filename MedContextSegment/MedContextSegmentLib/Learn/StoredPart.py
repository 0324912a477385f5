"""What of a case was finished in its store, kept with the segmentation that shows the case.

With it goes what each slice looked like, so that what a person painted since can be told from what was there.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medcontext.case_list import CaseSummary
from MedContextSegmentLib.Scene.OrientedImage import boundsOf
from MedContextSegmentLib.Scene.PaintedSlices import AXES, paintedSlices
from MedContextSegmentLib.Scene.Provenance import tagOf

PART = "MedContextStore.Part"
"""Attribute of a segmentation node: a :class:`StoredPart` as JSON."""

VALUE = "MedContextStore.Value"
"""Tag of a segment: its value in the label file."""

NEW_VALUE = 255
"""Stands for segments that are not in the label file, where they are compared with it."""

TOLERANCE = 0.02
"""Voxels by which two grids that are the same may differ."""


@dataclass(frozen=True)
class StoredPart:
    """A case as it was when it was opened, on the voxels of its volume in the scene.

    Attributes:
        case: its id.
        axis: "k", "j" or "i" along which ``slices`` count; "" where no slices were finished.
        slices: indices of the finished slices, from 0.
        inStore: the same slices as the store counted them.
        digests: of what each slice that is not empty looked like.
    """

    case: str
    axis: str = ""
    slices: tuple[int, ...] = ()
    inStore: tuple[int, ...] = ()
    digests: Mapping[int, int] | None = None


@dataclass(frozen=True)
class Turn:
    """How an array ``(K, J, I)`` has to be turned to lie as another one does.

    Attributes:
        order: for each axis of the result the axis of the array that it is.
        flips: for each axis of the result whether it counts backwards.
    """

    order: tuple[int, ...]
    flips: tuple[bool, ...]

    def applied(self, array: np.ndarray) -> np.ndarray:
        """A view of the array that lies as the other one."""
        steps = tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)
        turned: np.ndarray = array.transpose(self.order)[steps]
        return turned

    def slices(
        self, axis: str, indices: Iterable[int], shape: tuple[int, ...]
    ) -> tuple[str, tuple[int, ...]]:
        """Slices of an array of that shape as axis and indices of the result."""
        source = AXES.index(axis)
        place = self.order.index(source)
        last = shape[source] - 1
        found = sorted(last - index if self.flips[place] else index for index in indices)
        return AXES[place], tuple(found)


def turnBetween(grid: np.ndarray, wanted: np.ndarray, shape: tuple[int, ...]) -> Turn | None:
    """How an array has to be turned to lie on another grid; None where that has other voxels.

    Args:
        grid: ``(4, 4)`` from ``(i, j, k, 1)`` of the array to mm.
        wanted: the same of the other grid.
        shape: of the array.
    """
    step = np.linalg.inv(wanted) @ grid
    turned = np.round(step[:3, :3])
    single = (np.abs(turned).sum(axis=0) == 1).all() and (np.abs(turned).sum(axis=1) == 1).all()
    sizes = np.array(shape[::-1])
    if not single or (np.abs(step[:3, :3] - turned) @ sizes > TOLERANCE).any():
        return None
    sources = np.abs(turned).argmax(axis=1)  # by i, j, k
    backwards = turned[range(3), sources] < 0
    first = np.where(backwards, sizes[sources] - 1, 0)
    if (np.abs(step[:3, 3] - first) > TOLERANCE).any():
        return None
    return Turn(tuple(int(2 - n) for n in sources[::-1]), tuple(bool(flip) for flip in backwards[::-1]))


def keepPart(
    node: Any, case: CaseSummary, labelmap: np.ndarray, turn: Turn | None, shape: tuple[int, ...]
) -> None:
    """Keep with a segmentation node what was finished.

    Args:
        node: ``vtkMRMLSegmentationNode``.
        case: the case that it shows.
        labelmap: uint8 ``(K, J, I)`` of the segments, on the voxels of the volume.
        turn: how the label file lies on the volume; None where that has other voxels.
        shape: of the label file.
    """
    facts: dict[str, Any] = {"case": case.id}
    if case.region == "slices" and turn is not None:
        axis, slices = turn.slices(case.axis, case.slices, shape)
        painted = paintedSlices(labelmap, boundsOf(labelmap)).along(axis)
        digests = {index: _digest(labelmap, axis, index) for index in painted}
        facts |= {"axis": axis, "slices": slices, "inStore": case.slices, "digests": digests}
    node.SetAttribute(PART, json.dumps(facts))


def storedPart(node: Any) -> StoredPart | None:
    """What :func:`keepPart` kept; None for a segmentation that shows no case."""
    try:
        facts = json.loads(node.GetAttribute(PART) or "null")
        if not isinstance(facts, dict) or facts.get("axis", "") not in ("", *AXES):
            return None
        digests = {int(index): int(value) for index, value in facts.get("digests", {}).items()}
        slices, inStore = (
            tuple(int(index) for index in facts.get(name, ())) for name in ("slices", "inStore")
        )
        return StoredPart(str(facts["case"]), facts.get("axis", ""), slices, inStore, digests)
    except (AttributeError, KeyError, TypeError, ValueError):  # a scene that somebody edited
        return None


def storedValue(segmentation: Any, segmentId: str) -> int | None:
    """The value that a segment has in the label file; None for one that a person added."""
    segment = segmentation.GetSegmentation().GetSegment(segmentId)
    text = tagOf(segment, VALUE) if segment is not None else ""
    return int(text) if text.isdigit() and 0 < int(text) < NEW_VALUE else None


def changedSlices(
    part: StoredPart, labelmap: np.ndarray, values: Mapping[int, int], painted: Iterable[int]
) -> Generator[None, None, tuple[int, ...]]:
    """The slices that are painted now and looked otherwise when the case was opened, one slice at a time.

    Args:
        part: what was kept then.
        labelmap: uint8 ``(K, J, I)``: segments as they are now.
        values: what the values of the labelmap are in the label file.
        painted: the slices of it along the axis of the part that are not empty.
    """
    table = np.zeros(256, np.uint8)
    for own, stored in values.items():
        table[own] = stored
    changed = []
    for index in painted:
        if _digest(labelmap, part.axis, index, table) != (part.digests or {}).get(index):
            changed.append(index)
        yield
    return tuple(changed)


def _digest(labelmap: np.ndarray, axis: str, index: int, table: np.ndarray | None = None) -> int:
    plane = np.take(labelmap, index, axis=AXES.index(axis))
    return zlib.crc32((plane if table is None else table[plane]).tobytes())
