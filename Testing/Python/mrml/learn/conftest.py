"""A real worker for all tests of case stores, and what the tests share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DEADLINE = 60.0


@pytest.fixture(scope="session")
def worker(app: Any) -> Iterator[Any]:  # noqa: ARG001  the application is there before modules are imported
    from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

    process = WorkerProcess()
    yield process
    process.close()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Where arrays are exchanged; nothing may stay there, once a thread that was writing has seen that it is over."""
    folder = tmp_path / "a temporary földer"
    folder.mkdir()
    yield folder
    for _ in range(100):
        if not any(folder.iterdir()):
            break
        time.sleep(0.1)
    assert list(folder.iterdir()) == []


@pytest.fixture
def finish() -> Callable[[Any], Any]:
    """``finish(run)`` polls as a timer would, to the end; returns the result or raises the error."""

    def wait(run: Any) -> Any:
        ends = time.monotonic() + DEADLINE
        while run.poll():
            assert time.monotonic() < ends, f"still {run.state}"
            time.sleep(0.005)
        if run.error is not None:
            raise run.error
        return run.result

    return wait


@pytest.fixture
def screen() -> tuple[Any, Any]:
    """A sample scan with a segmentation of two segments, Anterior and Posterior, as a person drew them."""
    import slicer

    from harness.runs import loadSample, sampleLabels

    volume, labels = loadSample("scan 067"), sampleLabels()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for value, name in ((1, "Anterior"), (2, "Posterior")):
        segmentId = node.GetSegmentation().AddEmptySegment("", name, [0.2 * value, 0.4, 1.0])
        mask = (labels == value).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentId, volume)
    return volume, node
