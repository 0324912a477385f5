"""Draw the picture of the sample for Slicer's Sample Data module: ``python Testing/Harness/thumbnail.py``.

A sagittal slice of the bundled scan with the outlines of the expert's segments, 260 x 280 pixels.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import medcontext
from medcontext.io import read_labelmap, read_volume

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "MedContextSegment/Resources/Icons/MedContextHippocampus.png"
SAMPLE = Path(medcontext.__file__).parent / "resources" / "samples" / "hippocampus"
CASE = "hippocampus_024.nii.gz"
SIZE = (260, 280)
BACKGROUND = "#101418"
GAP = 4  # pixels


def draw(target: Path) -> None:
    """Write the PNG: the slice where most is marked, above without and below with the outlines."""
    image = read_volume(SAMPLE / "images" / CASE).reorient("LPS")
    labels = read_labelmap(SAMPLE / "labels" / CASE).reorient("LPS").array[0]
    table = json.loads((SAMPLE / "dataset.json").read_text(encoding="utf-8"))["label_table"]
    most = int((labels > 0).sum(axis=(0, 1)).argmax())
    grey, marked = image.array[0][:, :, most], labels[:, :, most]
    low, high = np.percentile(grey, (1, 99.5))
    width = grey.shape[1]
    height = width * (SIZE[1] - GAP) / 2 / SIZE[0]  # of the part shown; a millimetre is as long both ways
    middle = np.clip(np.nonzero(marked)[0].mean(), height / 2 - 0.5, len(grey) - 0.5 - height / 2)
    figure = Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    share = (SIZE[1] - GAP) / 2 / SIZE[1]
    for bottom, outlined in ((1 - share, False), (0.0, True)):
        axes = figure.add_axes((0, bottom, 1, share))
        axes.set_axis_off()
        axes.imshow(grey, "gray", vmin=low, vmax=high, interpolation="bicubic", aspect="auto")
        for entry in table if outlined else ():
            color = tuple(channel / 255 for channel in entry["color"])
            axes.contour(marked == entry["value"], [0.5], colors=[color], linewidths=2)
        axes.set_xlim(-0.5, width - 0.5)
        axes.set_ylim(middle - height / 2, middle + height / 2)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=100, facecolor=BACKGROUND, metadata={"Software": None})


if __name__ == "__main__":
    draw(TARGET)
