"""What made a result is kept with it: in the scene, in the bundle and in the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer


@pytest.fixture
def written(tools: Any) -> Any:
    volume = tools.scan()
    snapshot = tools.read(volume)
    node = tools.new(snapshot, "result")
    writer = tools.Writer(settings=SETTINGS)
    writer.write(tools.result(tools.labels()), snapshot, node)
    return volume, node, writer.segmentIds


SETTINGS = {
    "channels": ["scan"],
    "note": 'a|b: "ü"\nnext',
    "certainty": None,
    "box": [[0, 3], [1, 2], [4, 5]],
}
FACTS = {
    "Model": "organs@ab12",
    "ModelTitle": "The organs/new",
    "ModelVersion": "1.2",
    "ModelLicense": "Apache-2.0",
    "Software": "medcontext 0.1.0, python 3.12, torch 2.9",
    "Device": "CPU",
    "Precision": "fp32",
    "Seconds": "1.750",
}


def check(node: Any, segment_ids: tuple[str, ...], labels: tuple[int, ...] = (1, 2, 5)) -> None:
    from MedContextSegmentLib.Scene import Provenance

    for segment_id, label in zip(segment_ids, labels, strict=True):
        segment = node.GetSegmentation().GetSegment(segment_id)
        for name, text in FACTS.items():
            assert Provenance.tagOf(segment, f"MedContext.{name}") == text
        assert Provenance.labelOf(segment, "organs@ab12") == label
        assert Provenance.labelOf(segment, "organs@cd34") is None
        assert json.loads(Provenance.tagOf(segment, "MedContext.Settings")) == SETTINGS
        assert "T" in Provenance.tagOf(segment, "MedContext.Time")


def test_node_and_segments_say_what_made_them(written: Any) -> None:
    from MedContextSegmentLib.Scene import Provenance

    _volume, node, ids = written
    facts = Provenance.readFromNode(node)
    assert {name: facts[name] for name in FACTS} == FACTS
    assert set(facts) - set(FACTS) == {"Time", "Settings"}
    assert facts["Time"].endswith("+00:00")
    check(node, ids)


def test_scene_bundle_brings_all_of_it_back(written: Any, tools: Any, tmp_path: Path) -> None:
    from MedContextSegmentLib.Scene import Provenance

    _volume, node, ids = written
    before = Provenance.readFromNode(node)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"), {})
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"), {})
    node, volume = slicer.util.getNode("result"), slicer.util.getNode("scan")
    assert Provenance.readFromNode(node) == before
    check(node, ids)
    snapshot = tools.read(volume)
    labels = np.roll(tools.labels(), 1, axis=0)
    assert tools.Writer().write(tools.result(labels), snapshot, node) == ids
    for value, segment_id in zip(tools.NAMES, ids, strict=True):
        np.testing.assert_array_equal(tools.voxels(node, segment_id, volume), labels == value)


def test_file_keeps_the_tags_of_the_segments(written: Any, tools: Any, tmp_path: Path) -> None:
    volume, node, ids = written
    path = tmp_path / "result.seg.nrrd"
    assert slicer.util.exportNode(node, str(path), {})
    loaded = slicer.util.loadSegmentation(str(path), {})
    check(loaded, ids)
    for value, segment_id in zip(tools.NAMES, ids, strict=True):
        segment = loaded.GetSegmentation().GetSegment(segment_id)
        assert segment.GetName() == tools.NAMES[value]
        assert segment.GetTerminology() == node.GetSegmentation().GetSegment(segment_id).GetTerminology()
        np.testing.assert_array_equal(tools.voxels(loaded, segment_id, volume), tools.labels() == value)


def test_medcontext_reads_the_file(written: Any, tools: Any, tmp_path: Path) -> None:
    segmentation = pytest.importorskip("medcontext.io.segmentation")
    _volume, node, _ids = written
    path = tmp_path / "result.seg.nrrd"
    assert slicer.util.exportNode(node, str(path), {})
    labelmap, labels = segmentation.read_segmentation(path)
    assert {label.value: label.name for label in labels} == tools.NAMES
    assert labels.named("left kidney").terminology.to_json() == tools.KIDNEY
    assert (labelmap.array[0] == 5).sum() == (tools.labels() == 5).sum()


def test_redo_is_noted_beside_the_first_run(written: Any, tools: Any) -> None:
    from MedContextSegmentLib.Scene import Provenance

    volume, node, ids = written
    first, region = Provenance.readFromNode(node), np.zeros(tools.SHAPE, bool)
    region[2:5, 3:6, 4:9] = True
    result = tools.result((region * 1).astype(np.uint8), {1: "liver"}, model="livers")
    tools.Writer(settings={"form": "model"}).write(result, tools.read(volume), node, region=region)
    assert Provenance.readFromNode(node) == first
    assert node.GetAttribute("MedContext.Redone.Model") == "livers@ab12"
    segment = node.GetSegmentation().GetSegment(ids[0])
    assert Provenance.tagOf(segment, "MedContext.Redone.Settings") == '{"form": "model"}'
    check(node, ids)


def test_segment_drawn_by_hand_has_no_maker(written: Any) -> None:
    from MedContextSegmentLib.Scene import Provenance

    assert Provenance.labelOf(slicer.vtkSegment()) is None
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert Provenance.readFromNode(node) == {}
    assert written
