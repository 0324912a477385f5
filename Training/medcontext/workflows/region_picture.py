"""A picture of the regions that were proposed: outlines and numbers on the image, and a list of the largest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from medcontext.geometry import Volume
from medcontext.io.atomic import replacing
from medcontext.labels import default_color, default_palette
from medcontext.resample import nearest

SIDE = 720
"""Pixels of the longer side of each plane."""
LISTED = 20
"""Regions that are numbered and listed; more numbers would cover the image."""

_SHOWN = "LPS"
_DARK, _LIGHT = "#101418", "#e8eaed"
_VEIL, _FOREGROUND = 0.18, (255, 255, 255)
_DPI = 120
_INCHES, _LIST_INCHES, _LEAST_INCHES = 5.2, 3.4, 3.4
_SAMPLES = 10**6
_LINE_POINTS = 11


def draw_regions(
    path: Path,
    image: Volume,
    regions: np.ndarray,
    rows: Sequence[Sequence[str]],
    foreground: np.ndarray | None = None,
    title: str = "",
) -> None:
    """Write a PNG: the image, the image with regions, and a list.

    A picture or slice is shown itself; of a volume the three planes through the middle of the foreground, else of the
    volume. The patient's right is on the left, the head is up, a millimetre has one length.

    Args:
        path: the PNG.
        image: ``(C, K, J, I)``; three channels of a single slice are shown as colours, else the first is grey, from
            the 1st to the 99.5th percentile.
        regions: uint8 ``(K, J, I)``.
        rows: the first is the heading of the list, then a row for each region, the first entry its number.
        foreground: bool ``(K, J, I)``, outlined in white.
        title: above it.
    """
    mask = np.zeros(regions.shape, bool) if foreground is None else foreground
    shown = image.reorient(_SHOWN)
    turned = [Volume(a[None], image.geometry).reorient(_SHOWN).array[0] for a in (regions, mask)]
    planes = _planes(turned[1])
    window = _window(shown)
    sizes = [_size(shown, axis) for axis, _ in planes]
    figure, grid = _page([height for height, _ in sizes])
    for row, (axis, index), size in zip(grid, planes, sizes, strict=True):
        plain = _base(shown, axis, index, size, window)
        _show(row[0], plain)
        cuts = [nearest(_upright(array.take(index, axis), axis), size) for array in turned]
        _show(row[1], _marked(plain, *cuts))
        _number(row[1], cuts[0])
    _list(grid[0, 2], rows)
    if title:
        figure.suptitle(title, color=_LIGHT, fontsize=11)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, format="png")


def _page(heights: Sequence[int]) -> tuple[Figure, np.ndarray]:
    """A page with a row for each plane: two places for it, and one for the list."""
    inches = [max(_LEAST_INCHES, _INCHES * height / SIDE) for height in heights]
    figure = Figure(
        figsize=(2 * _INCHES + _LIST_INCHES, 0.5 + sum(inches)), facecolor=_DARK, layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(
        len(inches),
        3,
        squeeze=False,
        width_ratios=(_INCHES, _INCHES, _LIST_INCHES),
        height_ratios=inches,
    )
    for axes in grid.flat:
        axes.axis("off")
    return figure, grid


def _planes(foreground: np.ndarray) -> list[tuple[int, int]]:
    """Array axis and index of each plane that is shown."""
    flat = [axis for axis, size in enumerate(foreground.shape) if size == 1]
    if flat:
        return [(flat[0], 0)]
    marked = np.nonzero(foreground)
    if marked[0].size:
        return [(axis, int(np.median(index))) for axis, index in enumerate(marked)]
    return [(axis, size // 2) for axis, size in enumerate(foreground.shape)]


def _upright(plane: np.ndarray, axis: int) -> np.ndarray:
    """A plane as it is looked at: across all axes but the first, rows run to the head and have to be turned."""
    return plane if axis == 0 else plane[::-1]


def _window(image: Volume) -> tuple[float, float]:
    values = image.array if _coloured(image) else image.array[0]
    if values.dtype == np.uint8 and _coloured(image):
        return 0.0, 255.0
    step = max(1, round((values.size / _SAMPLES) ** 0.5))
    low, high = np.percentile(values[..., ::step, ::step], (1, 99.5))
    return float(low), float(max(high, low + 1e-6))


def _coloured(image: Volume) -> bool:
    return image.channels == 3 and min(image.shape) == 1


def _base(
    image: Volume, axis: int, index: int, size: tuple[int, int], window: tuple[float, float]
) -> np.ndarray:
    """``(*size, 3)`` uint8; shrunk before it becomes floats, of which a large picture would take gigabytes."""
    channels = image.array if _coloured(image) else image.array[:1]
    low, high = window
    grey = []  # of the nearest pixels: those of small slices are seen as such
    for channel in channels:
        level = nearest(_upright(channel.take(index, axis), axis), size).astype(np.float32)
        grey.append(np.clip((level - low) / (high - low) * 255, 0, 255).astype(np.uint8))
    return np.stack(grey if len(grey) == 3 else grey * 3, -1)


def _size(image: Volume, axis: int) -> tuple[int, int]:
    """Rows and columns of the planes across an axis."""
    height, width = (
        n * size
        for other, (n, size) in enumerate(zip(image.shape, image.spacing, strict=True))
        if other != axis
    )
    scale = SIDE / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _marked(base: np.ndarray, regions: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Each region under a thin veil of its colour, with an outline."""
    palette = np.array(default_palette(), np.float32)
    share = np.where(regions > 0, np.float32(_VEIL), np.float32(0))
    share[_outline(regions) & (regions > 0)] = 1.0
    mixed = base * (1 - share[..., None]) + palette[regions] * share[..., None]
    mixed[_outline(foreground)] = _FOREGROUND
    return mixed.round().astype(np.uint8)


def _outline(labels: np.ndarray) -> np.ndarray:
    """Pixels with a neighbour of another label."""
    edge = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        ahead, behind = ([slice(None)] * 2 for _ in range(2))
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        differs = labels[tuple(ahead)] != labels[tuple(behind)]
        edge[tuple(ahead)] |= differs
        edge[tuple(behind)] |= differs
    return edge


def _show(axes: Axes, picture: np.ndarray) -> None:
    axes.imshow(picture, interpolation="nearest")


def _number(axes: Axes, regions: np.ndarray) -> None:
    """The number of each of the largest regions at the point farthest inside of it."""
    from scipy import ndimage

    for value in range(1, LISTED + 1):
        inside = regions == value
        if not inside.any():
            continue
        depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        box = {"boxstyle": "round,pad=0.15", "facecolor": _DARK, "edgecolor": _rgb(value), "alpha": 0.8}
        axes.text(
            int(column), int(row), str(value), color=_LIGHT, fontsize=8, ha="center", va="center", bbox=box
        )


def _list(axes: Axes, rows: Sequence[Sequence[str]]) -> None:
    """The rows from the top, each in the colour of its region."""
    shown = rows[: LISTED + 1]
    widths = [max(len(row[column]) for row in shown) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(n) for cell, n in zip(row, widths, strict=True)) for row in shown]
    colors: list[str | tuple[float, float, float]] = [_LIGHT, *(_rgb(int(row[0])) for row in shown[1:])]
    if len(rows) > len(shown):
        lines.append(f"and {len(rows) - len(shown)} more")
        colors.append(_LIGHT)
    for number, (line, color) in enumerate(zip(lines, colors, strict=True)):
        axes.annotate(
            line,
            (0, 1),
            xytext=(4, -12 - _LINE_POINTS * number),
            xycoords="axes fraction",
            textcoords="offset points",
            color=color,
            fontsize=7.5,
            family="monospace",
            annotation_clip=False,
        )


def _rgb(value: int) -> tuple[float, float, float]:
    red, green, blue = default_color(value)
    return red / 255, green / 255, blue / 255
