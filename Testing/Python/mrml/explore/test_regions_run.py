"""One proposal: what the worker is asked, what comes back, and how it ends when something goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

import harness.application  # noqa: F401  makes slicer.i18n importable
from harness.exploring import PROPOSER, bright
from harness.runs import DEAF, Recorder, scriptWorker
from medcontext.errors import CancelledError, InputError
from medcontext.exchange import SharedArray


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Any]:
    """Proposes what is bright."""
    process = scriptWorker(tmp_path, PROPOSER)
    yield process
    process.close()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Where arrays are exchanged; nothing may stay there."""
    folder = tmp_path / "exchänge"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == []


def ask(volume: Any, worker: Any, root: Path, listener: Any = None, **fields: Any) -> Any:
    from MedContextSegmentLib.Explore.Planes import Plane
    from MedContextSegmentLib.Explore.RegionsRun import RegionsRequest, RegionsRun
    from MedContextSegmentLib.Scene.VolumeReader import readChannels

    plane = None if "roi" in fields else fields.pop("plane", Plane(1, 5))
    request = RegionsRequest(readChannels(volume), plane, device="cpu", **fields)
    return RegionsRun(worker, request, listener, root)


def asked(tmp_path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((tmp_path / "asked.json").read_text(encoding="utf-8"))
    return data


def test_only_the_slice_is_sent_and_the_answer_lies_on_it(
    scan: Callable[..., Any],
    worker: Any,
    root: Path,
    tmp_path: Path,
    finish: Callable[[Any], Any],
    world: Callable[..., list[float]],
) -> None:
    volume, listener = scan(), Recorder()
    run = ask(volume, worker, root, listener)
    proposed = finish(run)
    image = slicer.util.arrayFromVolume(volume)[:, 5:6]
    np.testing.assert_array_equal(proposed.proposal.regions, 1 + bright(image))
    wanted = asked(tmp_path)
    assert (wanted["method"], wanted["seed"], wanted["device"]) == ("s3net", 0, "cpu")
    assert wanted["clusters"] is None
    assert (wanted["plane"], wanted["box"]) == ({"axis": 1, "index": 0}, [[0, 10], [0, 1], [0, 14]])
    (channel,) = wanted["channels"]
    assert SharedArray.from_json(channel["array"]).shape == image.shape
    right, back, up = np.array(channel["affine"]) @ [3, 0, 2, 1] @ np.diag([-1, -1, 1, 1])[:, :3]
    assert [right, back, up] == pytest.approx(world(volume, 2, 5, 3))
    assert run.iteration == (3, 50)
    assert ("propose", 0.04) in listener.stages
    assert listener.ends == [run]
    assert proposed.node.GetScene() is not None
    assert proposed.describe(2).startswith("Region 2: 70 mm² (50.0 %), mean ")


def test_all_colors_are_sent(worker: Any, root: Path, tmp_path: Path, finish: Callable[[Any], Any]) -> None:
    from MedContextSegmentLib.Explore.Planes import Plane

    colors = np.random.default_rng(0).integers(0, 255, (1, 20, 30, 3)).astype(np.uint8)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "picture")
    slicer.util.updateVolumeFromArray(node, colors)
    proposed = finish(ask(node, worker, root, plane=Plane(0, 0)))
    assert len(asked(tmp_path)["channels"]) == 3
    np.testing.assert_array_equal(proposed.proposal.regions, 1 + bright(colors[..., 0]))
    means = [colors[..., color][bright(colors[..., 0])].mean() for color in range(3)]
    assert proposed.proposal.facts[2].means == pytest.approx(means)


def test_a_roi_is_looked_at_as_one_volume(
    scan: Callable[..., Any], worker: Any, root: Path, tmp_path: Path, finish: Callable[[Any], Any]
) -> None:
    volume = scan(np.eye(3))
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    roi.SetCenterWorld(12.5 + 6, -30 + 5, 4 + 4)
    roi.SetSizeWorld(8, 6, 4)
    proposed = finish(ask(volume, worker, root, roi=roi, method="superpixels", clusters=7))
    box = proposed.proposal.box
    assert box == ((2, 7), (2, 9), (2, 11))
    inside = slicer.util.arrayFromVolume(volume)[2:7, 2:9, 2:11]
    np.testing.assert_array_equal(proposed.proposal.regions, 1 + bright(inside))
    wanted = asked(tmp_path)
    assert (wanted["plane"], wanted["method"], wanted["clusters"]) == (None, "superpixels", 7)
    assert "mL" in proposed.describe(1)


def test_a_turned_view_is_told_of(
    scan: Callable[..., Any], worker: Any, root: Path, finish: Callable[[Any], Any]
) -> None:
    from MedContextSegmentLib.Explore.Planes import Plane

    listener = Recorder()
    finish(ask(scan(), worker, root, listener, plane=Plane(0, 3, 17.2)))
    assert any("turned by 17 degrees" in text for text in listener.messages)


def test_a_worker_that_does_not_stop_is_ended(scan: Callable[..., Any], root: Path, tmp_path: Path) -> None:
    from harness.runs import pollUntil

    worker = scriptWorker(tmp_path, DEAF)
    run = ask(scan(), worker, root, Recorder("segment", lambda: run.cancel()))
    pollUntil(run)
    assert run.state == "cancelled"
    assert isinstance(run.error, CancelledError)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    worker.close()


def test_what_gives_way_leaves_the_worker_alive(scan: Callable[..., Any], root: Path, tmp_path: Path) -> None:
    from harness.runs import pollUntil

    obeying = DEAF.replace(
        'elif asked["request"] != "cancel":', 'elif asked["request"] == "propose":'
    ).replace("        time.sleep(600)\n", "")
    obeying += """    else:
        print(json.dumps({"event": "error", "id": asked["target"], "kind": "cancelled", "message": "x"}), flush=True)
"""
    worker = scriptWorker(tmp_path, obeying)
    run = ask(scan(), worker, root, Recorder("segment", lambda: run.giveWay()))
    pollUntil(run)
    assert isinstance(run.error, CancelledError)
    assert "something else was begun" in run.error.message
    assert worker.running
    worker.close()


@pytest.mark.parametrize("wrong", ["regions.astype(np.uint16)", "regions[:1, :1, :1].copy()"])
def test_an_answer_that_does_not_fit_is_refused(
    scan: Callable[..., Any], root: Path, tmp_path: Path, finish: Callable[[Any], Any], wrong: str
) -> None:
    worker = scriptWorker(tmp_path, PROPOSER.replace('"regions.raw", regions)', f'"regions.raw", {wrong})'))
    with pytest.raises(InputError, match="malformed"):
        finish(ask(scan(), worker, root))
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    worker.close()


def test_a_volume_that_is_deleted_meanwhile_gives_nothing(
    scan: Callable[..., Any], worker: Any, root: Path, finish: Callable[[Any], Any]
) -> None:
    volume = scan()
    listener = Recorder("propose", lambda: slicer.mrmlScene.RemoveNode(volume))
    with pytest.raises(InputError, match="'scan' was deleted"):
        finish(ask(volume, worker, root, listener))
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
