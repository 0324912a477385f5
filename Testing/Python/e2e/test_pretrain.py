"""From scans without labels to a segmentation: pre-training killed and restarted, training from it, segmenting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import medcontext
from medcontext import jobs
from medcontext.io import read_labelmap, read_volume

SAMPLE = Path(medcontext.__file__).parent / "resources" / "samples" / "hippocampus"
CPU = ["--device", "cpu", "--precision", "fp32"]
FEW = ["--set", "projector.hidden=16", "--set", "projector.out=16", "--set", "random_crops=2"]
UNSEEN = SAMPLE / "images" / "hippocampus_394.nii.gz"

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def medcontext_command(own_home: Path) -> Iterator[Run]:
    """Runs the command in a process of its own and gives its last event; ends the jobs that it started."""

    def run(*arguments: str | Path) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "medcontext", *map(str, arguments), "--json"],
            env=os.environ | {"MEDCONTEXT_HOME": str(own_home), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
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
    often = ["--set", "engine.checkpoint_seconds=0.1"]
    command = ["pretrain", "--data", SAMPLE / "images", "-o", encoder, "--steps", 16, *CPU, *FEW, *often]
    job = Path(medcontext_command(*command, "--detach")["folder"])
    running = wait_for(job, lambda job: kept.exists() and (job.step or 0) >= 3)
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
    assert json.loads((encoder / "model.json").read_text(encoding="utf-8"))["training"]["steps"] == 16

    start = ["train", "--data", SAMPLE, "-o", model, "--init-from", encoder]
    trained = medcontext_command(*start, "--method", "supervised", "--steps", 5, *CPU)
    assert trained["parent"]["id"] == "encoder"
    medcontext_command("segment", UNSEEN, "-m", model, "-o", tmp_path / "out", *CPU)
    result = next((tmp_path / "out").glob("*.nii.gz"))
    labels, image = read_labelmap(result), read_volume(UNSEEN)
    assert labels.shape == image.shape
    assert np.isin(labels.array, (0, 1, 2)).all()
