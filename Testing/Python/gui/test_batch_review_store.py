"""*Corrected, add case*: from the review of a batch into the case store of *Learn*, asking only what is unclear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

FIRST, SECOND = "hippocampus_011", "hippocampus_024"


@pytest.fixture
def cases(reviewing: Any, tmp_path: Path) -> Path:
    """A case store that knows both structures, chosen in Learn."""
    from harness.cases import addCase, finish, newStore, paint
    from harness.panel import loadSample, settle

    reviewing.ui.learnSection.collapsed = False
    volume = loadSample("T1 MR of another person")
    slicer.util.updateVolumeFromArray(volume, slicer.util.arrayFromVolume(volume)[:, ::-1].copy())
    painted = paint(volume, {"Anterior": (5, 9), "Posterior": (10, 14)})
    reviewing.learn.context.choose([volume], painted)
    settle()
    newStore(tmp_path)
    addCase(reviewing, lambda _ui: None)
    finish(reviewing)
    for node in (volume, painted):
        slicer.mrmlScene.RemoveNode(node)
    return tmp_path / "Hippocampus"


def test_one_key_puts_the_corrected_case_into_the_store_and_shows_the_next(
    cases: Path, queue: Any, reviewing: Any, finished: Path
) -> None:
    from harness import dialogs
    from harness.batches import reviewsOf
    from harness.cases import index
    from harness.panel import waitUntil
    from harness.reviews import correct, reviewStatus, shownCase
    from medcontext.io import read_labelmap

    painted = correct(queue)
    asked = len(dialogs.shown)
    queue.ui.addReviewedButton.click()
    assert not queue.ui.acceptButton.enabled  # not twice
    assert waitUntil(lambda: shownCase(queue) == SECOND), reviewStatus(queue)
    assert len(dialogs.shown) == asked  # nothing was unclear
    assert reviewsOf(finished) == [(FIRST, "correct")]
    entry = next(case for case in index(cases)["training"] if case["id"] == FIRST)
    assert entry["annotated"]["region"] == "whole"
    assert entry["annotated"]["labels"] == [1, 2]
    stored = read_labelmap(cases / entry["label"]).array[0]
    assert np.array_equal(stored == 1, painted)
    assert str(cases) in reviewStatus(queue)
    assert waitUntil(lambda: any(case.id == FIRST for case in reviewing.learn.cases.store().cases))


def test_names_that_the_store_does_not_have_are_asked_for(
    cases: Path, queue: Any, reviewing: Any, finished: Path
) -> None:
    from harness import dialogs
    from harness.batches import reviewsOf
    from harness.cases import choice, index, ok, say
    from harness.panel import waitUntil
    from harness.reviews import reviewStatus, shownCase

    queue.actions.case.segmentation.GetSegmentation().GetNthSegment(1).SetName("Tail")
    queue.actions.case.segmentation.GetSegmentation().GetNthSegment(1).SetTerminology("")
    seen: list[str] = []

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        assert waitUntil(lambda: "Looking" not in ui.addCaseStatusLabel.text, 20)
        seen.append(choice(ui, "Tail"))
        assert ui.finishedRegionSelector.itemData(ui.finishedRegionSelector.currentIndex) == "whole"
        say(ui, "Tail", "Posterior")
        return ok(ui.addCaseButtonBox, dialog)

    dialogs.answers.append(answer)
    queue.ui.addReviewedButton.click()
    assert waitUntil(lambda: shownCase(queue) == SECOND), reviewStatus(queue)
    assert seen == ["Choose..."]
    assert [case["id"] for case in index(cases)["training"]][-1] == FIRST
    dialogs.answers.append(0)  # given up
    queue.actions.case.segmentation.GetSegmentation().GetNthSegment(1).SetName("Tail")
    queue.actions.case.segmentation.GetSegmentation().GetNthSegment(1).SetTerminology("")
    queue.ui.addReviewedButton.click()
    assert waitUntil(lambda: not reviewing.learn.cases.control.running and queue.ui.acceptButton.enabled)
    assert shownCase(queue) == SECOND
    assert len(index(cases)["training"]) == 2
    assert reviewsOf(finished)[-1] == (SECOND, "correct")  # what was said of the result stays


def test_without_a_store_one_is_made_first(queue: Any, reviewing: Any, tmp_path: Path) -> None:
    from harness import dialogs
    from harness.cases import index, ok
    from harness.learning import answerNewStore
    from harness.panel import waitUntil
    from harness.reviews import reviewStatus, shownCase

    reviewing.ui.learnSection.collapsed = False
    answerNewStore("Hippocampus", tmp_path)

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        assert waitUntil(lambda: "Looking" not in ui.addCaseStatusLabel.text, 20)
        return ok(ui.addCaseButtonBox, dialog)

    dialogs.answers.append(answer)
    queue.ui.addReviewedButton.click()
    assert waitUntil(lambda: shownCase(queue) == SECOND), reviewStatus(queue)
    (entry,) = index(tmp_path / "Hippocampus")["training"]
    assert entry["id"] == FIRST
    assert entry["annotated"]["region"] == "whole"


def test_a_structure_that_is_not_there_is_learnt_to_be_absent(
    cases: Path, reviewing: Any, finished: Path
) -> None:
    from harness.cases import index
    from harness.panel import waitUntil
    from harness.reviews import click, reviewStatus, shownCase
    from medcontext.geometry import Volume
    from medcontext.io import read_labelmap, write_labelmap

    path = finished / "segmentations" / f"{FIRST}.nii.gz"
    labels = read_labelmap(path)
    write_labelmap(path, Volume(np.where(labels.array == 1, labels.array, 0), labels.geometry))
    part = reviewing.batch.queue
    click(part, part.ui.reviewButton)
    assert shownCase(part) == FIRST
    part.ui.addReviewedButton.click()
    assert waitUntil(lambda: shownCase(part) == SECOND), reviewStatus(part)
    entry = index(cases)["training"][-1]
    assert entry["annotated"]["labels"] == [1, 2]
