"""A batch that is killed at any instant and started again: every case once, nothing left over, the same bytes."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from medcontext import io
from medcontext.batch_ledger import read_rows
from medcontext.geometry import Geometry, Volume

CASES, KILLS = 12, 2
COMMAND = [sys.executable, "-m", "medcontext", "batch"]
FORMATS = ["--format", "nii.gz", "--format", "seg.nrrd", "--format", "stl", "--certainty-map"]
SEED = random.SystemRandom().randrange(1 << 32)
"""Another instant in each run; a failure names it."""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")


def scans(folder: Path) -> Path:
    """Smooth noise, so that there are connected structures."""
    from scipy import ndimage

    for number in range(CASES):
        array = np.random.default_rng(number).normal(size=(1, 24, 26, 28)).astype(np.float32)
        smooth = ndimage.gaussian_filter(array, (0, 2, 2, 2))
        io.write_volume(
            folder / f"scan {number:02d}.nii.gz", Volume(smooth, Geometry.from_spacing((24, 26, 28)))
        )
    return folder


def start(inputs: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        *COMMAND,
        str(inputs),
        "-m",
        "hippocampus",
        "-o",
        str(out),
        "--device",
        "cpu",
        "--json",
        *FORMATS,
    ]
    return subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def events(stream: IO[str] | None) -> list[dict[str, Any]]:
    assert stream is not None
    return [json.loads(line) for line in stream]


def kill_after(process: subprocess.Popen[str], cases: int, seconds: float) -> None:
    """Let so many cases finish, wait so long, and kill."""
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        cases -= event["event"] == "case" and event["status"] == "done"
        if cases <= 0 and event["event"] in ("case", "progress"):
            break
    time.sleep(seconds)
    process.kill()
    process.wait()
    process.stdout.close()


def contents(out: Path) -> dict[str, bytes]:
    """What is handed on, without what tells times."""
    told = ("batch.json", "ledger.jsonl", "ledger.csv", "report.html", "sources.json", ".ledger.jsonl.lock",
            ".sources.json.lock")  # fmt: skip
    files = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name not in told}


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    row = {
        key: value
        for key, value in row.items()
        if key not in ("time", "seconds", "attempt", "sequence", "options_hash")
    }
    for files in row["outputs"].values():
        for file in files:
            del file["mtime_ns"]
    return row


def test_a_batch_killed_at_any_instant_ends_as_if_it_never_was(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    inputs, out, whole = scans(tmp_path / "in"), tmp_path / "killed", tmp_path / "whole"
    killed = 0
    while killed < KILLS:
        # The first one dies somewhere between its start and its first case, the others in the middle of work.
        process = start(inputs, out)
        kill_after(process, chance.randint(1, 3) if killed else 0, chance.uniform(0, 0.3))
        assert process.returncode in (-9, 0), SEED
        killed += 1
        if process.returncode == 0:  # it came to its end while this process had to wait for its turn
            shutil.rmtree(out)
            killed = 0
    process = start(inputs, out)
    told = events(process.stdout)
    assert process.wait() == 0, SEED
    result = told[-1]
    assert result["event"] == "result"
    assert result["done"] + result["reused"] == CASES, SEED
    assert result["failed"] == 0, SEED

    process = start(inputs, whole, "--plan", str(out / "batch.json"))
    events(process.stdout)
    assert process.wait() == 0
    rows, expected = read_rows(out), read_rows(whole)
    assert rows.keys() == expected.keys(), SEED
    assert len(rows) == CASES
    for case, row in rows.items():
        assert without_times(row) == without_times(expected[case]), (SEED, case)
    finished = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    assert sorted(row["case"] for row in finished if row["state"] == "done") == sorted(rows), SEED
    assert contents(out).keys() == contents(whole).keys(), SEED
    assert contents(out) == contents(whole), SEED
