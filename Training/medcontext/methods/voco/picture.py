"""A picture of where random crops lie and where the network believes they lie."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medcontext.data.boxes import cut_box
from medcontext.engine.preview import Hanging
from medcontext.methods.voco.crops import Layout
from medcontext.plan import Plan, Size


@dataclass(frozen=True)
class Answer:
    """What is said of a random crop.

    Attributes:
        scan: name of the scan.
        volume: ``(C, K, J, I)``.
        origin: where the grid begins in it.
        place: where the crop begins in the grid.
        overlap: share of the crop in each cell, ``(cells,)``.
        said: similarity to each cell's base crop, ``(cells,)``.
    """

    scan: str
    volume: np.ndarray
    origin: Size
    place: np.ndarray
    overlap: np.ndarray
    said: np.ndarray


def draw(answers: Sequence[Answer], layout: Layout, plan: Plan) -> bytes:
    """A PNG with a column for each crop: the grid with the crop's outline, true and predicted overlap.

    It looks along the axis with the fewest cells, over which shares are summed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    axis = int(np.argmin(layout.grid))
    hanging = Hanging(plan, axis)
    figure = Figure(figsize=(1.6 * len(answers), 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(3, len(answers), squeeze=False)
    for column, answer in zip(panels.T, answers, strict=True):
        plane = _where(column[0], answer, layout, axis, hanging)
        height, width = plane.shape
        for axes, shares in ((column[1], answer.overlap), (column[2], answer.said)):
            heat = hanging.upright(shares.reshape(layout.grid).sum(axis))
            box = (-0.5, width - 0.5, height - 0.5, -0.5)
            axes.imshow(heat, vmin=0, vmax=1, extent=box, aspect=hanging.aspect)
        column[0].set_title(answer.scan[:18], fontsize=7)
    for line, name in zip(panels, ("crop", "true overlap", "predicted"), strict=True):
        line[0].set_ylabel(name, fontsize=9)
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    return stream.getvalue()


def _where(axes: Any, answer: Answer, layout: Layout, axis: int, hanging: Hanging) -> np.ndarray:
    """Draw the slice of the grid through the middle of the crop, with its cells and the crop's outline."""
    region = cut_box(answer.volume[0], answer.origin, layout.region, 0, np.float32)
    index = int(answer.place[axis]) + layout.cell[axis] // 2
    plane = hanging.upright(np.take(region, index, axis))
    low, high = np.percentile(plane, (1, 99.5))
    axes.imshow(plane, "gray", vmin=low, vmax=max(high, low + 1e-6), aspect=hanging.aspect)
    kept = [a for a in range(3) if a != axis]
    places = np.meshgrid(*(np.arange(layout.region[a]) for a in kept), indexing="ij")
    inside = np.ones_like(places[0], bool)
    for a, position in zip(kept, places, strict=True):
        cells = hanging.upright(position // layout.cell[a])
        axes.contour(cells, np.arange(layout.grid[a] - 1) + 0.5, colors="deepskyblue", linewidths=0.5)
        inside &= (position >= answer.place[a]) & (position < answer.place[a] + layout.cell[a])
    height, width = plane.shape
    around = np.pad(hanging.upright(inside), 1)  # an outline along the border needs something outside
    axes.contour(
        np.arange(-1, width + 1), np.arange(-1, height + 1), around, [0.5], colors="yellow", linewidths=1.5
    )
    axes.set(xlim=(-1, width), ylim=(height, -1))
    return plane
