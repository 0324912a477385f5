"""Ten thousand small cases: does memory stay flat, and how long do ledger and resume take?

    python Testing/Benchmarks/batch_many.py

Noise of 12 x 12 x 12 voxels and a network of a few weights, so that what counts is everything around the network.
Written are the resident memory over the run, the slope of a line through it after the first tenth, the seconds of
reading the ledger, and those of the same command again, which has nothing to do (it finds, compares, and writes table
and report).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from record import write_result

from medcontext.batch.options import BatchOptions
from medcontext.batch.run import run_batch
from medcontext.batch_ledger import read_rows
from medcontext.events import Event, Reporter

SIDE, POINTS, FOLDER_OF = 12, 50, 1000


def main() -> None:
    """Make the cases, work on them, and come back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    arguments = parser.parse_args()
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # as a run itself does, as long as torch is not loaded
    with tempfile.TemporaryDirectory() as folder:
        facts = measured(Path(folder), arguments.cases)
    print(facts)
    print(write_result("batch_many", facts))


def measured(folder: Path, count: int) -> dict[str, Any]:
    """All numbers."""
    write_cases(folder / "in", count)
    options = BatchOptions(model=str(tiny_model(folder / "model")), device="cpu", precision="fp32")
    out, curve = folder / "out", []
    done, last = 0, time.perf_counter()

    def sink(event: Event) -> None:
        nonlocal done, last
        if event["event"] == "case":
            done += 1
            if done % max(1, count // POINTS) == 0:
                now = time.perf_counter()
                curve.append((done, psutil.Process().memory_info().rss / 2**20))
                print(f"{done}: {curve[-1][1]:.0f} MB, {now - last:.1f} s", flush=True)
                last = now

    began = time.perf_counter()
    summary = run_batch(folder / "in", out, options, Reporter(sink))
    worked = time.perf_counter()
    rows = read_rows(out)
    read = time.perf_counter()
    again = run_batch(folder / "in", out, options)
    ended = time.perf_counter()
    if (len(rows), again.reused, again.done) != (count, count, 0):
        raise RuntimeError(f"{len(rows)} rows, {again.reused} reused, {again.done} done again")
    steady = np.array(curve[len(curve) // 10 :])
    return {
        "cases": summary.done,
        "run_s": round(worked - began, 1),
        "case_ms": round(1000 * (worked - began) / count, 1),
        "memory_mb": [[number, round(size, 1)] for number, size in curve],
        "memory_growth_mb_per_1000_cases": round(
            float(np.polyfit(steady[:, 0], steady[:, 1], 1)[0]) * 1000, 3
        ),
        "ledger_mb": round((out / "ledger.jsonl").stat().st_size / 2**20, 1),
        "read_ledger_s": round(read - worked, 2),
        "same_command_again_s": round(ended - read, 2),
    }


def write_cases(folder: Path, count: int) -> None:
    """Scans of noise in folders of a thousand."""
    from medcontext import io
    from medcontext.geometry import Geometry, Volume

    shape = (SIDE, SIDE, SIDE)
    for number in range(count):
        array = np.random.default_rng(number).normal(100, 20, (1, *shape)).astype(np.int16)
        path = folder / f"{number // FOLDER_OF:02d}" / f"scan_{number:05d}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        io.write_volume(path, Volume(array, Geometry.from_spacing(shape)))


def tiny_model(folder: Path) -> Path:
    """A network of a few weights for patches of 16 voxels."""
    from untrained import untrained_model

    from medcontext.plan import Channel

    return untrained_model(
        folder,
        Channel(name="T1", modality="MRI"),
        patch=16,
        spacing=1.0,
        labels=("Front", "Back"),
        reach=(0.5, 4.0, 100.0),
        kwargs={"filters": [4, 8, 8], "deep_heads": 1},
    )


if __name__ == "__main__":
    main()
