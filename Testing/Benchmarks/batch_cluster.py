"""A batch on dask workers: two against one on the same cores, and runs in which a worker is killed.

    python Testing/Benchmarks/batch_cluster.py
    python Testing/Benchmarks/batch_cluster.py --only kills --runs 3

Scheduler and workers are processes of this machine and stay from run to run, as those of a cluster do, so libraries
and model are loaded before the clock starts. All runs share one execution plan. One worker is measured with all cores
and with one. In the second part a worker that is at work is killed with SIGKILL at a random moment; its nanny starts
another. A case counts as lost when the ledger does not have it exactly once as done, when a file is missing, or when
its voxels differ from those of a run without a kill.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client
from record import write_result

import medcontext
from medcontext import io
from medcontext.batch.options import BatchOptions, FixedPlan
from medcontext.batch.run import run_batch
from medcontext.devices import usable_cores
from medcontext.events import Event, Reporter

SAMPLES = Path(medcontext.__file__).parent / "resources" / "samples" / "hippocampus" / "images"
MODEL = "hippocampus"


def make_cases(folder: Path, count: int) -> Path:
    """``count`` scans: the bundled ones again and again."""
    folder.mkdir()
    bundled = sorted(SAMPLES.glob("*.nii.gz"))
    for index in range(count):
        shutil.copy(bundled[index % len(bundled)], folder / f"scan_{index:03d}.nii.gz")
    return folder


@contextlib.contextmanager
def a_cluster(folder: Path, workers: int) -> Iterator[str]:
    """A scheduler with nannies and workers on loopback; its address."""
    folder.mkdir()
    place = folder / "scheduler.json"
    common = ["--no-dashboard", "--scheduler-file", str(place)]
    worker = ["--nworkers", str(workers), "--nthreads", "1", "--memory-limit", "4GiB", "--nanny"]
    children = [
        subprocess.Popen([sys.executable, "-m", "dask", *command], stderr=subprocess.DEVNULL,
                         start_new_session=True)
        for command in (
            ["scheduler", "--host", "127.0.0.1", "--port", "0", *common],
            ["worker", *worker, "--local-directory", str(folder), *common],
        )
    ]  # fmt: skip
    try:
        while not (place.is_file() and place.read_text().rstrip().endswith("}")):
            time.sleep(0.1)
        address = str(json.loads(place.read_text())["address"])
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=120)
        yield address
    finally:
        for child in children:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def one_run(
    scans: Path, out: Path, address: str | None, plan: FixedPlan | None, at_case: Callable[[int], None]
) -> float:
    """Seconds of a run from nothing; ``at_case`` hears how many cases are finished."""
    shutil.rmtree(out, ignore_errors=True)
    finished = 0

    def hear(event: Event) -> None:
        nonlocal finished
        if event["event"] == "case":
            finished += 1
            at_case(finished)

    began = time.perf_counter()
    run_batch(scans, out, BatchOptions(model=MODEL, cluster=address, plan=plan), Reporter(hear))
    return time.perf_counter() - began


def measured_plan(scans: Path, out: Path, address: str) -> FixedPlan:
    """The plan that a worker measures."""
    one_run(scans, out, address, None, lambda _count: None)
    found = json.loads((out / "batch.json").read_text())["execution"]["plan"]
    return FixedPlan(**found)


def compare(work: Path, cases: int, rounds: int) -> dict[str, Any]:
    """Seconds of the same cases on one worker and on two, turn by turn."""
    scans, out, cores = make_cases(work / "scans", cases), work / "out", usable_cores()
    seconds: dict[str, list[float]] = {}
    with a_cluster(work / "one", 1) as one, a_cluster(work / "two", 2) as two:
        plan = measured_plan(scans, out, one)
        ways = {
            "one worker, one thread": (one, 1),
            f"one worker, {cores} threads": (one, cores),
            "two workers, one thread each": (two, 1),
        }
        for turn in range(rounds + 1):  # the first one warms up
            for name, (address, threads) in ways.items():
                fixed = plan.model_copy(update={"threads": threads})
                took = one_run(scans, out, address, fixed, lambda _count: None)
                if turn:
                    seconds.setdefault(name, []).append(round(took, 2))
                    print(f"{name}: {took:.2f} s", flush=True)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    single, best, double = (medians[name] for name in (next(iter(ways)), list(ways)[1], list(ways)[2]))
    return {
        "cases": cases,
        "plan": plan.model_dump(),
        "seconds": seconds,
        "median_seconds": medians,
        "one_thread_over_two_workers": round(single / double, 3),
        "all_cores_in_one_worker_over_two_workers": round(best / double, 3),
    }


class Killer:
    """Kills a worker that is at work, once a run, at a random moment."""

    def __init__(self, address: str, cases: int, chance: random.Random) -> None:
        self._client = Client(address, set_as_default=False)
        self._chance, self._at = chance, chance.randrange(1, max(2, cases - 2))
        self._wait = chance.uniform(0, 1)
        self.killed: list[dict[str, Any]] = []

    def hear(self, finished: int) -> None:
        """Called after each case."""
        if finished == self._at:
            threading.Thread(target=self._kill).start()

    def _kill(self) -> None:
        time.sleep(self._wait)
        busy = [address for address, keys in self._client.processing().items() if keys]
        if busy:
            place = self._chance.choice(busy)
            pid = self._client.run(os.getpid, workers=[place])[place]
            under_way = len(self._client.processing().get(place, ()))
            os.kill(pid, signal.SIGKILL)
            self.killed.append({"after_cases": self._at, "cases_on_the_worker": under_way})

    def close(self) -> None:
        """Wait until the nanny has replaced what was killed."""
        self._client.wait_for_workers(2, timeout=120)
        self._client.close()


def labelmaps(out: Path) -> dict[str, np.ndarray]:
    """What a run wrote, by case."""
    return {path.name: io.read_volume(path).array for path in (out / "segmentations").glob("*.nii.gz")}


def lost_cases(out: Path, scans: Path, expected: dict[str, np.ndarray]) -> list[str]:
    """Cases that are not there exactly once, whole and as they should be."""
    rows = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    done, found = Counter(row["case"] for row in rows if row["state"] == "done"), labelmaps(out)
    cases = [path.name.removesuffix(".nii.gz") for path in sorted(scans.iterdir())]
    return [
        case
        for case in cases
        if done[case] != 1
        or (name := f"{case}.nii.gz") not in found
        or not np.array_equal(found[name], expected[name])
    ]


def kill_series(work: Path, cases: int, runs: int, seed: int) -> dict[str, Any]:
    """Runs with a kill each."""
    scans, out, chance = make_cases(work / "few", cases), work / "killed", random.Random(seed)
    series, plan = [], FixedPlan(threads=1)
    with a_cluster(work / "nannies", 2) as address:
        undisturbed = one_run(scans, out, address, plan, lambda _count: None)
        expected = labelmaps(out)
        for number in range(runs):
            killer = Killer(address, cases, chance)
            took = one_run(scans, out, address, plan, killer.hear)
            killer.close()
            lost = lost_cases(out, scans, expected)
            series.append({"seconds": round(took, 2), "lost": lost, "kills": killer.killed})
            print(f"run {number + 1}: {took:.1f} s, killed {killer.killed}, lost {lost}", flush=True)
    return {
        "cases": cases,
        "runs": series,
        "seconds_of_a_first_run_without_kill": round(undisturbed, 2),
        "kills": sum(len(run["kills"]) for run in series),
        "lost_cases": sum(len(run["lost"]) for run in series),
    }


def main() -> None:
    """Measure and write what is found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=("speed", "kills"))
    parser.add_argument("--cases", type=int, default=54, help="of the comparison")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=20, help="with a kill")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="medcontext-") as folder:
        work = Path(folder)
        if arguments.only != "kills":
            facts = compare(work, arguments.cases, arguments.rounds)
            print(write_result("batch_cluster_speed", facts), facts["median_seconds"])
        if arguments.only != "speed":
            facts = kill_series(work, 12, arguments.runs, arguments.seed)
            print(
                write_result("batch_cluster_kills", facts),
                facts["kills"],
                "kills,",
                facts["lost_cases"],
                "lost",
            )


if __name__ == "__main__":
    main()
