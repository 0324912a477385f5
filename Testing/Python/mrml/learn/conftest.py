"""What the tests of case stores share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest


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
