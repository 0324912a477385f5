"""The commands around models and jobs, and what a person reads when something is wrong."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import medcontext
from medcontext import jobs
from medcontext.cli.app import app

COMMANDS = [
    ["segment"], ["batch"], ["propose"], ["train"], ["finetune"], ["evaluate"], ["next"], ["plan"], ["demo"],
    ["doctor"], ["pack"],
    ["data", "add"], ["data", "check"], ["data", "split"],
    ["model", "list"], ["model", "show"], ["model", "verify"], ["model", "import"], ["model", "export"],
    ["model", "remove"], ["model", "catalogue"], ["model", "download"],
    ["jobs", "list"], ["jobs", "show"], ["jobs", "follow"], ["jobs", "pause"], ["jobs", "resume"], ["jobs", "stop"],
    ["jobs", "restart"],
]  # fmt: skip


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def final(result: Result) -> dict:
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_and_has_json(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout


def test_the_version() -> None:
    assert run("--version").stdout == f"medcontext {medcontext.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["segment", "a.nii.gz", "-m", "nothing", "-o", "out"], "There is no model 'nothing'."),
        (["train", "--data", "missing", "-o", "out"], "missing"),
        (
            ["train", "--data", "missing", "-o", "out", "--minutes", "1", "--steps", "9"],
            "--minutes, --steps and --until-stopped",
        ),
        (["evaluate", "--data", "missing"], "either a model"),
        (["evaluate", "--data", "missing", "-m", "nothing"], "missing"),
        (["model", "show", "nothing"], "There is no model 'nothing'."),
        (["model", "verify", "nothing"], "There is no model 'nothing'."),
        (["model", "remove", "nothing"], "There is no model 'nothing'."),
        (["model", "import", "nothing.zip"], "nothing.zip"),
        (["jobs", "show", "nothing"], "There is no job 'nothing'."),
        (["segment", "--channel", "FLAIR", "-m", "x", "-o", "out"], "NAME=VALUE"),
        (["batch", "missing", "-m", "nothing", "-o", "out"], "There is no model 'nothing'."),
        (
            ["batch", ".", "-m", "hippocampus", "-o", "out", "--shard", "17/16"],
            "'17/16' is no part of a run.",
        ),
        (["batch", ".", "-m", "hippocampus", "-o", "out", "--cluster", "moon"], "'moon' is no cluster."),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2, result.stderr
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) <= 3
    assert list(tmp_path.iterdir()) == []


def test_an_empty_library_says_how_to_fill_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medcontext.cards.bundled_models", lambda: Path("nowhere"))
    assert "medcontext model import" in run("model", "list").stdout


class TestJobs:
    """A job that counts, as ``--detach`` would start one."""

    SCRIPT = """
import json, sys, time
from medcontext.jobs import JobControl
control = JobControl.from_environment()
print(json.dumps({"event": "progress", "stage": "count", "value": 0.5, "eta_s": 120}), flush=True)
while control.poll() != "stop":
    time.sleep(0.02)
print(json.dumps({"event": "warning", "message": "stopped early"}), flush=True)
print(json.dumps({"event": "result", "model": "here"}), flush=True)
"""

    @pytest.fixture
    def a_job(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[jobs.Job]:
        monkeypatch.setenv("COLUMNS", "200")
        job = jobs.start([sys.executable, "-c", self.SCRIPT], jobs.new_folder("Count"), "Count")
        deadline = time.monotonic() + 30
        while jobs.read(job.folder).progress is None and time.monotonic() < deadline:
            time.sleep(0.05)
        yield job
        if jobs.read(job.folder).active:
            jobs.kill(job.folder)

    def test_a_job_is_listed_stopped_and_followed_to_its_end(self, a_job: jobs.Job) -> None:
        listed = run("jobs", "list", "--json")
        assert [(job["job"], job["state"]) for job in final(listed)["jobs"]] == [(a_job.id, "running")]
        assert "running, count 50%, about 2 min left" in run("jobs").stdout
        assert run("jobs", "stop", a_job.id).exit_code == 0
        followed = run("jobs", "follow", a_job.id, "--json")
        assert followed.exit_code == 0
        told = [json.loads(line)["event"] for line in followed.stdout.splitlines()]
        assert told == ["hello", "progress", "warning", "result"]
        assert final(run("jobs", "show", a_job.id, "--json"))["state"] == "finished"

    def test_a_lost_job_says_how_it_goes_on_and_the_list_fits_a_terminal(
        self, a_job: jobs.Job, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        jobs.kill(a_job.folder)
        while jobs.read(a_job.folder).active:
            time.sleep(0.02)
        again = f"medcontext jobs restart {a_job.id}"
        listed = run("jobs").stdout
        assert again in " ".join(listed.split())
        assert a_job.id in listed.splitlines()  # in one piece, to be copied
        assert max(map(len, listed.splitlines())) <= 80
        shown = run("jobs", "show", a_job.id).stdout
        assert "jobs restart" in shown
        assert "Eta" not in shown
        facts = final(run("jobs", "show", a_job.id, "--json"))
        assert (facts["state"], facts["eta_s"]) == ("lost", None)
        assert again in facts["message"]
        assert again in run("jobs", "pause", a_job.id).stderr

    def test_the_beginning_of_a_name_is_enough(self, a_job: jobs.Job) -> None:
        assert run("jobs", "stop", a_job.id[:10]).exit_code == 0

    def test_a_job_that_has_ended_cannot_be_paused(self, a_job: jobs.Job) -> None:
        run("jobs", "stop", a_job.id)
        run("jobs", "follow", a_job.id)
        result = run("jobs", "pause", a_job.id)
        assert result.exit_code == 2
        assert "has ended" in result.stderr
