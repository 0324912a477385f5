"""What the tests of runs share: the sample, a listener that remembers, and workers that misbehave."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer

import harness.application  # noqa: F401  makes slicer.i18n importable
from medcontext import cards
from medcontext.errors import MedContextError
from MedContextSegmentLib.Run.Logic import MedContextSegmentLogic, SegmentRequest
from MedContextSegmentLib.Run.SegmentationRun import SegmentationRun
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

SAMPLE = Path(cards.__file__).parent / "resources" / "samples" / "hippocampus"
CASE = "hippocampus_219.nii.gz"
DEADLINE = 90.0

# Answers nothing but "warm"; "cancel" is not followed either.
DEAF = """
import json, sys, time
print(json.dumps({"event": "hello", "id": "", "protocol": 1}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if asked["request"] == "warm":
        print(json.dumps({"event": "result", "id": asked["id"]}), flush=True)
    elif asked["request"] != "cancel":
        print(json.dumps({"event": "progress", "id": asked["id"], "stage": "segment", "value": 0.1}), flush=True)
        time.sleep(600)
"""
# Prints a traceback and ends.
CRASHING = """
import json, sys
print(json.dumps({"event": "hello", "id": "", "protocol": 1}), flush=True)
sys.stdin.readline()
print("Traceback (most recent call last):\\n  File \\"x.py\\", line 1\\nLINE", file=sys.stderr, flush=True)
sys.exit(CODE)
"""


def copySample(folder: Path, unlabelled: int, held_out: int = 8) -> Path:
    """Copy the case store that comes with the package; gives the folder.

    Args:
        folder: for the copy.
        unlabelled: so many of the scans without labels are in the copy.
        held_out: so many of the held-out cases are.
    """
    shutil.copytree(SAMPLE, folder)
    index = folder / "dataset.json"
    data = json.loads(index.read_text(encoding="utf-8"))
    data["unlabelled"], data["test"] = data["unlabelled"][:unlabelled], data["test"][:held_out]
    index.write_text(json.dumps(data), encoding="utf-8")
    return folder


class Recorder:
    """A listener that remembers, and does something when a stage is reported for the first time."""

    def __init__(self, at: str = "", do: Callable[[], Any] | None = None) -> None:
        self.stages: list[tuple[str, float]] = []
        self.messages: list[str] = []
        self.warnings: list[str] = []
        self.ends: list[SegmentationRun] = []
        self._at, self._do = at, do

    def progress(self, stage: str, value: float, etaSeconds: float | None) -> None:
        assert 0 <= value <= 1
        assert etaSeconds is None or etaSeconds >= 0
        self.stages.append((stage, value))
        if stage == self._at and value > 0 and self._do is not None:
            do, self._do = self._do, None
            do()

    def message(self, text: str) -> None:
        self.messages.append(text)

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def ended(self, run: SegmentationRun) -> None:
        self.ends.append(run)


def loadSample(name: str = "scan") -> Any:
    node = slicer.util.loadVolume(str(SAMPLE / "images" / CASE))
    node.SetName(name)
    return node


def sampleLabels() -> np.ndarray:
    """What a person drew, ``(K, J, I)``."""
    node = slicer.util.loadVolume(str(SAMPLE / "labels" / CASE))
    labels = np.array(slicer.util.arrayFromVolume(node))
    slicer.mrmlScene.RemoveNode(node)
    return labels


def scriptWorker(folder: Path, script: str) -> WorkerProcess:
    path = folder / "worker ä.py"
    path.write_text(script, encoding="utf-8")
    return WorkerProcess([sys.executable, str(path)])


def pollUntil(run: SegmentationRun, *states: str, seconds: float = DEADLINE) -> None:
    """Poll as a timer would, until the run is in one of the states or, without states, has ended."""
    ends = time.monotonic() + seconds
    while run.state not in states and run.poll():
        assert time.monotonic() < ends, f"still {run.state}"
        time.sleep(0.005)


def segmentArrays(segmentationNode: Any, volumeNode: Any) -> dict[str, np.ndarray]:
    """Voxels of each segment on the grid of a volume, by name."""
    segmentation = segmentationNode.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
    return {
        segmentation.GetSegment(i).GetName(): slicer.util.arrayFromSegmentBinaryLabelmap(
            segmentationNode, i, volumeNode
        )
        for i in ids
    }


def addSegment(segmentationNode: Any, name: str, array: np.ndarray, volumeNode: Any) -> str:
    segmentId = segmentationNode.GetSegmentation().AddEmptySegment("", name)
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentationNode, segmentId, volumeNode)
    return str(segmentId)


def dice(found: np.ndarray, drawn: np.ndarray) -> float:
    return 2 * float((found & drawn).sum()) / float(found.sum() + drawn.sum())


def start(logic: MedContextSegmentLogic, node: Any, recorder: Recorder, **options: Any) -> SegmentationRun:
    return logic.start(SegmentRequest((node,), "hippocampus", **options), recorder)


def endedWith(run: SegmentationRun, recorder: Recorder, kind: type[MedContextError], state: str) -> str:
    """The sentence a run ended with."""
    pollUntil(run)
    assert recorder.ends == [run]
    assert run.state == state
    assert type(run.error) is kind
    assert run.segmentationNode is None
    return run.error.message


def segmentations() -> list[Any]:
    """All segmentation nodes of the scene."""
    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def addRoi(center: tuple[float, float, float], size: tuple[float, float, float], angle: float = 0) -> Any:
    """An ROI with its center and sides in mm (RAS), turned around the inferior-superior axis."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    node.SetSize(*size)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = center
    node.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(matrix))
    return node


def middle(volumeNode: Any) -> tuple[float, float, float]:
    """The middle of a volume in RAS mm."""
    bounds = [0.0] * 6
    volumeNode.GetRASBounds(bounds)
    return (bounds[0] + bounds[1]) / 2, (bounds[2] + bounds[3]) / 2, (bounds[4] + bounds[5]) / 2
