"""Segmentations drawn over their scan on three slices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from medcontext.errors import InputError
from medcontext.geometry import Volume
from medcontext.labels import IGNORE, LabelSet

PLANES = ("axial", "coronal", "sagittal")
"""Names of slices across array axes 0, 1 and 2 of a volume in LPS."""

_SHOWN = "LPS"
_DARK, _LIGHT = "#101418", "#e8eaed"


def draw_overlay(
    path: Path,
    image: Volume,
    labelmaps: Sequence[tuple[str, Volume]],
    labels: LabelSet,
    title: str = "",
) -> None:
    """Write a PNG with one row for each labelmap and one column for each plane.

    The slices go through the middle of what the first labelmap marks. As in radiology the patient's right is
    on the left of axial and coronal slices; a millimetre has the same length in both directions.

    Args:
        path: the PNG.
        image: its first channel is shown, from the 1st to the 99.5th percentile.
        labelmaps: title and labelmap of each row, on the grid of the image.
        labels: names and colours.
        title: above the picture.

    Raises:
        InputError: there is no labelmap, or one lies on another grid.
    """
    if not labelmaps or any(not volume.geometry.same_grid(image.geometry) for _, volume in labelmaps):
        raise InputError("A picture needs at least one labelmap, each on the grid of the image.")
    shown = image.reorient(_SHOWN)
    turned = [(name, volume.reorient(_SHOWN).array[0]) for name, volume in labelmaps]
    middle = _middle(turned[0][1])
    low, high = np.percentile(shown.array[0], (1, 99.5))
    figure = Figure(figsize=(8.0, 0.9 + 2.3 * len(turned)), layout="constrained", facecolor=_DARK)
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(turned), len(PLANES), squeeze=False)
    for row, (name, labelmap) in enumerate(turned):
        for axis, plane in enumerate(PLANES):
            axes: Axes = grid[row, axis]
            grey = np.take(shown.array[0], middle[axis], axis)
            marked = np.take(labelmap, middle[axis], axis)
            _draw_slice(axes, grey, marked, labels, _aspect(shown, axis), (low, high))
            if row == 0:
                axes.set_title(plane, color=_LIGHT, fontsize=10)
        grid[row, 0].set_ylabel(name, color=_LIGHT, fontsize=10)
    handles = [Line2D([], [], color=_rgb(label.color), linewidth=5, label=label.name) for label in labels]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, labelcolor=_LIGHT
    )
    if title:
        figure.suptitle(title, color=_LIGHT, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _draw_slice(
    axes: Axes,
    grey: np.ndarray,
    marked: np.ndarray,
    labels: LabelSet,
    aspect: float,
    window: tuple[float, float],
) -> None:
    """One slice: grey values, and each label as a veil with an outline."""
    origin: Literal["lower", "upper"] = "lower" if aspect < 0 else "upper"
    axes.imshow(
        grey,
        cmap="gray",
        vmin=window[0],
        vmax=window[1],
        origin=origin,
        aspect=abs(aspect),
        interpolation="bicubic",
    )
    for label in labels:
        inside = marked == label.value
        if not inside.any():
            continue
        veil = np.zeros((*inside.shape, 4), np.float32)
        veil[inside] = (*_rgb(label.color), 0.35)
        axes.imshow(veil, origin=origin, aspect=abs(aspect), interpolation="nearest")
        axes.contour(inside, levels=[0.5], colors=[_rgb(label.color)], linewidths=1.4)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _aspect(volume: Volume, axis: int) -> float:
    """Height over width of a pixel; negative where the vertical axis grows upwards (towards the head)."""
    vertical, horizontal = (size for index, size in enumerate(volume.spacing) if index != axis)
    ratio = vertical / horizontal
    return ratio if axis == 0 else -ratio


def _middle(labelmap: np.ndarray) -> tuple[int, ...]:
    """The slices through the middle of all marked voxels; of the volume where there are none."""
    marked = np.nonzero((labelmap > 0) & (labelmap != IGNORE))
    if not marked[0].size:
        return tuple(size // 2 for size in labelmap.shape)
    return tuple(round(float(index.mean())) for index in marked)


def _rgb(color: tuple[int, int, int]) -> tuple[float, float, float]:
    red, green, blue = color
    return red / 255, green / 255, blue / 255
