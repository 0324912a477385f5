"""Cases from image files that are no DICOM, and what they may be called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from medcontext.batch.case import BatchCase
from medcontext.batch.identifiers import Names
from medcontext.batch.walk import Placed
from medcontext.io.names import case_id

_CHANNEL = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True)
class Named:
    """A case still without an id, and what it may be called.

    Attributes:
        names: what it may be called.
        case: the case; its id is empty.
        given: the id that a person gave in a manifest, or empty.
        place: where that stands, such as ``row 3``.
    """

    names: Names
    case: BatchCase
    given: str = ""
    place: str = ""


def image_cases(images: Sequence[Placed], channels: int) -> list[Named]:
    """Each image as a case; with several channels, files NAME_0000, NAME_0001, ... of one folder are one."""
    if channels == 1:
        return [Named(_names(image, case_id(image.path)), BatchCase("", (image.path,))) for image in images]
    groups: dict[tuple[object, str], list[tuple[str, Placed]]] = {}
    for image in images:
        name = case_id(image.path)
        match = _CHANNEL.fullmatch(name)
        shared, number = (match[1], match[2]) if match else (name, "")
        groups.setdefault((image.path.parent, shared), []).append((number, image))
    return [_joined(shared, parts) for (_, shared), parts in groups.items()]


def _joined(name: str, parts: list[tuple[str, Placed]]) -> Named:
    """One case of several files, in the order of their numbers."""
    parts = sorted(parts, key=lambda part: (part[0], part[1].path))
    numbers = [number for number, _ in parts]
    wanted = [f"{index:04d}" for index in range(len(parts))]
    trouble = ""
    if numbers not in ([""], wanted):
        told = ", ".join(number or "none" for number in numbers)
        trouble = f"Its files end in {told}; channels are numbered {', '.join(wanted)}, one file each."
    case = BatchCase("", tuple(placed.path for _, placed in parts), trouble=trouble)
    return Named(_names(parts[0][1], name), case)


def _names(image: Placed, name: str) -> Names:
    """From the file's name alone to names with its folders and its ending."""
    inner = image.path.parent.relative_to(image.root).parts
    within = "_".join([*inner, name])
    full = "_".join([*inner, image.path.name.replace(".", "_")])
    root = image.root.name
    return Names((name, within, f"{root}_{within}", full, f"{root}_{full}"), str(image.path))
