"""What the tests of the panel share."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from medcontext import cards

MODULE = Path(__file__).parents[3] / "MedContextSegment" / "MedContextSegment.py"
SAMPLE = Path(cards.__file__).parent / "resources" / "samples" / "hippocampus"
CASE = "hippocampus_219.nii.gz"
DEADLINE = 90.0


def loadSample(name: str = "T1 MR", case: str = "") -> Any:
    """A volume node of a real T1 MR crop."""
    node = slicer.util.loadVolume(str(SAMPLE / "images" / (case or CASE)), {"name": name, "show": True})
    settle()
    return node


def settle() -> None:
    """Let timers and layouts do what they have to."""
    for _round in range(5):
        slicer.app.processEvents()


def waitUntil(condition: Callable[[], Any], seconds: float = DEADLINE) -> bool:
    """Process events until something is so; False where it does not come about."""
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            return False
        slicer.app.processEvents()
        time.sleep(0.005)
    settle()
    return True


def runToEnd(widget: Any, seconds: float = DEADLINE) -> None:
    """Click *Segment* and wait for the end."""
    assert widget.ui.segmentButton.enabled, widget.ui.statusLabel.text
    widget.ui.segmentButton.click()
    assert widget.control.running, widget.ui.statusLabel.text
    assert waitUntil(lambda: not widget.control.running, seconds)


def waitForStage(widget: Any, share: float = 0.1) -> None:
    """Wait until the worker is at work on the image."""
    bar = widget.ui.progressBar
    assert waitUntil(lambda: not widget.control.running or (bar.maximum and bar.value > share * bar.maximum))
    assert widget.control.running, widget.ui.statusLabel.text


def segmentArrays(segmentation: Any, volume: Any) -> dict[str, np.ndarray]:
    """The voxels of each segment, by its name."""
    parts = segmentation.GetSegmentation()
    ids = [parts.GetNthSegmentID(index) for index in range(parts.GetNumberOfSegments())]
    return {
        parts.GetSegment(name).GetName(): slicer.util.arrayFromSegmentBinaryLabelmap(
            segmentation, name, volume
        )
        > 0
        for name in ids
    }


def manualLabels(case: str = "") -> np.ndarray:
    """The expert's label map of the sample, ``(K, J, I)``."""
    node = slicer.util.loadLabelVolume(str(SAMPLE / "labels" / (case or CASE)), {"show": False})
    array = slicer.util.arrayFromVolume(node).copy()
    slicer.mrmlScene.RemoveNode(node)
    settle()
    return array


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def output(widget: Any) -> Any:
    """The segmentation that the panel shows."""
    return widget.ui.segmentationSelector.currentNode()


def newRoi(volume: Any, slices: slice) -> Any:
    """An ROI around those slices of the volume."""
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    origin, spacing = volume.GetOrigin()[2], volume.GetSpacing()[2]
    low, high = origin + (slices.start - 0.5) * spacing, origin + (slices.stop - 0.5) * spacing
    roi.SetCenterWorld((bounds[0] + bounds[1]) / 2, (bounds[2] + bounds[3]) / 2, (low + high) / 2)
    roi.SetSizeWorld(bounds[1] - bounds[0], bounds[3] - bounds[2], high - low)
    return roi


def sequenceOf(volume: Any, frames: int) -> Any:
    """The proxy node of a sequence of copies of the volume."""
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
    for index in range(frames):
        sequence.SetDataNodeAtValue(volume, str(index))
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateAllProxyNodes()
    return browser.GetProxyNode(sequence)
