"""What to annotate next, asked of a real worker: the list a person reads, stopping, and what can go wrong."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

import harness.application  # noqa: F401  makes slicer.i18n importable
from harness.runs import DEAF, Recorder, copySample, scriptWorker
from medcontext.cards import list_cards
from medcontext.case_list import read_store
from medcontext.errors import CancelledError, InputError
from MedContextSegmentLib.Learn.Suggestion import (
    LIMIT,
    SuggestionRequest,
    SuggestionRun,
    readAnswer,
    suggestionReason,
    summaryOf,
)
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

UNLABELLED = {f"hippocampus_{number}" for number in ("001", "084", "150")}
SECONDS = 120.0


@pytest.fixture
def request_(tmp_path: Path) -> SuggestionRequest:
    """A copy of the bundled sample, with three of its scans without labels, and the bundled model."""
    folder = copySample(tmp_path / "cäses", len(UNLABELLED))
    card = next(card for card in list_cards() if card.id == "hippocampus")
    return SuggestionRequest(folder, card.folder, device="cpu")


def poll(run: SuggestionRun, seconds: float = SECONDS) -> None:
    ends = time.monotonic() + seconds
    while run.poll():
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_all_unlabelled_scans_are_ranked_and_the_first_says_why(
    worker: WorkerProcess, request_: SuggestionRequest
) -> None:
    listener = Recorder()
    run = SuggestionRun(worker, request_, listener)
    poll(run)
    assert run.error is None
    assert run.state == "done"
    found = run.result
    assert {scan.case for scan in found.scans} == UNLABELLED
    assert (found.lookedAt, found.unlabelled, found.skipped) == (3, 3, ())
    assert found.scans[0].why
    assert "Disagreement of views: 0." in found.scans[0].detail
    assert [scan.score for scan in found.scans] == sorted((s.score for s in found.scans), reverse=True)
    assert summaryOf(found) == ""
    shares = [value for stage, value in listener.stages if stage == "suggest"]
    assert len(shares) > len(UNLABELLED)
    assert shares == sorted(shares)
    assert listener.ends == [run]


def test_a_broken_scan_is_named_and_the_others_are_ranked(
    worker: WorkerProcess, request_: SuggestionRequest
) -> None:
    for name in ("001", "084"):
        (request_.store / "images" / f"hippocampus_{name}.nii.gz").write_bytes(b"no image")
    run = SuggestionRun(worker, request_)
    poll(run)
    assert run.error is None
    assert len(run.result.scans) == 1
    assert "'hippocampus_001' and 1 more were skipped" in summaryOf(run.result)


def test_it_can_be_stopped_and_asked_again(worker: WorkerProcess, request_: SuggestionRequest) -> None:
    run: SuggestionRun
    listener = Recorder("suggest", lambda: run.cancel())
    run = SuggestionRun(worker, request_, listener)
    poll(run)
    assert run.state == "cancelled"
    assert isinstance(run.error, CancelledError)
    again = SuggestionRun(worker, request_)
    poll(again)
    assert again.state == "done"


def test_a_worker_that_does_not_listen_is_replaced(app: Any, tmp_path: Path) -> None:  # noqa: ARG001
    deaf = scriptWorker(tmp_path, DEAF)
    try:
        run = SuggestionRun(deaf, SuggestionRequest(tmp_path, tmp_path))
        while run.state != "computing":
            run.poll()
            time.sleep(0.005)
        run.cancel()
        poll(run, 20.0)
        assert run.state == "cancelled"
    finally:
        deaf.close()


def test_a_store_that_vanished_is_one_sentence(worker: WorkerProcess, request_: SuggestionRequest) -> None:
    shutil.rmtree(request_.store)
    run = SuggestionRun(worker, request_)
    poll(run)
    assert run.state == "failed"
    assert isinstance(run.error, InputError)
    assert "cäses" in run.error.message


def test_what_is_missing_is_said_beforehand(request_: SuggestionRequest) -> None:
    store = read_store(request_.store)
    card = next(card for card in list_cards() if card.id == "hippocampus")
    assert suggestionReason(store, card) == ""
    annotated = tuple(case for case in store.cases if case.kind != "unlabelled")
    two = dataclasses.replace(card, title="Two", channels=("a", "b"))
    for given, model, words in (
        (None, card, "case store"),
        (dataclasses.replace(store, problem="dataset.json is broken."), card, "broken"),
        (dataclasses.replace(store, cases=annotated), card, "no unlabelled scan"),
        (store, None, "Choose a model"),
        (store, dataclasses.replace(card, problem="no weights"), "Choose a model"),
        (store, two, "'Two' takes 2"),
    ):
        assert words in suggestionReason(given, model)


def test_a_large_pool_is_looked_at_in_part_and_that_is_said() -> None:
    scan = {"case": "a", "score": 1, "uncertainty": 0.5, "novelty": None, "reasons": ["unsure", "other"]}
    answer = {"ranking": [scan], "looked_at": LIMIT, "unlabelled": 3000, "skipped": []}
    found = readAnswer(answer)
    assert found.scans[0].why == "the model is unsure"
    assert "Distance" not in found.scans[0].detail
    assert summaryOf(found) == "200 of 3000 unlabelled scans were looked at, drawn at random."
