"""A case of a batch in the scene: brought there beside what is there, changed, kept, taken away."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext.errors import InputError

slicer = pytest.importorskip("slicer")

CASE = "hippocampus_011"


@pytest.fixture
def session(out: Path, worker: Any, look: Callable[[Path], Any]) -> Any:
    """A review of the finished batch."""
    from MedContextSegmentLib.Batch.ReviewSession import ReviewSession

    return ReviewSession(look(out), worker)


@pytest.fixture
def show(session: Any, finish: Callable[[Any], Any]) -> Callable[..., Any]:
    """``show(case)``: bring a case into the scene as the panel does."""

    def open_(case: str, **options: Any) -> Any:
        run = session.opening(case, **options)
        try:
            finish(run)
        finally:
            session.opened(case, run)
        return session.case

    return open_


def nodes() -> set[str]:
    return {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}


def arrays(case: Any) -> dict[str, np.ndarray]:
    from harness.panel import segmentArrays

    return segmentArrays(case.segmentation, case.volumes[0])


def test_scan_and_segments_are_those_of_the_batch_with_names_colors_and_codes(show: Any) -> None:
    from harness.panel import SAMPLE, segmentArrays
    from MedContextSegmentLib.Scene.Terminology import segmentTerminology

    case = show(CASE)
    scan = slicer.util.loadVolume(str(SAMPLE / "images" / f"{CASE}.nii.gz"), {"show": False})
    labels = slicer.util.loadLabelVolume(str(SAMPLE / "labels" / f"{CASE}.nii.gz"), {"show": False})
    assert np.array_equal(slicer.util.arrayFromVolume(case.volumes[0]), slicer.util.arrayFromVolume(scan))
    for name, value in (("Anterior", 1), ("Posterior", 2)):
        # On the grid of Slicer's own reader, so that both lie at the same place.
        found = segmentArrays(case.segmentation, scan)[name]
        assert np.array_equal(found, slicer.util.arrayFromVolume(labels) == value)
    segment = case.segmentation.GetSegmentation().GetNthSegment(0)
    assert [round(255 * part) for part in segment.GetColor()] == [230, 159, 0]
    codes = segmentTerminology(segment)
    assert codes is not None
    assert codes["type"]["meaning"] == "Hippocampus"


def test_the_next_case_takes_the_place_of_the_one_before_and_of_nothing_else(show: Any, session: Any) -> None:
    from harness.panel import loadSample

    own = loadSample("own scan")
    before = nodes()
    show(CASE)
    one = nodes() - before
    show("hippocampus_024")
    assert own.GetScene() is not None
    assert not one & nodes()
    assert len(nodes() - before) == len(one)
    session.end()
    assert nodes() == before


def test_views_show_the_case_and_afterwards_what_they_showed_before(
    out: Path, worker: Any, look: Callable[[Path], Any], finish: Callable[[Any], Any]
) -> None:
    from harness.panel import loadSample
    from harness.views import SliceView
    from MedContextSegmentLib.Batch.ReviewSession import ReviewSession

    own = loadSample("own scan")
    painted = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "own segments")
    painted.CreateDefaultDisplayNodes()
    SliceView("Red", "Axial", (100, 100)).show(own)
    found = slicer.util.getNodesByClass(
        "vtkMRMLSliceCompositeNode"
    )  # a test with Qt leaves those of its views
    (composite,) = (node for node in found if node.GetLayoutName() == "Red")
    session = ReviewSession(look(out), worker)
    run = session.opening(CASE)
    finish(run)
    session.opened(CASE, run)
    assert composite.GetBackgroundVolumeID() == session.case.volumes[0].GetID()
    assert not painted.GetDisplayNode().GetVisibility()  # else it lay over another scan
    session.end()
    assert composite.GetBackgroundVolumeID() == own.GetID()
    assert painted.GetDisplayNode().GetVisibility()


def test_looking_is_no_change_but_every_edit_is(show: Any) -> None:
    from harness.batches import paintIn

    case = show(CASE)
    segmentation = case.segmentation.GetSegmentation()
    case.segmentation.CreateClosedSurfaceRepresentation()
    case.segmentation.GetDisplayNode().SetOpacity(0.3)
    case.segmentation.GetDisplayNode().SetSegmentVisibility(segmentation.GetNthSegmentID(0), False)
    assert not case.changed
    segmentation.GetNthSegment(1).SetName("Tail")
    assert case.changed
    segmentation.GetNthSegment(1).SetName("Posterior")
    assert not case.changed
    segmentation.GetNthSegment(1).SetColor(1, 0, 0)
    assert case.changed
    case.keep()
    assert not case.changed
    paintIn(case.segmentation, case.volumes[0])
    assert case.changed


def test_a_correction_is_kept_whole_and_is_there_when_the_case_is_opened_again(
    show: Any, session: Any, out: Path
) -> None:
    from harness.batches import paintIn, reviewsOf
    from medcontext.io import read_segmentation

    results = {path: path.read_bytes() for path in (out / "segmentations").iterdir()}
    case = show(CASE)
    painted = paintIn(case.segmentation, case.volumes[0])
    session.judge("accept", "the tip was missing")
    assert reviewsOf(out) == [(CASE, "correct")]
    file = out / "corrected" / f"{CASE}.seg.nrrd"
    volume, labels = read_segmentation(file)  # also without Slicer
    assert [label.name for label in labels] == ["Anterior", "Posterior"]
    assert (volume.array == 1).sum() == painted.sum()
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    show("hippocampus_024")
    again = show(CASE)
    assert again.corrected
    assert np.array_equal(arrays(again)["Anterior"], painted > 0)
    assert session.review().note == "the tip was missing"
    assert {path: path.read_bytes() for path in (out / "segmentations").iterdir()} == results


def test_slicers_own_save_never_writes_over_the_result(show: Any, session: Any, out: Path) -> None:
    case = show(CASE)
    assert case.segmentation.GetStorageNode() is None  # so that Slicer asks for a place
    session.judge("accept")
    case.keep()
    session.judge("accept")
    show("hippocampus_024")
    case = show(CASE)
    file = Path(case.segmentation.GetStorageNode().GetFileName())
    assert file == out / "corrected" / f"{CASE}.seg.nrrd"


def test_what_was_changed_is_kept_without_a_verdict_too(show: Any, out: Path) -> None:
    from harness.batches import paintIn, reviewsOf

    case = show(CASE)
    painted = paintIn(case.segmentation, case.volumes[0])
    show("hippocampus_024")
    assert reviewsOf(out) == []
    again = show(CASE)
    assert np.array_equal(arrays(again)["Anterior"], painted > 0)
    fresh = show(CASE, fresh=True)
    assert not fresh.corrected
    assert not np.array_equal(arrays(fresh)["Anterior"], painted > 0)


def doneAgain(out: Path) -> None:
    """As a batch with another model leaves its case: same name, another result."""
    from harness.batches import doneRow, writeRows

    outputs = {"nii.gz": [{"path": f"segmentations/{CASE}.nii.gz", "size": 1, "mtime_ns": 2}]}
    writeRows(out, [doneRow(CASE, outputs=outputs, certainty=0.5)])


@pytest.mark.parametrize("verdict", ["accept", "reject", "changed"])
def test_a_result_that_was_done_again_is_offered_again_and_shown_as_it_is_now(
    show: Any, session: Any, out: Path, worker: Any, look: Callable[[Path], Any], verdict: str
) -> None:
    from harness.batches import paintIn
    from MedContextSegmentLib.Batch.BatchTexts import reasonText
    from MedContextSegmentLib.Batch.ReviewSession import ReviewSession

    case = show(CASE)
    if verdict != "accept":
        painted = paintIn(case.segmentation, case.volumes[0])
    session.judge("accept" if verdict == "changed" else verdict)
    session.end()
    assert look(out).reviewed(CASE)
    doneAgain(out)
    rows = look(out)
    again = ReviewSession(rows, worker)
    assert again.queue.reviewed == 0
    assert again.queue.following() == CASE
    assert rows.verdict(CASE) == "void"
    assert "An earlier result" in reasonText(rows, CASE)
    run = again.opening(CASE)
    while run.poll():
        pass
    again.opened(CASE, run)
    assert not again.case.corrected
    assert again.review() is None
    if verdict == "accept":
        again.end()
        return
    assert not np.array_equal(arrays(again.case)["Anterior"], painted > 0)
    file = out / "corrected" / f"{CASE}.seg.nrrd"
    before = file.read_bytes()
    paintIn(again.case.segmentation, again.case.volumes[0], (slice(8, 9), slice(8, 9), slice(8, 9)))
    again.judge("accept")
    assert file.read_bytes() != before
    assert (file.parent / "earlier" / f"{CASE}.1.seg.nrrd").read_bytes() == before  # what a person drew stays
    assert look(out).verdict(CASE) == "correct"
    again.end()


def test_a_verdict_on_what_is_shown_does_not_hold_for_what_the_batch_made_meanwhile(
    show: Any, session: Any, out: Path, look: Callable[[Path], Any]
) -> None:
    show(CASE)
    doneAgain(out)
    session.judge("accept")
    assert look(out).verdict(CASE) == "void"


@pytest.mark.parametrize(("verdict", "left"), [("accept", ""), ("reject", "reject")])
def test_what_was_taken_back_does_not_come_again(
    show: Any, session: Any, out: Path, look: Callable[[Path], Any], verdict: str, left: str
) -> None:
    from harness.batches import paintIn

    case = show(CASE)
    painted = paintIn(case.segmentation, case.volumes[0])
    session.judge(verdict)
    show(CASE, fresh=True)
    session.takeBack()
    show("hippocampus_024")
    assert look(out).verdict(CASE) == left
    again = show(CASE)
    assert not again.corrected
    assert not np.array_equal(arrays(again)["Anterior"], painted > 0)
    assert [path.name for path in (out / "corrected").iterdir()] == ["earlier"]


@pytest.mark.parametrize("writable", [True, False])
def test_segments_are_kept_when_somebody_deletes_only_the_scan(
    show: Any, session: Any, out: Path, writable: bool
) -> None:
    from harness.batches import paintIn
    from medcontext.io import read_segmentation

    case = show(CASE)
    painted = paintIn(case.segmentation, case.volumes[0])
    if not writable:
        (out / "corrected").write_text("a file", encoding="utf-8")
    slicer.mrmlScene.RemoveNode(case.volumes[0])
    assert session.caseIsGone()
    assert session.case is None
    if writable:
        volume, _labels = read_segmentation(out / "corrected" / f"{CASE}.seg.nrrd")
        assert (volume.array == 1).sum() == painted.sum()
        assert show(CASE).corrected
    else:
        assert "cannot be written" in session.problem
        assert case.segmentation.GetScene() is not None
        slicer.mrmlScene.RemoveNode(case.segmentation)


def test_a_result_that_was_accepted_since_is_shown_as_the_batch_made_it(
    show: Any, session: Any, out: Path
) -> None:
    from harness.batches import paintIn
    from medcontext.batch_ledger import Review

    case = show(CASE)
    paintIn(case.segmentation, case.volumes[0])
    show("hippocampus_024")
    session.queue.rows.add(Review(CASE, "accept"))
    assert not show(CASE).corrected
    assert (out / "corrected" / f"{CASE}.seg.nrrd").exists()


def test_a_scan_that_moved_is_one_sentence_and_leaves_nothing_behind(
    show: Any, session: Any, out: Path
) -> None:
    show("hippocampus_024")
    before = nodes()
    scan = out.parent / "scans" / f"{CASE}.nii.gz"
    scan.rename(scan.with_name("elsewhere.nii.gz"))
    with pytest.raises(InputError):
        show(CASE)
    assert CASE in session.problem
    assert "\n" not in session.problem
    assert session.case is None
    assert nodes() < before
    scan.with_name("elsewhere.nii.gz").rename(scan)
    assert show(CASE).there  # what failed ahead of time is tried again
    assert session.problem == ""


def test_a_broken_correction_is_said_and_not_overwritten(show: Any, session: Any, out: Path) -> None:
    from medcontext.batch_ledger import Review

    file = out / "corrected" / f"{CASE}.seg.nrrd"
    file.parent.mkdir()
    session.queue.rows.add(Review(CASE, "correct", f"corrected/{CASE}.seg.nrrd"))
    file.write_text("NRRD0004\nbroken", encoding="utf-8")
    before = nodes()
    with pytest.raises(InputError, match="corrected segments"):
        show(CASE)
    assert nodes() == before
    assert file.read_text(encoding="utf-8") == "NRRD0004\nbroken"
    assert session.case is None


def test_what_is_not_finished_cannot_be_opened(out: Path, worker: Any, look: Callable[[Path], Any]) -> None:
    from harness.batches import doneRow, failedRow, runningRow, writeRows
    from MedContextSegmentLib.Batch.ReviewSession import ReviewSession

    stl = doneRow("surfaces only", outputs={"stl": [{"path": "surfaces/x/a.stl"}]})
    stopped = {**runningRow("stopped"), "state": "unfinished"}
    writeRows(out, [runningRow("begun"), stopped, failedRow("broken", "It is empty."), stl])
    session = ReviewSession(look(out), worker)
    for case, words in (
        ("begun", "not finished yet"),
        ("stopped", "not finished yet"),
        ("broken", "It is empty."),
        ("unheard of", "no case"),
    ):
        with pytest.raises(InputError, match=words):
            session.opening(case)


def test_a_case_without_a_label_map_says_what_to_do(
    out: Path, worker: Any, look: Callable[[Path], Any], finish: Callable[[Any], Any]
) -> None:
    from harness.batches import doneRow, writeRows
    from MedContextSegmentLib.Batch.ReviewSession import ReviewSession

    writeRows(out, [doneRow("surfaces", outputs={"stl": [{"path": "surfaces/x/a.stl"}]})])
    session = ReviewSession(look(out), worker)
    with pytest.raises(InputError, match="--format"):
        finish(session.opening("surfaces"))


def test_a_folder_that_cannot_be_written_loses_nothing(show: Any, session: Any, out: Path) -> None:
    from harness.batches import paintIn

    case = show(CASE)
    painted = paintIn(case.segmentation, case.volumes[0])
    (out / "corrected").write_text("a file", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be written"):
        session.opening("hippocampus_024")
    with pytest.raises(InputError, match="cannot be written"):
        session.judge("accept")
    assert session.case is case
    assert np.array_equal(arrays(case)["Anterior"], painted > 0)
    assert not (out / "reviews.jsonl").exists()


def test_the_next_case_is_read_while_this_one_is_looked_at(show: Any, session: Any, out: Path) -> None:
    show(CASE)
    coming = session.queue.following()
    assert coming == "hippocampus_024"
    session.prefetch.turn(60)
    assert not session.prefetch.reading
    (out.parent / "scans" / f"{coming}.nii.gz").unlink()
    assert show(coming).there


def test_names_of_nodes_are_names_of_cases(show: Any, out: Path) -> None:
    case = show(CASE)
    assert case.volumes[0].GetName() == CASE
    assert CASE in case.segmentation.GetName()
    assert str(out) not in json.dumps([node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLNode")])
