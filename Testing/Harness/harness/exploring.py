"""What the tests of proposed regions share: a worker that proposes what is bright, and a person in the views."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from harness.panel import loadSample, settle, waitUntil

# Region 2: where the first channel is brighter than its mean; region 1: the rest, which is all of an even image.
# Writes down what it was asked.
PROPOSER = """
import json, sys
from pathlib import Path
import numpy as np
from medcontext.exchange import SharedArray, write_array

def say(event, asked, **fields):
    print(json.dumps({"event": event, "id": asked["id"], **fields}), flush=True)

def propose(asked):
    channels = [SharedArray.from_json(channel["array"]).open() for channel in asked["channels"]]
    Path(__file__).with_name("asked.json").write_text(json.dumps(asked))
    for step in (1, 2, 3):
        say("progress", asked, stage="propose", value=step / 50, eta_s=None, step=step, total=50, clusters=9)
    regions = (1 + (channels[0] > channels[0].mean())).astype(np.uint8)
    flat = 1 in regions.shape
    facts = []
    for value in np.unique(regions).tolist():
        there = regions == value
        size = {"area_mm2": float(there.sum()) if flat else None, "volume_ml": None if flat else float(there.sum())}
        means = [float(channel[there].mean()) for channel in channels]
        facts.append({"value": value, "share": float(there.mean()), "mean": means, **size})
    array = write_array(Path(asked["output"]) / "regions.raw", regions).to_json()
    say("result", asked, regions=array, origin=[0, 0, 0], facts=facts, iterations=3, seconds=2.0, device="CPU",
        reduced="")

say("hello", {"id": ""}, protocol=1)
for line in sys.stdin:
    asked = json.loads(line)
    if asked["request"] == "propose":
        propose(asked)
    elif asked["request"] not in ("cancel", "shutdown"):
        say("result", asked)
"""


def showSample(name: str = "T1 MR") -> Any:
    """A real T1 MR crop, in the background of all slice views."""
    volume = loadSample(name)
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    settle()
    return volume


def view(name: str = "Red") -> Any:
    """A slice view of the layout, in which the pointer moves and clicks."""
    return slicer.app.layoutManager().sliceWidget(name).sliceView()


def place(volume: Any, k: int, j: int, i: int) -> list[float]:
    """Where the center of a voxel lies, mm RAS; the volume is below no transform."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return list(matrix.MultiplyPoint((i, j, k, 1))[:3])


def propose(panel: Any) -> Any:
    """Click *Propose regions* and wait for the end; gives the regions."""
    part = panel.explore.propose
    assert part.control.running or panel.explore.ui.exploreButton.enabled, status(panel)
    panel.explore.ui.exploreButton.click()
    assert part.control.running, status(panel)
    assert waitUntil(lambda: not part.control.running)
    assert panel.explore.pick.proposed is not None, status(panel)
    return panel.explore.pick.proposed


def status(panel: Any) -> str:
    """The line below the button."""
    return str(panel.explore.ui.exploreStatusLabel.text).replace("\u200b", "")


def outcome(panel: Any) -> str:
    """What came of the last click."""
    return str(panel.explore.ui.pickStatusLabel.text).replace("\u200b", "")


def bright(array: np.ndarray) -> np.ndarray:
    """Region 2 of what the worker of these tests proposes."""
    return np.asarray(array > array.mean())
