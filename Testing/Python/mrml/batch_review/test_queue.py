"""Which case comes next: the one that needs a person most, until each has a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("slicer")


@pytest.fixture
def queue(tmp_path: Path) -> Any:
    """Four finished cases a, b, c, d in the order of review."""
    from MedContextSegmentLib.Batch.BatchRows import BatchRows
    from MedContextSegmentLib.Batch.CaseRow import CaseRow
    from MedContextSegmentLib.Batch.FolderReader import FolderNews
    from MedContextSegmentLib.Batch.ReviewQueue import ReviewQueue

    rows = BatchRows(tmp_path)
    cases = tuple(CaseRow(name, "done") for name in "abcd")
    rows.take(FolderNews(tmp_path, cases, order=tuple("abcd"), reasons={}))
    return ReviewQueue(rows)


def judge(queue: Any, verdict: str = "accept") -> None:
    from medcontext.batch_ledger import Review

    queue.rows.add(Review(queue.case, verdict))


def test_each_case_is_shown_until_it_has_a_verdict(queue: Any) -> None:
    seen = []
    while queue.following():
        queue.show(queue.following())
        seen.append(queue.case)
        judge(queue)
    assert seen == list("abcd")
    assert queue.reviewed == queue.total == 4


def test_what_was_put_off_comes_last(queue: Any) -> None:
    queue.show("a")  # no verdict
    queue.show(queue.following())
    assert queue.case == "b"
    judge(queue)
    assert queue.following() == "c"
    queue.show("c")
    queue.show("d")
    judge(queue)
    assert queue.following() == "a"
    queue.show("a")
    judge(queue)
    assert queue.following() == "c"


def test_back_leads_the_way_back(queue: Any) -> None:
    assert queue.previous() == ""
    for case in "abc":
        queue.show(case)
        judge(queue)
    assert queue.previous() == "b"
    queue.show("b")
    assert queue.previous() == "a"
    queue.show("a")
    assert queue.previous() == ""
    assert queue.following() == "d"  # the only one without a verdict


def test_going_back_does_not_put_off_what_was_looked_at(queue: Any) -> None:
    queue.show("a")
    judge(queue)
    queue.show("b")
    queue.show(queue.previous())
    assert queue.following() == "b"


def test_with_all_verdicts_given_one_can_still_go_on_looking(queue: Any) -> None:
    for case in "abcd":
        queue.show(case)
        judge(queue)
    assert queue.following() == ""
    queue.show("b")
    assert queue.following() == "c"


def test_cases_that_are_finished_meanwhile_take_their_place(queue: Any) -> None:
    from MedContextSegmentLib.Batch.CaseRow import CaseRow
    from MedContextSegmentLib.Batch.FolderReader import FolderNews

    queue.show("a")
    judge(queue)
    new = (CaseRow("worse", "done"),)
    queue.rows.take(FolderNews(Path(), new, order=("worse", *"abcd"), reasons={"worse": ("odd",)}))
    assert queue.following() == "worse"
    assert queue.total == 5
