"""A case that was opened from a store is added again as what it is there, and nothing more is finished than was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer

from harness.runs import CASE, SAMPLE, loadSample, sampleLabels
from medcontext.case_list import read_store
from medcontext.data.adding import NewCase
from medcontext.data.case import Annotation
from medcontext.data.store import CaseStore
from medcontext.geometry import Volume
from medcontext.io import read_labelmap
from medcontext.labels import Label, LabelSet
from MedContextSegmentLib.Learn.AddCase import AddCaseRun, propose
from MedContextSegmentLib.Learn.OpenCase import openAllOfCase, openCase

IMAGE = SAMPLE / "images" / CASE
LABELS = LabelSet((Label(1, "front", (250, 10, 20)), Label(2, "back", (30, 200, 10))))


@pytest.fixture
def add(worker: Any, root: Path, finish: Callable[[Any], Any]) -> Callable[..., Any]:
    def run(proposal: Any, store: Path, replacing: str | None = None) -> Any:
        return finish(AddCaseRun(worker, proposal, store, None, root, replacing, isNew=False))

    return run


def stored(folder: Path, array: np.ndarray, **facts: Any) -> Path:
    """A store with the sample as its only case."""
    store = CaseStore.create(folder, LABELS, [("T1", "MR")])
    grid = read_labelmap(SAMPLE / "labels" / CASE).geometry
    store.add_case(NewCase([IMAGE], Volume(array[None].astype(np.uint8), grid), case_id="one", **facts))
    return folder


def opened(folder: Path) -> tuple[Any, Any, Any]:
    store = read_store(folder)
    return (*openCase(store, store.cases[0]), store)


def blocks(*slices: int, value: int = 1) -> np.ndarray:
    array = np.zeros_like(sampleLabels())
    array[list(slices), 5:9, 5:20] = value
    return array


def paint(segmentation: Any, name: str, array: np.ndarray, volume: Any) -> None:
    inner = segmentation.GetSegmentation()
    found = inner.GetSegmentIdBySegmentName(name) or inner.AddEmptySegment("", name)
    slicer.util.updateSegmentBinaryLabelmapFromArray(array.astype(np.uint8), segmentation, found, volume)


def test_painted_but_unfinished_slices_and_labels_stay_unfinished(
    tmp_path: Path, add: Callable[..., Any]
) -> None:
    array = blocks(12, 16, 20) + np.roll(blocks(20, value=2), 10, axis=1)
    folder = stored(tmp_path / "s", array, annotated=Annotation((1,), "slices", (9, 12, 16)))
    volume, segmentation, store = opened(folder)
    proposal = propose([volume], segmentation, store)
    assert (proposal.region, proposal.axis, proposal.slices) == ("slices", "k", (9, 12, 16))
    assert proposal.finished == (1,)
    paint(segmentation, "front", blocks(12, 16, 20, 25), volume)
    proposal = propose([volume], segmentation, store)
    assert proposal.slices == (9, 12, 16, 25)
    assert add(proposal, folder).taken == "one"
    assert add(proposal, folder, "one").case == "one"
    assert read_store(folder).cases[0].slices == (9, 12, 16, 25)


def test_another_segmentation_of_an_opened_scan_says_what_is_finished_itself(tmp_path: Path) -> None:
    folder = stored(tmp_path / "s", blocks(12, 16), annotated=Annotation((1,), "slices", (9, 12, 16)))
    volume, _segmentation, store = opened(folder)
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    other.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    paint(other, "back", blocks(3, 7), volume)
    proposal = propose([volume], other, store)
    assert (proposal.slices, proposal.finished, proposal.opened.id) == ((3, 7), (2,), "one")


def test_a_case_that_was_finished_in_a_box_is_finished_there_again(
    tmp_path: Path, add: Callable[..., Any]
) -> None:
    mask = np.zeros_like(sampleLabels())
    mask[:, 10:20, 4:30] = 1
    grid = read_labelmap(SAMPLE / "labels" / CASE).geometry
    folder = stored(tmp_path / "s", sampleLabels(), mask=Volume(mask[None], grid))
    volume, segmentation, store = opened(folder)
    proposal = propose([volume], segmentation, store)
    assert (proposal.region, proposal.problem) == ("as before", "")
    assert add(proposal, folder, "one").case == "one"
    (case,) = read_store(folder).cases
    assert case.region == "mask"
    assert case.mask is not None
    np.testing.assert_array_equal(read_labelmap(case.mask).array[0], mask)


@pytest.mark.parametrize("kind", ["held_out", "test"])
@pytest.mark.parametrize("side", [1, -1], ids=["right-handed", "left-handed"])
def test_a_4d_case_that_is_kept_apart_is_known_again(
    tmp_path: Path, add: Callable[..., Any], kind: str, side: int
) -> None:
    rng = np.random.default_rng(3)
    arrays = [rng.integers(0, 500, (10, 7, 8)).astype(np.int16) for _ in range(2)]
    labels = np.zeros((10, 7, 8), np.uint8)
    labels[[1, 6], 2:5, 2:5] = 1
    parts = [sitk.GetImageFromArray(array) for array in (*arrays, labels)]
    for part in parts:
        part.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, side))
    sitk.WriteImage(sitk.JoinSeries(parts[:2]), str(tmp_path / "both.nii.gz"))
    sitk.WriteImage(parts[2], str(tmp_path / "label.nii.gz"))
    part = {"labels": [1], "region": "slices", "axis": "k", "slices": [1, 6]}
    entry = {"image": "both.nii.gz", "label": "label.nii.gz", "annotated": part}
    data: dict[str, Any] = {"labels": {"0": "none", "1": "a"}, "modality": {"0": "T1", "1": "T2"}, "test": []}
    data |= (
        {"training": [entry | {"held_out": True}]}
        if kind == "held_out"
        else {"training": [], "test": [entry]}
    )
    (tmp_path / "dataset.json").write_text(json.dumps(data), encoding="utf-8")
    store = read_store(tmp_path)
    shown = openAllOfCase(store, store.cases[0])
    for node, array in zip(shown.volumes, arrays, strict=True):
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), array)
    proposal = propose(list(shown.volumes), shown.segmentation, store)
    assert (proposal.slices, proposal.heldOut, proposal.name) == ((1, 6), True, "both")
    proposal.heldOut = False
    assert add(proposal, tmp_path).taken == "both"
    assert [case.kind for case in read_store(tmp_path).cases] == [kind]
    add(proposal, tmp_path, "both")
    (case,) = CaseStore.open(tmp_path).cases
    assert not case.trainable


def test_slices_of_a_left_handed_file_are_those_that_were_finished(tmp_path: Path) -> None:
    """Slicer turns such images around when it reads them."""
    array = np.zeros((10, 7, 8), np.uint8)
    array[[1, 2, 7], 2:5, 2:5] = 1
    image, label = sitk.GetImageFromArray(array.astype(np.int16) * 7), sitk.GetImageFromArray(array)
    for one, name in ((image, "image"), (label, "label")):
        one.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, -1))
        sitk.WriteImage(one, str(tmp_path / f"{name}.nii.gz"))
    store = CaseStore.create(tmp_path / "s", LABELS, [("T1", "MR")])
    part = Annotation((1,), "slices", (1, 7))
    files = [tmp_path / "image.nii.gz"], tmp_path / "label.nii.gz"
    store.add_case(NewCase(*files, case_id="one", annotated=part))
    volume, segmentation, found = opened(tmp_path / "s")
    proposal = propose([volume], segmentation, found)
    turned = not np.array_equal(slicer.util.arrayFromVolume(volume), array * 7)
    assert proposal.slices == ((2, 8) if turned else (1, 7))
    assert set(proposal.slices) < set(proposal.painted.k)


def test_the_channels_of_an_opened_case_go_where_they_were(tmp_path: Path) -> None:
    from MedContextSegmentLib.Learn.ChannelChoice import volumesFor, volumesOfModel

    store = CaseStore.create(tmp_path / "s", LABELS, [("FLAIR", "MR"), ("T1", "MR")])
    second = tmp_path / "b.nii.gz"
    sitk.WriteImage(sitk.Cast(sitk.ReadImage(str(IMAGE)), sitk.sitkFloat32) * 2, str(second))
    store.add_case(NewCase([IMAGE, second], SAMPLE / "labels" / CASE, case_id="flair"))
    found = read_store(store.folder)
    flair, t1 = openAllOfCase(found, found.cases[0]).volumes

    class Card:
        channels, modalities = ("T1", "FLAIR"), ("MR", "MR")

    assert volumesOfModel(Card(), found, [flair, t1]) == [t1, flair]
    assert volumesOfModel(None, found, [flair, t1]) == [flair, t1]
    assert volumesFor(found, [t1, flair]) == [flair, t1]
    proposal = propose([flair, t1], openAllOfCase(found, found.cases[0]).segmentation, found)
    assert not any("name says" in note for note in proposal.notes)


def test_volumes_go_to_the_channels_that_their_names_say(tmp_path: Path) -> None:
    from MedContextSegmentLib.Learn.ChannelChoice import channelNotes, volumesFor

    CaseStore.create(tmp_path / "s", LABELS, [("FLAIR", "MR"), ("T1", "MR")])
    store = read_store(tmp_path / "s")
    t1, flair, first, second = (loadSample(name) for name in ("pat T1", "pat FLAIR", "a", "b"))
    assert volumesFor(store, [t1, flair]) == [flair, t1]
    assert volumesFor(store, [first, second]) == [None, None]  # nobody knows
    assert volumesFor(store, [first, second], ("T1", "FLAIR")) == [second, first]
    assert channelNotes(store, [flair, t1]) == []
    assert len(channelNotes(store, [t1, flair])) == 2
