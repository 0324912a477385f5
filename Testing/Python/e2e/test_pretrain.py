"""From scans without labels to a segmentation: pre-training killed and restarted, training from it, segmenting."""

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
from typer.testing import CliRunner

import medcontext
from harness.programs import briefPython
from medcontext import jobs
from medcontext.cli.app import app
from medcontext.io import read_labelmap, read_volume

SAMPLE = Path(medcontext.__file__).parent / "resources" / "samples" / "hippocampus"
CPU = ["--device", "cpu", "--precision", "fp32"]
FEW = ["--set", "projector.hidden=16", "--set", "projector.out=16", "--set", "random_crops=2"]
STEPS, HALT = 10, 5
"""Of the pre-training, and the one at which it stands still until it is killed and restarted."""
UNSEEN = SAMPLE / "images" / "hippocampus_394.nii.gz"

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def medcontext_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs the command here and gives its last event; jobs are processes of their own, and end with the test."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(sys, "executable", str(briefPython(tmp_path, halt=HALT)))

    def run(*arguments: str | Path) -> dict[str, Any]:
        command = [*map(str, arguments), "--json"]
        monkeypatch.setattr(sys, "argv", ["medcontext", *command])
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.stderr
        last: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return last

    yield run
    for job in jobs.list_jobs():
        if job.active:
            jobs.kill(job.folder)


def wait_for(job: Path, condition: Callable[[jobs.Job], object], seconds: float = 300) -> jobs.Job:
    end = time.monotonic() + seconds
    while not condition(now := jobs.read(job)):
        assert now.active, now
        assert time.monotonic() < end, now
        time.sleep(0.1)
    return now


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is a POSIX matter")
def test_pretrain_train_segment(tmp_path: Path, medcontext_command: Run) -> None:
    encoder, model = tmp_path / "encoder", tmp_path / "model"
    kept = encoder / "training" / "checkpoint.pt"
    command = ["pretrain", "--data", SAMPLE / "images", "-o", encoder, "--steps", STEPS, *CPU, *FEW]
    job = Path(medcontext_command(*command, "--detach")["folder"])
    running = wait_for(job, lambda job: kept.exists() and (job.step or 0) == HALT)
    assert running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    assert wait_for(job, lambda job: not job.active).state == "lost"
    assert not (encoder / "model.json").exists()
    medcontext_command("jobs", "restart", job.name)
    done = wait_for(job, lambda job: not job.active)
    assert done.state == "finished", done.message
    assert done.result is not None
    assert done.result["signals"]["chance"] == pytest.approx(1 / 9)
    assert "held-out scan" in done.result["sentence"]
    assert json.loads((encoder / "model.json").read_text(encoding="utf-8"))["training"]["steps"] == STEPS

    start = ["train", "--data", SAMPLE, "-o", model, "--init-from", encoder]
    trained = medcontext_command(*start, "--method", "supervised", "--steps", 5, *CPU)
    assert trained["parent"]["id"] == "encoder"
    medcontext_command("segment", UNSEEN, "-m", model, "-o", tmp_path / "out", *CPU)
    result = next((tmp_path / "out").glob("*.nii.gz"))
    labels, image = read_labelmap(result), read_volume(UNSEEN)
    assert labels.shape == image.shape
    assert np.isin(labels.array, (0, 1, 2)).all()
