"""From segments on screen to a case that training reads, through a real worker."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
import vtk

from harness.runs import DEAF, Recorder, addRoi, middle, sampleLabels, scriptWorker
from medcontext.case_list import read_store
from medcontext.data.store import CaseStore
from medcontext.errors import CancelledError, InputError, MedContextError
from medcontext.labels import IGNORE
from MedContextSegmentLib.Learn.AddCase import AddCaseRun, AddedCase, propose
from MedContextSegmentLib.Learn.LabelMapping import choose, leaveOut, makeNew
from MedContextSegmentLib.Learn.OpenCase import openCase
from MedContextSegmentLib.Scene import Provenance

Finish = Callable[[Any], Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "my cäses"


@pytest.fixture
def add(worker: Any, root: Path, folder: Path, finish: Finish) -> Callable[..., AddedCase]:
    """``add(proposal, listener=None, replacing=None)`` adds a case and waits."""

    def run(proposal: Any, listener: Any = None, replacing: str | None = None) -> AddedCase:
        result: AddedCase = finish(AddCaseRun(worker, proposal, folder, listener, root, replacing))
        return result

    return run


def idsOf(segmentation: Any) -> list[str]:
    inner = segmentation.GetSegmentation()
    return [inner.GetNthSegmentID(n) for n in range(inner.GetNumberOfSegments())]


def proposeWhole(*arguments: Any) -> Any:
    """A proposal of a scan of which all is finished, as a person says."""
    proposal = propose(*arguments)
    proposal.region = "whole"
    return proposal


def paint(segmentation: Any, segmentId: str, mask: np.ndarray, volume: Any) -> None:
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), segmentation, segmentId, volume)


def labelsOf(folder: Path, case: str) -> np.ndarray:
    """What training reads: values, and 255 where nobody looked."""
    store = CaseStore.open(folder)
    return store.read_labels(store.case(case)).array[0]


def test_a_case_holds_the_voxels_labels_and_places_that_are_on_screen(
    add: Callable[..., AddedCase], folder: Path, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    result = add(proposeWhole([volume], segmentation, None))
    store = CaseStore.open(folder)
    case = store.case(result.case)
    assert (result.taken, result.cases, case.id) == ("", 1, "scan_067")
    np.testing.assert_array_equal(labelsOf(folder, case.id), sampleLabels())
    image = store.read_image(case)
    np.testing.assert_array_equal(image.array[0], slicer.util.arrayFromVolume(volume))
    matrix = slicer.util.arrayFromVTKMatrix(_matrixOf(volume))
    np.testing.assert_allclose(image.geometry.affine, np.diag([-1, -1, 1, 1]) @ matrix, atol=1e-4)
    assert [(label.value, label.name, label.color) for label in store.labels] == [
        (1, "Anterior", (51, 102, 255)),
        (2, "Posterior", (102, 102, 255)),
    ]
    assert case.annotated.labels == (1, 2)
    assert case.annotated.region == "whole"
    assert case.trainable


def _matrixOf(volume: Any) -> Any:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


def test_slices_painted_one_by_one_are_offered_and_the_rest_is_ignored(
    add: Callable[..., AddedCase], folder: Path, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    drawn, some = sampleLabels(), np.zeros_like(sampleLabels())
    filled = np.flatnonzero(drawn.any(axis=(0, 2)))[2:-2:6]
    some[:, filled] = drawn[:, filled]
    for value, segmentId in enumerate(idsOf(segmentation), start=1):
        paint(segmentation, segmentId, some == value, volume)
    proposal = propose([volume], segmentation, None)
    assert (proposal.region, proposal.axis, proposal.slices) == ("slices", "j", tuple(filled))
    result = add(proposal)
    expected = np.full_like(drawn, IGNORE)
    expected[:, filled] = drawn[:, filled]
    np.testing.assert_array_equal(labelsOf(folder, result.case), expected)
    (case,) = read_store(folder).cases
    assert (case.region, case.axis, case.slices) == ("slices", "j", tuple(filled))


def test_the_person_says_which_slices_are_finished(
    add: Callable[..., AddedCase], folder: Path, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    proposal = propose([volume], segmentation, None)
    painted = proposal.painted.along("k")
    proposal.region, proposal.axis, proposal.slices = "slices", "k", painted[:5]
    listener = Recorder()
    result = add(proposal, listener)
    found = labelsOf(folder, result.case)
    assert (found[list(painted[:5])] == sampleLabels()[list(painted[:5])]).all()
    assert (found[painted[5] :] == IGNORE).all()
    assert any(f"not finished are ignored: {painted[5]}-{painted[-1]}" in text for text in listener.messages)


def test_a_box_says_where_it_is_finished(
    add: Callable[..., AddedCase], folder: Path, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    proposal = propose([volume], segmentation, None)
    proposal.region, proposal.roi = "roi", addRoi(middle(volume), (20, 20, 20), angle=0.3)
    result = add(proposal)
    found, drawn = labelsOf(folder, result.case), sampleLabels()
    looked = found != IGNORE
    assert 7000 < looked.sum() < 9000
    np.testing.assert_array_equal(found[looked], drawn[looked])
    assert read_store(folder).cases[0].region == "mask"


def test_a_label_that_is_not_finished_is_unknown_and_not_background(
    add: Callable[..., AddedCase], folder: Path, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    proposal = proposeWhole([volume], segmentation, None)
    proposal.finished = (2,)
    listener = Recorder()
    result = add(proposal, listener)
    np.testing.assert_array_equal(labelsOf(folder, result.case), np.where(sampleLabels() == 2, 2, 0))
    assert CaseStore.open(folder).case(result.case).annotated.labels == (2,)
    assert "Painted but not finished, so unknown in this case: Anterior." in listener.messages


def test_a_finished_label_without_a_voxel_is_learnt_to_be_absent(
    add: Callable[..., AddedCase], folder: Path, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    add(propose([volume], segmentation, None))
    shifted = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, volume, "other")
    slicer.util.arrayFromVolume(shifted)[:] += 3
    slicer.util.arrayFromVolumeModified(shifted)
    (anterior, _posterior) = idsOf(segmentation)
    proposal = propose([shifted], segmentation, read_store(folder), [anterior])
    assert proposal.finished == (1,)
    proposal.finished = (1, 2)
    listener = Recorder()
    result = add(proposal, listener)
    assert CaseStore.open(folder).case(result.case).annotated.labels == (1, 2)
    assert "Finished without a voxel, so learnt to be absent: Posterior." in listener.messages


def test_the_same_image_again_is_asked_about_and_then_replaced(
    add: Callable[..., AddedCase], folder: Path, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    first = add(propose([volume], segmentation, None))
    paint(segmentation, idsOf(segmentation)[0], np.zeros(sampleLabels().shape), volume)
    before = (folder / "dataset.json").read_bytes()
    proposal = propose([volume], segmentation, read_store(folder))
    asked = add(proposal)
    assert (asked.case, asked.taken, asked.cases) == ("", first.case, 1)
    assert (folder / "dataset.json").read_bytes() == before
    again = add(proposal, replacing=asked.taken)
    assert (again.case, again.cases) == (first.case, 1)
    assert not (labelsOf(folder, first.case) == 1).any()


def test_a_scan_that_was_listed_without_labels_gets_them_without_asking(
    add: Callable[..., AddedCase], folder: Path, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    store = CaseStore.create(
        folder, proposeWhole([volume], segmentation, None).labels or _none(), [("T1", "MR")]
    )
    scan = Path(volume.GetStorageNode().GetFullNameFromFileName())
    assert store.link([scan]).added
    listener = Recorder()
    proposal = proposeWhole([volume], segmentation, read_store(folder))
    for row in proposal.mapping:
        if row.needsAnswer:
            makeNew(proposal.mapping, row, proposal.labels)
    proposal.finished = proposal.paintedValues
    result = add(proposal, listener)
    assert (result.taken, result.cases) == ("", 1)
    np.testing.assert_array_equal(labelsOf(folder, result.case), sampleLabels())
    assert any("without labels" in text for text in listener.messages)


def _none() -> Any:
    from medcontext.labels import LabelSet

    return LabelSet()


def test_a_second_case_uses_the_labels_of_the_store(
    add: Callable[..., AddedCase], folder: Path, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    add(proposeWhole([volume], segmentation, None))
    other = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, volume, "other")
    slicer.util.arrayFromVolume(other)[:] += 3
    slicer.util.arrayFromVolumeModified(other)
    segments = [segmentation.GetSegmentation().GetSegment(segmentId) for segmentId in idsOf(segmentation)]
    segments[0].SetName("posterior")  # the other way round, and written otherwise
    segments[1].SetName("Cyst")
    proposal = proposeWhole([other], segmentation, read_store(folder))
    assert [(row.name, row.how) for row in proposal.mapping] == [("posterior", "name"), ("Cyst", "none")]
    assert proposal.problem == "Say which label these segments are: Cyst."
    assert makeNew(proposal.mapping, proposal.mapping[1], proposal.labels).value == 3
    proposal.finished = proposal.paintedValues
    assert (proposal.problem, proposal.finished) == ("", (2, 3))
    result = add(proposal)
    drawn = sampleLabels()
    expected = np.where(drawn == 1, 2, np.where(drawn == 2, 3, 0))
    np.testing.assert_array_equal(labelsOf(folder, result.case), expected)
    assert [label.name for label in CaseStore.open(folder).labels] == ["Anterior", "Posterior", "Cyst"]


def test_two_segments_become_one_label_when_the_person_says_so(
    add: Callable[..., AddedCase], folder: Path, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    proposal = proposeWhole([volume], segmentation, None)
    first, second = proposal.mapping
    whole = makeNew(proposal.mapping, first, None, "hippocampus")
    choose(second, whole)
    proposal.finished = proposal.paintedValues
    listener = Recorder()
    result = add(proposal, listener)
    np.testing.assert_array_equal(labelsOf(folder, result.case), sampleLabels() > 0)
    assert [label.name for label in CaseStore.open(folder).labels] == ["hippocampus"]
    assert any("merged into the label 'hippocampus'" in text for text in listener.messages)


def test_what_is_odd_about_segments_is_told_and_the_case_is_right(
    add: Callable[..., AddedCase], folder: Path, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    drawn = sampleLabels()
    inner = segmentation.GetSegmentation()
    inner.AddEmptySegment("", "nothing")
    lesion = str(inner.AddEmptySegment("", "lesion"))
    mask = np.zeros(drawn.shape, bool)
    k, j, i = (int(v) for v in np.argwhere(drawn == 1)[200])
    mask[k : k + 2, j : j + 2, i : i + 2] = True
    paint(segmentation, lesion, mask, volume)
    proposal = proposeWhole([volume], segmentation, None)
    assert [row.name for row in proposal.mapping] == [
        "Anterior",
        "Posterior",
        "lesion",
    ]  # the empty one is not
    assert any("'nothing' is empty" in note for note in proposal.notes)
    assert any("'lesion' and 'Anterior' overlap" in note for note in proposal.notes)
    result = add(proposal)
    np.testing.assert_array_equal(labelsOf(folder, result.case), np.where(mask, 3, drawn))


def test_an_empty_segment_that_is_chosen_is_not_finished_unless_the_person_says_so(
    screen: tuple[Any, Any],
) -> None:
    volume, segmentation = screen
    empty = str(segmentation.GetSegmentation().AddEmptySegment("", "nothing"))
    proposal = propose([volume], segmentation, None, [*idsOf(segmentation)[:1], empty])
    assert [row.name for row in proposal.mapping] == ["Anterior", "nothing"]
    assert proposal.finished == (1,)


def test_a_scan_and_segments_below_a_transform_go_where_the_views_show_them(
    add: Callable[..., AddedCase], folder: Path, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, :3] = [[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]
    matrix[:3, 3] = 5, 6, 7
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    for node in screen:
        node.SetAndObserveTransformNodeID(transform.GetID())
    result = add(proposeWhole([volume], segmentation, None))
    np.testing.assert_array_equal(labelsOf(folder, result.case), sampleLabels())
    flip = np.diag([-1, -1, 1, 1])
    image = CaseStore.open(folder).read_image(CaseStore.open(folder).case(result.case))
    expected = flip @ matrix @ slicer.util.arrayFromVTKMatrix(_matrixOf(volume))
    np.testing.assert_allclose(image.geometry.affine, expected, atol=1e-3)


def test_several_channels_on_their_own_grids(
    add: Callable[..., AddedCase], folder: Path, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    array = slicer.util.arrayFromVolume(volume)
    finer = slicer.util.addVolumeFromArray(
        np.repeat(array, 2, axis=0).astype(np.float32) / 7, name="T2 FLAIR"
    )
    matrix = slicer.util.arrayFromVTKMatrix(_matrixOf(volume))
    matrix[:3, 3] -= matrix[:3, 2] / 4
    matrix[:3, 2] /= 2
    finer.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    volume.SetName("T1w")
    result = add(propose([volume, finer], segmentation, None))
    store = CaseStore.open(folder)
    assert store.channels == [("T1", "MR"), ("FLAIR", "MR")]
    image = store.read_image(store.case(result.case))
    assert image.array.shape == (2, *array.shape)
    np.testing.assert_allclose(image.array[1, :, 5:-5, 5:-5], array[:, 5:-5, 5:-5] / 7, atol=0.01, rtol=1e-3)


def test_provenance_says_where_it_came_from_and_not_who_it_is(
    add: Callable[..., AddedCase], folder: Path, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Doe, Jane")
    hierarchy.SetItemUID(patient, "DICOM", "4711-JD")
    hierarchy.SetItemAttribute(patient, "DICOM.PatientName", "Doe, Jane")
    hierarchy.SetItemLevel(patient, "Patient")
    study = hierarchy.CreateStudyItem(patient, "study")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
    hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(volume), "DICOM.Modality", "MR")
    segment = segmentation.GetSegmentation().GetNthSegment(0)
    Provenance.writeToSegment(segment, {"Model": "hippocampus@abc", "Label": "1"})
    proposal = propose([volume], segmentation, None)
    assert proposal.patient.startswith("patient-")
    result = add(proposal)
    text = (folder / "dataset.json").read_text(encoding="utf-8")
    assert "Doe" not in text
    assert "4711" not in text
    case = CaseStore.open(folder).case(result.case)
    assert case.group == proposal.patient
    assert case.provenance["modality"] == "MR"
    assert not {"volumes", "scene", "segmentation", "segments"} & set(case.provenance)
    assert case.provenance["models"] == {"Anterior": ["hippocampus@abc"]}
    assert case.provenance["application"].startswith("3D Slicer 5.")


def test_scans_of_one_patient_are_one_group_and_of_nobody_none(screen: tuple[Any, Any]) -> None:
    from MedContextSegmentLib.Scene.ScanFiles import patientGroup

    volume, _segmentation = screen
    other = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, volume, "other")
    assert patientGroup(volume) == ""
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    groups = []
    for number in ("4711", " 4711 ", "4712", "anonymous"):
        patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "x")
        hierarchy.SetItemLevel(patient, "Patient")
        hierarchy.SetItemAttribute(patient, "DICOM.PatientID", number)
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(other), patient)
        groups.append(patientGroup(other))
    assert groups[0] == groups[1] != groups[2]
    assert groups[3] == ""


def test_a_case_that_was_opened_from_the_store_is_proposed_as_it_is_there(
    add: Callable[..., AddedCase], folder: Path, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    proposal = propose([volume], segmentation, None)
    proposal.region, proposal.axis, proposal.slices = "slices", "k", (1, *proposal.painted.along("k")[:4])
    proposal.patient, proposal.heldOut, proposal.finished = "P7", True, (1,)
    first = add(proposal)
    finished = proposal.slices
    slicer.mrmlScene.Clear(0)
    store = read_store(folder)
    volume, segmentation = openCase(store, store.cases[0])
    again = propose([volume], segmentation, store)
    assert (again.region, again.axis) == ("slices", "k")
    assert set(again.slices) >= set(finished)  # slice 1, where nothing is, too
    assert (again.patient, again.heldOut, again.finished, again.name) == ("P7", True, (1,), first.case)
    answer = add(again)
    assert answer.taken == first.case
    assert add(again, replacing=first.case).case == first.case
    assert read_store(folder).cases[0].slices == again.slices


def test_held_out_cases_are_kept_for_scoring(
    add: Callable[..., AddedCase], folder: Path, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    from MedContextSegmentLib.Panel.CaseTexts import addedText

    proposal = propose([volume], segmentation, None)
    proposal.heldOut = True
    result = add(proposal)
    assert not CaseStore.open(folder).case(result.case).trainable
    assert read_store(folder).cases[0].kind == "held_out"
    CaseStore.open(folder).remove([result.case])
    proposal.heldOut = False
    again = add(proposal)
    assert again.heldOut  # for good, and the person is told
    assert "stays held out" in addedText(again, proposal)


# What cannot be added


def test_what_is_missing_is_one_sentence_before_anything_begins(
    worker: Any, root: Path, folder: Path, finish: Finish, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    proposal = propose([volume], segmentation, None)
    proposal.finished = ()
    with pytest.raises(InputError, match="Say which labels are finished"):
        finish(AddCaseRun(worker, proposal, folder, None, root))
    proposal.finished, proposal.region, proposal.slices = (1,), "slices", ()
    assert proposal.problem == "Say which slices are finished."
    proposal.region = "roi"
    assert proposal.problem == "Choose the ROI in which the labels are finished."
    for row in proposal.mapping:
        leaveOut(row)
    assert proposal.problem == "No segment is chosen to learn from."
    assert not folder.exists()


def test_nothing_painted_is_one_sentence(screen: tuple[Any, Any]) -> None:
    volume, segmentation = screen
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    with pytest.raises(InputError, match="There is no segment to learn from"):
        propose([volume], empty, None)
    empty.GetSegmentation().AddEmptySegment("", "a")
    with pytest.raises(InputError, match="All segments are empty"):
        propose([volume], empty, None)
    for volumes, given in (([], segmentation), ([None], segmentation), ([volume], None)):
        with pytest.raises(InputError) as error:
            propose(volumes, given, None)
        assert error.value.hint


def test_a_store_of_other_channels_is_one_sentence(folder: Path, screen: tuple[Any, Any]) -> None:
    volume, segmentation = screen
    CaseStore.create(folder, _none(), [("FLAIR", "MR"), ("T1C", "MR")])
    with pytest.raises(InputError, match=r"has 2 channel\(s\) \(FLAIR, T1C\), 1 volume"):
        propose([volume], segmentation, read_store(folder))
    with pytest.raises(InputError, match="One volume is chosen for several channels"):
        propose([volume, volume], segmentation, read_store(folder))


def test_a_segment_beside_the_scan_is_told_and_refused_by_the_worker(
    worker: Any, root: Path, folder: Path, finish: Finish, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, 3] = 900
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    segmentation.SetAndObserveTransformNodeID(transform.GetID())
    proposal = propose([volume], segmentation, None)
    assert sum("lies outside of scan 067" in note for note in proposal.notes) == 2
    assert proposal.finished == ()
    proposal.finished = (1, 2)
    with pytest.raises(InputError, match="no voxel of any structure"):
        finish(AddCaseRun(worker, proposal, folder, None, root))


def test_a_folder_that_cannot_be_written_is_one_sentence(
    worker: Any, root: Path, tmp_path: Path, finish: Finish, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    (tmp_path / "a file").write_text("x")
    with pytest.raises(MedContextError) as error:
        finish(AddCaseRun(worker, propose([volume], segmentation, None), tmp_path / "a file", None, root))
    assert "a file" in error.value.message


def test_a_volume_that_is_deleted_is_one_sentence(
    worker: Any, root: Path, folder: Path, finish: Finish, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    proposal = propose([volume], segmentation, None)
    slicer.mrmlScene.RemoveNode(volume)
    with pytest.raises(InputError, match="was deleted"):
        finish(AddCaseRun(worker, proposal, folder, None, root))


def test_the_scene_may_close_once_the_segments_were_read(
    worker: Any, root: Path, folder: Path, finish: Finish, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    run = AddCaseRun(worker, proposeWhole([volume], segmentation, None), folder, None, root)
    while run.state == "preparing":
        assert run.poll()
    slicer.mrmlScene.Clear(0)
    result = finish(run)
    np.testing.assert_array_equal(labelsOf(folder, result.case), sampleLabels())


# Stopping


def test_stopping_before_the_worker_was_asked_leaves_nothing(
    worker: Any, root: Path, folder: Path, finish: Finish, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    listener = Recorder()
    run = AddCaseRun(worker, propose([volume], segmentation, None), folder, listener, root)
    run.poll()
    run.cancel()
    with pytest.raises(CancelledError):
        finish(run)
    assert run.state == "cancelled"
    assert listener.ends == [run]
    assert not folder.exists()


def test_a_worker_that_does_not_stop_is_ended(
    tmp_path: Path, root: Path, folder: Path, finish: Finish, screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    CaseStore.create(folder, _none(), [("T1", "MR")])
    deaf = scriptWorker(tmp_path, DEAF)
    try:
        proposal = propose([volume], segmentation, None)
        run = AddCaseRun(deaf, proposal, folder, None, root)
        while run.state == "preparing":
            run.poll()
        began = time.monotonic()
        run.cancel()
        with pytest.raises(CancelledError):
            finish(run)
        assert time.monotonic() - began < 10
        assert json.loads((folder / "dataset.json").read_text())["training"] == []
    finally:
        deaf.close()


def test_polling_never_waits_for_the_disk(
    worker: Any,
    root: Path,
    folder: Path,
    finish: Finish,
    screen: tuple[Any, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from MedContextSegmentLib.Learn.WorkerSteps import Sending

    volume, segmentation = screen
    go = threading.Event()
    real = Sending.volume

    def slow(self: Any, *arguments: Any) -> Any:
        assert go.wait(30)
        return real(self, *arguments)

    monkeypatch.setattr(Sending, "volume", slow)
    run = AddCaseRun(worker, propose([volume], segmentation, None), folder, None, root)
    for _turn in range(20):
        assert run.poll()
    assert not go.is_set()
    go.set()
    assert finish(run).case


def test_a_file_that_comes_while_the_folder_is_removed_does_not_keep_it(root: Path) -> None:
    from MedContextSegmentLib.Learn.WorkerSteps import Sending

    def late() -> None:
        """As when the removal has looked into the folder before the file is there."""
        sending.close()
        folder.mkdir()
        (folder / "late.raw").touch()

    sending = Sending(root, late)
    folder = sending.folder
    sending.volume("channel", np.zeros((2, 2, 2), np.float32), np.eye(4))
    assert not folder.exists()
