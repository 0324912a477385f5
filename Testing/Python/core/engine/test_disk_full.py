"""What a user relies on: a disk that fills up costs nothing that was learnt, and is told once."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from medcontext.cli.sinks import JsonSink, LenientSink
from medcontext.engine.checkpoint import load_checkpoint
from medcontext.engine.keeping import saving_model, sole_writer
from medcontext.engine.log import TrainingLog
from medcontext.engine.loop import CHECKPOINT, CURVE, train
from medcontext.engine.run import Run
from medcontext.engine.watch import PICTURE
from medcontext.errors import InputError, ResourceError
from medcontext.events import Event, Reporter, Sink

FullDisk = Callable[[int], AbstractContextManager[None]]
FullFrom = Callable[[int, int], AbstractContextManager[Sink]]
ALWAYS = ["engine.checkpoint_seconds=1e-6"]


@pytest.fixture
def checkpoints_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every step, and a new attempt after every failure."""
    monkeypatch.setattr("medcontext.engine.keeping.CHECKPOINT_SHARE", 1e9)
    monkeypatch.setattr("medcontext.engine.log.RETRY_SECONDS", 0.0)


@pytest.fixture
def full_from(nearly_full_disk: FullDisk, asked: Any, monkeypatch: pytest.MonkeyPatch) -> FullFrom:
    """``with full_from(first, last) as hear:`` between these steps no file can be written to."""
    monkeypatch.setattr("medcontext.engine.loop.TOLD_SECONDS", -1.0)  # each step is told

    @contextmanager
    def full(first: int, last: int) -> Iterator[Sink]:
        with ExitStack() as stack:  # it ends before the test does: pytest has to write, too

            def hear(event: Event) -> None:
                asked.hear(event)
                if event["event"] == "progress" and event["step"] == first:
                    stack.enter_context(nearly_full_disk(0))
                if event["event"] == "progress" and event["step"] == last:
                    stack.close()

            yield hear

    return full


@pytest.mark.usefixtures("checkpoints_at_once")
def test_training_outlives_a_full_disk_and_says_it_once(
    tmp_path: Path, run_of: Callable[..., Run], asked: Any, full_from: FullFrom
) -> None:
    run = run_of(tmp_path, steps=30, settings=ALWAYS)
    with full_from(5, 20) as hear:
        outcome = train(run, Reporter(hear))
    assert outcome.steps == 30
    warnings = [event["message"] for event in asked.of("warning") if "no voxel" not in event["message"]]
    assert len(warnings) == 1
    assert "last complete checkpoint is kept" in warnings[0]
    assert [e["message"] for e in asked.of("info") if "written again" in e["message"]] != []
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(30))  # lines that found no room came later
    assert load_checkpoint(tmp_path / CHECKPOINT)["step"] == 30
    assert (tmp_path / CURVE).exists()
    assert (tmp_path / PICTURE).exists()
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.usefixtures("checkpoints_at_once")
def test_the_last_good_checkpoint_of_a_disk_that_stays_full_goes_on(
    tmp_path: Path, run_of: Callable[..., Run], asked: Any, full_from: FullFrom
) -> None:
    with full_from(10, 99) as hear:
        outcome = train(run_of(tmp_path, steps=20, settings=ALWAYS), Reporter(hear))
    assert outcome.steps == 20
    assert load_checkpoint(tmp_path / CHECKPOINT)["step"] == 9
    again = train(run_of(tmp_path, steps=20, settings=ALWAYS, resume=True), Reporter())
    for name, value in outcome.network.state_dict().items():
        assert value.equal(again.network.state_dict()[name])
    assert len([e for e in asked.of("warning") if "no voxel" not in e["message"]]) == 1


def test_a_run_that_has_ended_is_not_trained_again_when_it_is_resumed(
    tmp_path: Path, run_of: Callable[..., Run], asked: Any
) -> None:
    """Its model could not be saved: the same command with --resume goes straight to that."""
    asked.at("train", 5, "stop")
    outcome = train(run_of(tmp_path, steps=60, control=asked), Reporter(asked.hear))
    asked.answer, asked.events = None, []
    again = train(run_of(tmp_path, steps=60, control=asked, resume=True), Reporter(asked.hear))
    assert again.steps == outcome.steps == 5
    assert not asked.of("progress")
    for name, value in outcome.network.state_dict().items():
        assert value.equal(again.network.state_dict()[name])


@pytest.mark.parametrize(
    "error", [ResourceError("The disk is full."), OSError(28, "No space left on device")]
)
def test_a_model_that_could_not_be_saved_is_saved_by_resuming(error: Exception) -> None:
    with pytest.raises(ResourceError, match="training is done") as told, saving_model():
        raise error
    assert "--resume" in told.value.hint
    with pytest.raises(PermissionError), saving_model():
        raise PermissionError(13, "Permission denied")


def test_resuming_on_a_full_disk_keeps_the_log(tmp_path: Path, nearly_full_disk: FullDisk) -> None:
    lines = "".join(json.dumps({"step": step, "loss": {"a": 1.0}}) + "\n" for step in range(5))
    (tmp_path / "log.jsonl").write_text(lines + '{"step": 5, "lo')
    with nearly_full_disk(0):
        log = TrainingLog(tmp_path, Reporter(), 3)
    assert [record["step"] for record in log.records] == [0, 1, 2]
    assert (tmp_path / "log.jsonl").read_text().startswith(lines)


def test_events_go_on_after_a_full_disk_and_say_that_some_are_missing(
    tmp_path: Path, nearly_full_disk: FullDisk
) -> None:
    path = tmp_path / "events.jsonl"
    with path.open("a", buffering=1) as stream:
        raw = io.TextIOWrapper(stream.buffer.raw, write_through=True)  # as a job's standard output is
        reporter = Reporter(LenientSink(JsonSink(raw, "run")), run_id="run")
        reporter.emit("metric", step=0)
        with nearly_full_disk(path.stat().st_size + 30):
            for step in range(1, 6):
                reporter.emit("metric", step=step)
        reporter.emit("metric", step=6)
        raw.detach()
    lines = path.read_text().splitlines()
    whole = [json.loads(line) for line in lines if line.endswith("}")]
    assert [event["event"] for event in whole] == ["hello", "metric", "warning", "metric"]
    assert whole[-1]["step"] == 6
    assert "events are missing" in whole[2]["message"]
    assert len(lines) == len(whole) + 1  # one line was cut and ended


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on file size")
def test_a_command_whose_output_finds_no_room_ends_as_its_work_did(tmp_path: Path) -> None:
    body = """
import resource
from medcontext.cli.console import session
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
with session(True) as console:
    for step in range(100):
        console.reporter.emit("metric", step=step)
    console.say("Everything is done. " * 20)
    console.result(model="somewhere")
"""
    with (tmp_path / "out").open("w") as out, (tmp_path / "log").open("w") as log:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        done = subprocess.run(
            [sys.executable, "-c", body], stdout=out, stderr=log, env=environment, check=False
        )
    assert done.returncode == 0, (tmp_path / "log").read_text()


def test_a_second_training_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model" / "training"
    body = f"""
from pathlib import Path
from medcontext.engine.keeping import sole_writer
with sole_writer(Path({str(folder)!r})):
    print("in", flush=True)
    input()
"""
    other = subprocess.Popen(
        [sys.executable, "-c", body], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "in\n"
    with (
        pytest.raises(InputError, match=r"Another training writes to .*model at this moment"),
        sole_writer(folder),
    ):
        pass
    other.kill()  # who is killed holds nothing
    other.wait()
    with sole_writer(folder):
        (folder / "log.jsonl").touch()
    assert [path.name for path in folder.iterdir()] == ["log.jsonl"]


def test_a_folder_that_was_made_for_nothing_is_gone(tmp_path: Path) -> None:
    with pytest.raises(InputError), sole_writer(tmp_path / "model" / "training"):
        raise InputError("There is nothing to learn from.")
    assert list(tmp_path.iterdir()) == []
