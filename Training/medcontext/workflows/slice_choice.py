"""Which part of a volume a person means: one slice, a region, or both."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from medcontext.errors import InputError
from medcontext.geometry import Geometry, Triple, Volume
from medcontext.workflows.roi import Box
from medcontext.workflows.working_copy import MOST_VOXELS, is_plane

_TEXT = re.compile(r"\s*([a-z]+)\s*:\s*(\d+)\s*", re.IGNORECASE)
_ARRAY_AXES = ("k", "j", "i")
_PLANES = ("axial", "coronal", "sagittal")
_FORMS = (
    "k:40, j:40 or i:40 (slice 40 along that axis of the file, from 0), or axial:40, coronal:40, sagittal:40"
)


@dataclass(frozen=True)
class Plane:
    """One slice of an image.

    Attributes:
        axis: of the array (0..2), across which it lies.
        index: its number along it, from 0.
        word: that the person used for the axis; empty for its letter.
    """

    axis: int
    index: int
    word: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """What people call the axis: ``k``, ``j``, ``i``, or the word that was used."""
        return self.word or _ARRAY_AXES[self.axis]


def plane_of(text: str, geometry: Geometry) -> Plane:
    """The slice that a text such as ``k:40`` or ``axial:40`` names.

    Anatomical names stand for the axis of the file that comes closest; slices are counted as the file has them.

    Raises:
        InputError: the text has another form, or the image has no such slice.
    """
    match = _TEXT.fullmatch(text)
    name = match[1].lower() if match else ""
    if match is None or name not in (*_ARRAY_AXES, *_PLANES):
        raise InputError(f"'{text}' is no slice.", f"Allowed: {_FORMS}.")
    # An axis of the file, or the one that array axis 0, 1 or 2 of the image in LPS comes from.
    axes = _ARRAY_AXES if name in _ARRAY_AXES else _PLANES
    axis = axes.index(name) if axes is _ARRAY_AXES else geometry.reorientation("LPS")[0][axes.index(name)]
    return Plane(axis, int(match[2]), name)


def extent(shape: Triple, plane: Plane | None, box: Box | None, how: str) -> Box:
    """The index ranges of what is to be looked at.

    Args:
        shape: of the whole image.
        plane: the slice, or None.
        box: the region, or None; with a slice, the part of it inside counts.
        how: what to do where neither is given, for the hint.

    Raises:
        InputError: there is no such slice, the region is none of the image, the slice lies outside of the region, or
            neither is given of a volume that is too large to be looked at whole.
    """
    ranges = list(box or (slice(0, n) for n in shape))
    for letter, part, size in zip(_ARRAY_AXES, ranges, shape, strict=True):
        if not 0 <= part.start < part.stop <= size:
            raise InputError(
                f"The region has {letter} from {part.start} to {part.stop}, the image from 0 to {size}.",
                "Give a region inside of the image.",
            )
    if plane is not None:
        name, size, inside = plane.name, shape[plane.axis], ranges[plane.axis]
        if not 0 <= plane.index < size:
            raise InputError(
                f"There is no slice {name}:{plane.index}; the image has {name}:0 to {name}:{size - 1}.",
                "Choose one of these.",
            )
        if not inside.start <= plane.index < inside.stop:
            raise InputError(
                f"The slice {name}:{plane.index} lies outside of the region, which has {name}:{inside.start} to "
                f"{name}:{inside.stop - 1}.",
                "Choose a slice inside of the region, or leave the region out.",
            )
        ranges[plane.axis] = slice(plane.index, plane.index + 1)
    elif box is None and not is_plane(shape) and max(shape) > MOST_VOXELS:
        size_text = " x ".join(str(n) for n in shape)
        raise InputError(
            f"A whole volume of {size_text} voxels (k, j, i) is too large to be looked at at once.", how
        )
    return ranges[0], ranges[1], ranges[2]


def place_of(part: Box, shape: Triple, plane: Plane | None) -> str:
    """What people call a part of an image, such as ``axial 15`` or ``box k 2:34, j 32:74, i 40:80``.

    Args:
        part: its index ranges.
        shape: of the whole image.
        plane: the slice that was asked for, or None.

    Returns:
        The slice, the box, or both; empty for the whole image.
    """
    sides = [
        (axis, f"{letter} {side.start}:{side.stop}")
        for axis, (letter, side, size) in enumerate(zip(_ARRAY_AXES, part, shape, strict=True))
        if size > 1 and (plane is None or axis != plane.axis)
    ]
    cut_off = any(part[axis] != slice(0, shape[axis]) for axis, _ in sides)
    words = [] if plane is None else [f"{plane.name} {plane.index}"]
    if cut_off:
        words.append("box " + ", ".join(text for _, text in sides))
    return ", ".join(words)


def cut(image: Volume, box: Box) -> Volume:
    """The part of an image in index ranges; it shares the voxels with the image."""
    k, j, i = box
    shape = (k.stop - k.start, j.stop - j.start, i.stop - i.start)
    return image.crop((k.start, j.start, i.start), shape)
