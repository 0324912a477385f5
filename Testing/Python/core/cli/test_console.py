"""How every command ends: exit codes, one clear sentence, a clean protocol."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import rich.console
import typer
from typer.testing import CliRunner, Result

from medcontext.cli import sinks
from medcontext.cli.console import session
from medcontext.errors import (
    CancelledError,
    InputError,
    MedContextError,
    ResourceError,
    SomeCasesFailedError,
    TrainingDivergedError,
)
from medcontext.events import Reporter


def run_command(body, *arguments: str) -> Result:
    """Run ``body(console)`` as a command of its own."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def command(as_json: bool = typer.Option(False, "--json")) -> None:
        with session(as_json, gentle=True) as console:
            body(console)

    return CliRunner().invoke(app, list(arguments))


def raising(error: BaseException):
    def body(_console) -> None:
        raise error

    return body


def events(result: Result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("The file is empty.", "Export it again."), 2),
        (CancelledError("Stopped on request."), 3),
        (KeyboardInterrupt(), 3),
        (ResourceError("No memory."), 4),
        (MemoryError(), 4),
        (OSError(errno.ENOSPC, "No space left on device", "out.nii.gz"), 4),
        (TrainingDivergedError("Loss is nan."), 4),
        (SomeCasesFailedError("2 of 9 failed."), 5),
        (ZeroDivisionError("division by zero"), 1),
    ],
)
def test_each_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert run_command(raising(error)).exit_code == code


def test_an_expected_error_is_one_sentence_and_a_hint_without_traceback() -> None:
    result = run_command(raising(InputError("The file [x] is empty.", "Export it again.")))
    assert result.stderr == "Error: The file [x] is empty.\nExport it again.\n"
    assert result.stdout == ""


def test_who_stopped_it_is_said_once() -> None:
    for told in ("Stopped on request: 1 of 2 cases finished.", "Stopped by Ctrl-C."):
        assert run_command(raising(CancelledError(told))).stderr == f"{told}\n"
    assert run_command(raising(CancelledError("It is late."))).stderr == "Stopped: It is late.\n"


def test_what_is_left_out_says_so_by_its_name() -> None:
    def body(console) -> None:
        console.reporter.emit("case", case="series-1", status="skipped", message="It is a single picture.")

    assert run_command(body).stderr == "Left out: series-1: It is a single picture.\n"


def test_a_bug_shows_where_it_happened_and_asks_for_a_report() -> None:
    result = run_command(raising(ZeroDivisionError("division by zero")))
    assert "Traceback" in result.stderr
    assert "in body" in result.stderr
    assert "Please report it" in result.stderr.splitlines()[-1]


def test_json_output_is_events_only_whatever_libraries_print() -> None:
    def body(console) -> None:
        sys.stdout.write("a library talks\n")
        console.reporter.progress("segment", 0.5)
        console.reporter.warning("Unusual spacing.")
        console.say("for people")
        console.result(files=["a"])

    result = run_command(body, "--json")
    found = events(result)
    assert [event["event"] for event in found] == ["hello", "progress", "warning", "result"]
    assert found[0]["protocol"] == 1
    assert {event["id"] for event in found} == {found[0]["id"]}
    assert "a library talks" in result.stderr
    assert "for people" in result.stderr


def test_json_errors_are_events_and_sentences() -> None:
    result = run_command(raising(InputError("Empty.", "Again.")), "--json")
    last = events(result)[-1]
    assert (last["event"], last["kind"], last["message"], last["hint"]) == (
        "error",
        "input",
        "Empty.",
        "Again.",
    )
    assert "Error: Empty." in result.stderr


def test_results_go_to_standard_output_and_progress_does_not() -> None:
    def body(console) -> None:
        console.reporter.warning("Look closely.")
        console.say("Results are in out")
        console.table(["Case", "ml"], [("a", 1.25)])

    result = run_command(body)
    assert "Results are in out" in result.stdout
    assert "1.250" in result.stdout
    assert "Look closely" not in result.stdout
    assert "Warning: Look closely." in result.stderr


def test_a_log_file_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr(sinks.time, "monotonic", lambda: float(next(clock)))

    def body(console) -> None:
        for step in range(11):
            console.reporter.emit("progress", stage="train", value=step / 10, eta_s=90.0)

    lines = [line for line in run_command(body).stderr.splitlines() if line.startswith("Train")]
    assert 2 <= len(lines) <= 4
    assert lines[0].endswith("about 2 min left")
    assert lines[-1].startswith("Train: 100%")


def test_a_stage_without_an_end_counts_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr(sinks.time, "monotonic", lambda: float(next(clock)))

    def body(console) -> None:
        for step in range(11):
            console.reporter.progress("train", None, step=step)

    lines = [line for line in run_command(body).stderr.splitlines() if line.startswith("Train")]
    assert 2 <= len(lines) <= 4
    assert lines[0].startswith("Train: step ")


def test_the_bar_of_a_stage_without_an_end_goes_on() -> None:
    terminal = io.StringIO()
    bars = sinks.BarSink(rich.console.Console(file=terminal, force_terminal=True, width=100))
    reporter = Reporter(bars)
    for step in (1, 250):
        reporter.progress("train", None, step=step)
    assert bars.stages == ["Train"]
    reporter.emit("picture", path="preview.png", case="a", held_out=True, step=250)
    reporter.emit("metric", step=250, dice={"Box": 0.5}, held_out=True)
    reporter.emit("restarted")
    bars.close()
    text = " ".join(terminal.getvalue().split())
    assert "step 250" in text
    assert "Dice Box 0.500" in text
    assert "Started again." in text


def test_ctrl_c_at_a_terminal_asks_to_stop_what_can_keep_something() -> None:
    asked = []

    def body(console) -> None:
        asked.append(console.control())
        console.stop()
        asked.append(console.control())

    run_command(body)
    assert asked == [None, "stop"]


WORKER = """
import sys, time
import typer
from medcontext.cli.console import session
app = typer.Typer(pretty_exceptions_enable=False)
@app.command()
def work():
    with session(gentle=True) as console:
        sys.stdout.write("ready\\n"); sys.stdout.flush()
        while True:
            {check}
            time.sleep(0.02)
app()
"""


def _start(check: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER.format(check=check)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX systems")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_the_work_saves_and_the_exit_code_is_3(number: signal.Signals) -> None:
    process = _start("console.reporter.check_cancelled()")
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "Press Ctrl-C again" in errors
    assert "Stopped" in errors.splitlines()[-1]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX systems")
def test_a_second_ctrl_c_stops_what_does_not_listen() -> None:
    process = _start("pass")
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "Traceback" not in errors


def test_a_job_records_how_it_ended(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("MEDCONTEXT_JOB", str(tmp_path))
    (tmp_path / "control.json").write_text('{"request": "stop"}', encoding="utf-8")
    asked = []
    run_command(lambda console: asked.append(console.control()), "--json")
    assert asked == ["stop"]
    assert json.loads((tmp_path / "exit.json").read_text(encoding="utf-8"))["exit_code"] == 0
    run_command(raising(MedContextError("no")), "--json")
    assert json.loads((tmp_path / "exit.json").read_text(encoding="utf-8"))["exit_code"] == 1


def test_of_several_processes_only_the_first_one_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    def body(console) -> None:
        console.reporter.warning("Look closely.")
        console.say("Done")
        console.result(ok=True)

    monkeypatch.setenv("RANK", "1")
    for arguments in ([], ["--json"]):
        result = run_command(body, *arguments)
        assert (result.stdout, result.stderr) == ("", "")
    assert "broken" in run_command(raising(InputError("broken"))).stderr
    monkeypatch.setenv("RANK", "0")
    assert "Done" in run_command(body).stdout


def test_bars_are_there_while_a_stage_lasts_and_no_longer() -> None:
    terminal = io.StringIO()
    bars = sinks.BarSink(rich.console.Console(file=terminal, force_terminal=True, width=100))
    reporter = Reporter(bars)
    reporter.progress("scans", 0.0)
    reporter.case = "a"
    reporter.progress("segment", 0.25, eta_s=200)
    assert bars.stages == ["Scans", "a: Segment"]
    reporter.progress("segment", 1.0)
    assert bars.stages == ["Scans"]
    reporter.progress("write", 0.0)
    reporter.emit("case", status="failed", message="The disk is full.")
    assert bars.stages == ["Scans"]
    bars.close()
    assert "Failed: a: The disk is full." in terminal.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.2, "1 s left"),
        (42, "42 s left"),
        (200, "about 3 min left"),
        (9000, "about 2.5 h left"),
    ],
)
def test_time_left_is_as_exact_as_it_is_worth(seconds: float | None, words: str) -> None:
    assert sinks.remaining(seconds) == words
