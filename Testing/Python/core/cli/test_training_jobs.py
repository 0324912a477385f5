"""Trainings in the background, as real processes: watched, killed and restarted, without an end, refused twice."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from harness.programs import briefPython
from medcontext import jobs
from medcontext.cli.app import app
from medcontext.data.adding import NewCase
from medcontext.data.store import CaseStore
from medcontext.engine.checkpoint import load_checkpoint
from medcontext.geometry import Geometry, Volume
from medcontext.labels import LabelSet

SMALL = ["--set", "plan.network.kwargs.filters=[4,8,8]", "--device", "cpu", "--precision", "fp32"]


@pytest.fixture
def a_store(tmp_path: Path) -> Path:
    """Three scans with a bright box each, one of them held out."""
    store = CaseStore.create(tmp_path / "my störe", LabelSet.from_names({1: "Box"}), [("T1", "MRI")])
    geometry = Geometry.from_spacing((12, 12, 12))
    for seed in (1, 2, 3):
        labels = np.zeros((1, 12, 12, 12), np.uint8)
        labels[0, 3:8, 4:9, 2 + seed : 7 + seed] = 1
        image = np.random.default_rng(seed).normal(0, 0.2, labels.shape).astype(np.float32) + labels
        case = NewCase(
            [Volume(image, geometry)], Volume(labels, geometry), case_id=f"b{seed}", held_out=seed == 3
        )
        store.add_case(case)
    return store.folder


@pytest.fixture
def begin(
    tmp_path: Path, a_store: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., jobs.Job]]:
    """``begin(*options)``: a training in the background; all that were begun are ended."""
    started: list[Path] = []

    def run(*options: str) -> jobs.Job:
        where = ["train", "--data", str(a_store), "-o", str(tmp_path / "model"), "--method", "supervised"]
        command = [*where, *SMALL, *options, "--detach", "--json"]
        monkeypatch.setattr(sys, "argv", ["medcontext", *command])
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.stderr
        started.append(Path(final(result)["folder"]))
        return jobs.read(started[-1])

    yield run
    for folder in started:
        if jobs.read(folder).active:
            jobs.kill(folder)


def final(result: Result) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return data


def wait_for(job: jobs.Job, condition: Callable[[jobs.Job], Any], seconds: float = 180) -> jobs.Job:
    end = time.monotonic() + seconds
    while not condition(now := jobs.read(job.folder)):
        assert now.active, now
        assert time.monotonic() < end, now
        time.sleep(0.05)
    return now


def ended(job: jobs.Job) -> bool:
    return not job.active


def log_of(model: Path) -> list[int]:
    lines = (model / "training" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [record["step"] for record in map(json.loads, lines) if "loss" in record]


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is a POSIX matter")
def test_a_killed_training_is_restarted_and_ends_with_the_model_it_would_have_had(
    tmp_path: Path, begin: Callable[..., jobs.Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(briefPython(tmp_path, halt=10)))
    job = begin("--steps", "30", "--set", "engine.checkpoint_seconds=0.1")
    kept = tmp_path / "model" / "training" / "checkpoint.pt"
    wait_for(job, lambda job: kept.exists() and (job.step or 0) == 10)
    assert job.pid is not None
    os.kill(job.pid, signal.SIGKILL)
    lost = wait_for(job, ended)
    assert lost.state == "lost"
    assert not (tmp_path / "model" / "model.json").exists()
    state = load_checkpoint(kept)
    assert 0 < state["step"] <= 10
    plan = (tmp_path / "model" / "training" / "plan.json").read_text(encoding="utf-8")
    again = [*job.command[job.command.index("train") :]]
    assert CliRunner().invoke(app, again).exit_code == 2  # only --resume goes on

    result = CliRunner().invoke(app, ["jobs", "restart", job.id, "--json"])
    assert result.exit_code == 0, result.stderr
    assert final(result)["state"] == "running"
    done = wait_for(job, ended)
    assert done.state == "finished", done.message
    assert done.command.count("--resume") == 1
    card = json.loads((tmp_path / "model" / "model.json").read_text(encoding="utf-8"))
    assert card["training"]["steps"] == 30
    assert 60 * card["training"]["minutes"] >= state["seconds"]  # the time before counts
    assert log_of(tmp_path / "model") == list(range(30))
    assert (tmp_path / "model" / "plan.json").read_text(encoding="utf-8") == plan
    assert "from the beginning" not in json.dumps(jobs.follow(job.folder)[0])
    assert not kept.exists()


def test_a_training_killed_before_its_first_checkpoint_is_restarted_from_the_beginning(
    tmp_path: Path, begin: Callable[..., jobs.Job]
) -> None:
    """What a watcher needs is among the events."""
    job = begin("--steps", "30")
    wait_for(job, lambda job: jobs.follow(job.folder)[0])
    jobs.kill(job.folder)
    assert wait_for(job, ended).state == "lost"
    assert CliRunner().invoke(app, ["jobs", "restart", job.id]).exit_code == 0
    done = wait_for(job, ended)
    assert (done.state, done.title) == ("finished", "Train model"), done.message
    assert log_of(tmp_path / "model") == list(range(30))
    assert done.result is not None
    assert (Path(done.result["model"]) / "model.json").is_file()
    assert jobs.list_jobs()[0].id == job.id
    events, _ = jobs.follow(job.folder)
    told = [event for event in events if event["event"] == "metric"]
    assert [event["step"] for event in told if "loss" in event] == list(range(30))
    held_out = [event for event in told if event.get("held_out")]
    assert held_out
    assert set(held_out[-1]["dice"]) == {"Box"}
    picture = next(event for event in events if event["event"] == "picture")
    assert (picture["case"], picture["held_out"]) == ("b3", True)
    assert Path(picture["path"]).read_bytes().startswith(b"\x89PNG")
    assert Path(picture["path"]).is_relative_to(tmp_path / "model")


def test_a_training_without_an_end_has_its_folder_alone_and_is_listed_paused_and_stopped_with_a_model(
    tmp_path: Path, a_store: Path, begin: Callable[..., jobs.Job]
) -> None:
    job = begin("--until-stopped")
    running = wait_for(job, lambda job: (job.step or 0) > 5)
    assert (running.stage, running.progress, running.eta_s) == ("train", None, None)
    shown = CliRunner().invoke(app, ["jobs", "list"], env={"COLUMNS": "200"})
    assert "running, train step" in shown.stdout
    where = ["--data", str(a_store), "-o", str(tmp_path / "model"), "--steps", "5", "--resume"]
    second = CliRunner().invoke(app, ["train", *where, *SMALL])
    assert second.exit_code == 2
    assert "Another training writes to" in second.stderr
    jobs.request(job.folder, "pause")
    wait_for(job, lambda job: job.state == "paused")
    jobs.request(job.folder, "stop")
    done = wait_for(job, ended)
    assert done.state == "finished", done.message
    assert done.result is not None
    assert (Path(done.result["model"]) / "model.json").is_file()


def test_a_stop_before_the_first_step_ends_without_a_model(
    tmp_path: Path, begin: Callable[..., jobs.Job]
) -> None:
    job = begin("--minutes", "5")
    jobs.request(job.folder, "stop")
    done = wait_for(job, ended)
    assert (done.state, done.exit_code) == ("cancelled", 3)
    assert not (tmp_path / "model" / "model.json").exists()


def test_other_work_is_restarted_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / "batch"
    job = jobs.start([sys.executable, "-c", "raise SystemExit(4)", "segment", "train"], folder, "Batch")
    wait_for(job, ended)
    assert CliRunner().invoke(app, ["jobs", "restart", str(folder)]).exit_code == 0
    assert jobs.read(folder).command[-1] == "train"
    wait_for(job, ended)
