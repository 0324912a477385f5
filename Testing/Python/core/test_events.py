"""What a panel or another program relies on: each event says what, of which run, when, and about which case."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest

from medcontext.errors import CancelledError, InputError, MedContextError, ResourceError
from medcontext.events import Event, Reporter, json_lines


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds that the reporter sees; change its only item."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_every_event_names_itself_the_run_and_the_time() -> None:
    seen: list[Event] = []
    reporter = Reporter(seen.append, run_id="job-7")
    before = time.time()
    reporter.emit("hello", protocol=1)
    reporter.progress("train", 0.5)
    reporter.info("On the processor.", device="cpu")
    reporter.warning("One label is rare.")
    reporter.error(InputError("No such file.", "Look again."))
    assert [event["event"] for event in seen] == ["hello", "progress", "info", "warning", "error"]
    assert {event["id"] for event in seen} == {"job-7"}
    assert all(before <= event["time"] <= time.time() for event in seen)
    assert seen[2]["message"] == "On the processor."
    assert seen[2]["device"] == "cpu"
    assert seen[3]["message"] == "One label is rare."


def test_the_case_is_named_while_it_is_worked_on_and_only_then() -> None:
    seen: list[Event] = []
    reporter = Reporter(seen.append)
    reporter.info("before")
    reporter.case = "p1"
    reporter.info("during")
    reporter.case = None
    reporter.info("after")
    assert [event.get("case") for event in seen] == [None, "p1", None]
    assert ["case" in event for event in seen] == [False, True, False]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InputError("m", "h"), "input"),
        (ResourceError("m", "h"), "resources"),
        (CancelledError("m"), "cancelled"),
    ],
)
def test_an_error_tells_its_kind_its_message_and_what_to_do(error: MedContextError, kind: str) -> None:
    seen: list[Event] = []
    Reporter(seen.append).error(error)
    assert {name: seen[0][name] for name in ("kind", "message", "hint")} == {
        "kind": kind,
        "message": "m",
        "hint": error.hint,
    }


def test_the_time_left_follows_from_the_time_taken(clock: list[float]) -> None:
    seen: list[Event] = []
    reporter = Reporter(seen.append)
    reporter.progress("segment", 0)
    clock[0] += 10
    reporter.progress("segment", 0.25)
    clock[0] += 10
    reporter.progress("segment", 0.5)
    clock[0] += 20
    reporter.progress("segment", 1)
    assert [event["eta_s"] for event in seen] == [None, pytest.approx(30), pytest.approx(20), None]
    assert [event["value"] for event in seen] == [0, 0.25, 0.5, 1]


def test_stages_are_timed_apart_and_a_stage_that_starts_again_is_timed_anew(clock: list[float]) -> None:
    seen: list[Event] = []
    reporter = Reporter(seen.append)
    reporter.progress("read", 0)
    clock[0] += 100
    reporter.progress("write", 0)
    clock[0] += 4
    reporter.progress("write", 0.5)
    reporter.progress("read", 0)
    clock[0] += 6
    reporter.progress("read", 0.5)
    assert [event["eta_s"] for event in seen[2:]] == [pytest.approx(4), None, pytest.approx(6)]


def test_a_time_left_that_is_known_better_is_passed_on(clock: list[float]) -> None:
    seen: list[Event] = []
    reporter = Reporter(seen.append)
    reporter.progress("train", 0)
    clock[0] += 10
    reporter.progress("train", 0.5, eta_s=3.5)
    assert seen[-1]["eta_s"] == 3.5


def test_progress_never_passes_one() -> None:
    seen: list[Event] = []
    Reporter(seen.append).progress("train", 1.0000001)
    assert seen[0]["value"] == 1
    assert seen[0]["eta_s"] is None


def test_a_request_to_stop_is_obeyed_at_the_next_question_and_not_before() -> None:
    answers = iter([False, False, True])
    reporter = Reporter(cancelled=lambda: next(answers))
    reporter.check_cancelled()
    reporter.check_cancelled()
    with pytest.raises(CancelledError, match="Stopped on request"):
        reporter.check_cancelled()


def test_nobody_has_to_listen_or_be_able_to_stop() -> None:
    reporter = Reporter()
    reporter.progress("train", 0.5)
    reporter.warning("unheard")
    reporter.check_cancelled()


def test_json_lines_can_be_read_back_one_by_one() -> None:
    stream = io.StringIO()
    reporter = Reporter(json_lines(stream), run_id="r")
    reporter.info("two\nlines and µm", path=Path("folder/a.nii"))
    reporter.emit("metric", step=3, loss={"dice": 0.25})
    lines = stream.getvalue().splitlines()
    first, second = (json.loads(line) for line in lines)
    assert first["message"] == "two\nlines and µm"
    assert first["path"] == str(Path("folder/a.nii"))
    assert (second["step"], second["loss"]) == (3, {"dice": 0.25})


def test_json_lines_arrive_at_once(tmp_path: Path) -> None:
    """A panel that follows the file must not wait for a buffer to fill."""
    path = tmp_path / "events.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        Reporter(json_lines(stream)).info("now")
        assert json.loads(path.read_text(encoding="utf-8"))["message"] == "now"


def test_a_resumed_stage_counts_from_where_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    now, seen = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    reporter = Reporter(seen.append)
    reporter.progress("train", 0.5)
    now[0] = 60
    reporter.progress("train", 0.51)
    assert seen[0]["eta_s"] is None
    assert seen[1]["eta_s"] == pytest.approx(60 * 49)


def test_what_json_has_no_word_for_is_null_or_a_plain_number() -> None:
    stream = io.StringIO()
    Reporter(json_lines(stream)).emit(
        "metric", dice={"a": float("nan")}, loss=np.float32(0.5), path=Path("x")
    )
    assert "NaN" not in stream.getvalue()
    event = json.loads(stream.getvalue())
    assert (event["dice"], event["loss"], event["path"]) == ({"a": None}, 0.5, "x")


def test_a_stage_that_comes_again_has_a_clock_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now, seen = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    reporter = Reporter(seen.append)
    for value, moment in ((0.1, 0), (1.0, 100), (0.1, 200), (0.2, 210)):
        now[0] = moment
        reporter.progress("train", value)
    assert seen[-1]["eta_s"] == pytest.approx(80)
