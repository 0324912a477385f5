"""Whether a label fits its image, the data set and what is said to be annotated."""

from __future__ import annotations

from pathlib import Path

from medcontext.data.case import Annotation
from medcontext.data.reading import check_declared, values_in
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.io import fit_labelmap, read_labelmap
from medcontext.labels import LabelSet


def labelmap_of(source: Path | Volume, grid: Geometry) -> Volume:
    """A labelmap (1 channel, uint8) from a file or from memory, exactly on ``grid``.

    Raises:
        InputError: the file is missing or broken, the grid is another one, or a value is no label.
    """
    if isinstance(source, Volume):
        return fit_labelmap(source, grid, "the label")
    return read_labelmap(Path(source), like=grid)


def refuse_unfit(
    labelmap: Volume, mask: Volume | None, annotated: Annotation, labels: LabelSet, name: str
) -> None:
    """Refuse a label that nobody could learn from or that contradicts what is said about it.

    Args:
        labelmap: uint8, 1 channel.
        mask: voxels annotated (not zero), on the same grid, or None.
        annotated: labels and slices that were annotated.
        labels: what is declared.
        name: of the case.

    Raises:
        InputError: a value is not declared or not among those annotated, or nothing is painted.
    """
    undeclared = sorted(set(annotated.labels or ()) - set(labels.values))
    if undeclared:
        raise InputError(
            f"Annotated labels {undeclared} are not declared.", "Name them, such as --names 3=cyst."
        )
    seen = check_declared(labelmap, labels, name)
    if mask is not None:
        seen = values_in(labelmap.array[mask.array != 0])
    elif annotated.region == "slices":
        seen = values_in(annotated.slices_of(labelmap.array[0]))
    if not seen:
        raise InputError(
            f"The label of {name} has no voxel of any structure inside what was annotated.",
            "Paint a structure first, or add the scan without a label.",
        )
    if annotated.labels is not None and (extra := sorted(set(seen) - set(annotated.labels))):
        raise InputError(
            f"The label of {name} holds the values {extra}, which are not among those annotated: "
            f"{sorted(annotated.labels)}.",
            "List every structure that was painted.",
        )
