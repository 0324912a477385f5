"""What a user relies on: looks at a pre-training are noted and shown, and never in the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from medcontext.engine.keeping import Troubles
from medcontext.engine.log import TrainingLog
from medcontext.engine.pretext_watch import Look, PretextWatch, Sight
from medcontext.engine.watch import PICTURE, VALIDATION_SHARE
from medcontext.events import Reporter

PNG = b"a picture"


class Looking:
    """Counts what it is asked for; an hour has passed when it says so.

    Attributes:
        prepared, looked: how often.
        takes: seconds that a look takes.
    """

    def __init__(self, clocks: Any) -> None:
        self._clocks = clocks
        self.prepared = self.looked = 0
        self.takes = 0.0

    def prepare(self) -> Look:
        self.prepared += 1
        self._clocks.passed += 30.0
        return self._look

    def _look(self, check: Callable[[], None]) -> Sight:
        check()
        self.looked += 1
        self._clocks.passed += self.takes
        return Sight({"error": 1 / self.looked}, PNG, "scan7", ("It looks bad.",))


@pytest.fixture
def looking(clocks: Any) -> Looking:
    return Looking(clocks)


@pytest.fixture
def watch_of(tmp_path: Path, looking: Looking) -> Callable[[Reporter], PretextWatch]:
    def make(reporter: Reporter) -> PretextWatch:
        return PretextWatch(looking.prepare, True, tmp_path, reporter, Troubles(reporter))

    return make


def test_a_look_is_noted_drawn_and_warned_of_once(
    tmp_path: Path, looking: Looking, watch_of: Callable[[Reporter], PretextWatch]
) -> None:
    events: list[dict[str, Any]] = []
    reporter = Reporter(events.append)
    watch, log = watch_of(reporter), TrainingLog(tmp_path, reporter, 0)
    for step in (3, 5, 5):  # the last step of a run is due, and the run ends with a look
        watch.look(nn.Identity(), step, log, 100.0 * step, 0.1 * step)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == [{"step": 3, "signals": {"error": 1.0}}, {"step": 5, "signals": {"error": 0.5}}]
    assert (looking.prepared, looking.looked) == (1, 2)
    assert (tmp_path / PICTURE).read_bytes() == PNG
    pictures = [event for event in events if event["event"] == "picture"]
    assert [(e["step"], e["case"], e["held_out"]) for e in pictures] == [
        (3, "scan7", True),
        (5, "scan7", True),
    ]
    assert [e["message"] for e in events if e["event"] == "warning"] == ["It looks bad."]


def test_getting_ready_puts_no_look_off_and_slow_looks_are_rare(
    tmp_path: Path, looking: Looking, watch_of: Callable[[Reporter], PretextWatch]
) -> None:
    """An hour: half a minute to get ready, then looks of two seconds, later of twelve."""
    watch, log = watch_of(Reporter()), TrainingLog(tmp_path, Reporter(), 0)
    seconds, looks = 0.0, []
    for step in range(3600):
        looking.takes = 2.0 if seconds < 1800 else 12.0
        if watch.due(seconds, step / 3600):
            looks.append(seconds)
            before = watch.seconds
            watch.look(nn.Identity(), step, log, seconds, step / 3600)
            seconds += watch.seconds - before
        seconds += 1
    assert looks[0] == 10
    assert looks[1] - looks[0] == pytest.approx(30 + 60 + 2, abs=2)
    assert looks[2] - looks[1] == pytest.approx(60 + 2, abs=2)
    assert looks[-1] - looks[-2] == pytest.approx(12 / VALIDATION_SHARE + 12, abs=2)


def test_a_request_to_stop_ends_a_look(
    tmp_path: Path, looking: Looking, watch_of: Callable[[Reporter], PretextWatch]
) -> None:
    reporter = Reporter(cancelled=lambda: True)
    watch_of(reporter).look(nn.Identity(), 1, TrainingLog(tmp_path, reporter, 0), 10.0, 0.5)
    assert looking.looked == 0
    assert not (tmp_path / PICTURE).exists()
