"""Does a batch read, compute and write at the same time? Total time beside the largest it must take.

    python Testing/Benchmarks/batch_speed.py

The test crops with the bundled model, and a set of CT scans whose reading is made slow, as from a network disk, with a
network of random weights. Each set runs in a process of its own. The total, from the first byte read to the finished
report, is compared with the larger of the slowest stage and of all processor seconds divided by the cores, both
measured in the same run; loading libraries and the model before it is reported beside.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from record import SHARED, write_result

from medcontext.batch.options import BatchOptions
from medcontext.batch.run import run_batch
from medcontext.batch_ledger import read_rows
from medcontext.events import Event, Reporter

STAGES = {
    "reading": ("read", "hash", "preprocess"),
    "network": ("measure", "plan", "segment", "label"),
    "writing": ("export",),
}
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> None:
    """Measure both sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "hippocampus")
    parser.add_argument("--ct", type=Path, default=SHARED / "ct_torso/images/cta_aorta_crop.nii.gz")
    parser.add_argument("--cases", type=int, default=50, help="crops")
    parser.add_argument("--scans", type=int, default=8, help="CT scans")
    parser.add_argument("--rate", type=float, default=2.0, help="MB/s at which CT scans are read")
    parser.add_argument("--set", choices=["crops", "ct"])
    arguments = parser.parse_args()
    if arguments.set:
        os.environ.setdefault(
            "OMP_WAIT_POLICY", "PASSIVE"
        )  # as a run itself does, as long as torch is not loaded
        print(json.dumps(SETS[arguments.set](arguments)))
        return
    facts: dict[str, Any] = {"cores": CORES}
    for name in SETS:
        began = time.perf_counter()
        finished = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--set", name],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        facts[name] = json.loads(finished.stdout.splitlines()[-1])
        facts[name]["process_s"] = round(time.perf_counter() - began, 2)
        print(name, facts[name], flush=True)
    print(write_result("batch_speed", facts))


def crops(arguments: argparse.Namespace) -> dict[str, Any]:
    """The test crops with the bundled model, all formats of labelmaps."""
    from medcontext.api import CaseStore

    cases = [case for case in CaseStore.open(arguments.data).cases if case.split == "test"]
    images = [case.images[0] for case in cases[: arguments.cases]]
    return measured(images, "hippocampus", ("nii.gz", "seg.nrrd"))


def slow_ct(arguments: argparse.Namespace) -> dict[str, Any]:
    """Copies of a CT scan, read at a few megabytes a second."""
    from medcontext.batch import stages

    honest = stages.read_case

    def slow(case: Any, *rest: Any, **options: Any) -> Any:
        time.sleep(sum(file.stat().st_size for file in case.image_files) / 1e6 / arguments.rate)
        return honest(case, *rest, **options)

    stages.read_case = slow
    with tempfile.TemporaryDirectory() as folder:
        images = [Path(folder) / f"scan_{number}.nii.gz" for number in range(arguments.scans)]
        for image in images:
            shutil.copyfile(arguments.ct, image)
        return measured(images, str(ct_model(Path(folder) / "model")), ("nii.gz",))


def ct_model(folder: Path) -> Path:
    """A small network with random weights for CT at 3 mm."""
    from untrained import untrained_model

    from medcontext.plan import Channel

    return untrained_model(
        folder,
        Channel(name="CT", modality="CT"),
        patch=64,
        spacing=3.0,
        labels=[f"Structure {value}" for value in range(1, 6)],
        reach=(0.3, 6.0, 1000.0),
    )


def measured(images: list[Path], model: str, formats: tuple[str, ...]) -> dict[str, Any]:
    """Run a batch and compare its time with what it must take at least."""
    window: list[tuple[float, float]] = []
    processor = processor_seconds()

    def sink(event: Event) -> None:
        if event["event"] == "info" and event["message"].startswith("Memory:"):  # then reading begins
            window.append((time.perf_counter(), processor_seconds()))

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        options = BatchOptions(model=model, formats=formats, device="cpu")
        summary = run_batch(images, Path(out), options, Reporter(sink))
        ended, used = time.perf_counter(), processor_seconds()
        rows = [row for row in read_rows(Path(out)).values() if row["state"] == "done"]
    total, core_seconds = ended - window[0][0], used - window[0][1]
    stages = {
        name: round(sum(row["seconds"].get(key, 0.0) for row in rows for key in keys), 2)
        for name, keys in STAGES.items()
    }
    bound = max(*stages.values(), core_seconds / CORES)
    return {
        "cases": summary.done,
        "total_s": round(total, 2),
        "stages_s": stages,
        "core_s": round(core_seconds, 2),
        "at_least_s": round(bound, 2),
        "ratio": round(total / bound, 3),
        "one_after_the_other_s": round(sum(stages.values()), 2),
        "before_s": round(window[0][0] - began, 2),
        "before_core_s": round(window[0][1] - processor, 2),
        "plan": rows[0]["plan"],
    }


def processor_seconds() -> float:
    """Processor time of this process until now, in all its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


SETS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {"crops": crops, "ct": slow_ct}

if __name__ == "__main__":
    main()
