"""Runs on several machines: a real scheduler and real worker processes, some of which die."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import medcontext
from medcontext.batch import cluster_start, cluster_stop
from medcontext.batch.options import BatchOptions, FixedPlan
from medcontext.batch_ledger import DONE, FAILED, read_rows
from medcontext.errors import CancelledError, InputError
from medcontext.events import Event, Reporter

distributed = pytest.importorskip("distributed")

CASES = 6

BLIND = """
from pathlib import Path
from medcontext.batch import cluster_worker

def blind(seen):
    return lambda path, **more: "{name}" not in path.name and seen(path, **more)

Path.is_file, Path.exists = blind(Path.is_file), blind(Path.exists)
cluster_worker.PATIENCE = 0.1
"""
"""Run by a worker first: it does not see some files."""

DEADLY = """
import os, signal, time
from medcontext.batch import cluster_worker

def deadly(run_case):
    def work(facts, errand):
        if errand["case"]["id"] == "scan_5":
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGKILL)
        return run_case(facts, errand)
    return work

cluster_worker.run_case = deadly(cluster_worker.run_case)
"""
"""Run by workers first: one of the cases kills whoever works on it."""

OTHER_VERSION = "import medcontext; medcontext.__version__ = '0.0.1'"
BEFORE_CLUSTERS = "import sys; sys.modules['medcontext.batch.cluster_worker'] = None"
OTHER_FOLDERS = """
from pathlib import Path
from medcontext.batch import cluster_worker

def blind(seen):
    return lambda path, **more: not path.name.startswith(".run-") and seen(path, **more)

Path.is_file = blind(Path.is_file)
cluster_worker.PATIENCE = 0.1
"""
"""Run by a worker first: the output folder is one of its own."""


def options(cluster: str) -> BatchOptions:
    plan = FixedPlan(threads=1)  # nothing is measured
    return BatchOptions(model="hippocampus", cluster=cluster, plan=plan, memory_limit_gb=8)


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


class Follower:
    """Hears the events of a run, and does something when a case is finished."""

    def __init__(self, at_case: Callable[[int], None] = lambda _count: None) -> None:
        self.events: list[Event] = []
        self._at_case = at_case
        self.reporter = Reporter(self._hear)

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        if event["event"] == "case" and event["status"] in (DONE, FAILED):
            self._at_case(self.count(DONE) + self.count(FAILED))

    def count(self, status: str) -> int:
        return sum(event["event"] == "case" and event["status"] == status for event in self.events)

    def said(self, kind: str) -> str:
        return "\n".join(event["message"] for event in self.events if event["event"] == kind)


def is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def finished(out: Path) -> Counter[str]:
    """How many rows say that a case is done, by case; each with its outputs."""
    rows = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    done = [row for row in rows if row["state"] == DONE]
    for row in done:
        for files in row["outputs"].values():
            assert [(out / file["path"]).stat().st_size for file in files] == [file["size"] for file in files]
    return Counter(row["case"] for row in done)


def test_stopped_gone_on_with_and_a_worker_killed_in_the_middle_of_a_case(
    six_scans: Path,
    staffed: str,
    writing: Path,
    slow_writer: str,
    hire: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from medcontext.batch.run import run_batch

    monkeypatch.setattr(cluster_stop, "FINISH_S", 120.0)  # a busy machine is several times slower
    out = tmp_path / "out"
    (victim,) = hire(slow_writer)
    with distributed.Client(staffed, set_as_default=False) as watcher:
        place = next(address for address, pid in watcher.run(os.getpid).items() if pid == victim.pid)

        def written() -> set[str]:
            return {path.name for path in writing.glob("scan_*")}

        first = Follower()
        (writing / "slow").touch()
        try:
            with pytest.raises(CancelledError, match="Stopped on request"):
                run_batch(
                    six_scans, out, options(staffed), first.reporter, lambda: "stop" if written() else None
                )
        finally:
            (writing / "slow").unlink()
        assert set(finished(out)) == written()  # what was being written is not thrown away
        assert 0 < first.count(DONE) < CASES
        wait_for(lambda: not any(watcher.processing().values()))

        worked_on: list[object] = []

        def kill(_count: int) -> None:
            if not worked_on:
                worked_on.extend(watcher.processing()[place])
                os.kill(victim.pid, signal.SIGKILL)

        second = Follower(kill)
        summary = run_batch(six_scans, out, options(staffed), second.reporter)

    assert worked_on
    assert "is gone; what it worked on begins again elsewhere" in second.said("warning")
    assert (summary.done, summary.reused, summary.failed) == (CASES - first.count(DONE), first.count(DONE), 0)
    assert finished(out) == {f"scan_{index}": 1 for index in range(CASES)}
    rows = read_rows(out).values()
    assert {row["state"] for row in rows} == {DONE}
    assert all(row["worker"] and row["device"] == "CPU" for row in rows)
    assert not list(out.glob(".run-*"))


def test_a_worker_without_the_scans_is_left_out(
    six_scans: Path, staffed: str, hire: Any, tmp_path: Path
) -> None:
    """And a scan that nobody sees fails alone: no worker is to blame for it."""
    from medcontext.batch.run import run_batch

    some = shutil.copytree(six_scans, tmp_path / "some", ignore=shutil.ignore_patterns("scan_[3-9]*"))
    hire(BLIND.format(name="scan_1.nii.gz"))

    class Thief(Follower):
        def _hear(self, event: Event) -> None:
            super()._hear(event)
            if "to do" in event.get("message", ""):
                (some / "scan_2.nii.gz").unlink()

    follower = Thief()
    summary = run_batch(some, tmp_path / "out", options(staffed), follower.reporter)

    assert (summary.done, summary.failed) == (2, 1)
    assert finished(tmp_path / "out") == {"scan_0": 1, "scan_1": 1}
    assert "scan_2.nii.gz" in read_rows(tmp_path / "out")["scan_2"]["error"]["message"]
    assert "scan_2" not in follower.said("warning")


def test_workers_that_cannot_take_part(six_scans: Path, staffed: str, hire: Any, tmp_path: Path) -> None:
    """The one that can does the work."""
    from medcontext.batch.run import run_batch

    hire(OTHER_VERSION, BEFORE_CLUSTERS, OTHER_FOLDERS)
    events: list[Event] = []
    wished = BatchOptions(model="hippocampus", cluster=staffed, plan=FixedPlan(threads=1), limit=1)
    summary = run_batch(six_scans, tmp_path / "out", wished, Reporter(events.append))
    assert summary.done == 1
    said = [event["message"] for event in events if event["event"] == "warning"]
    for sentence in (
        "has MedContext 0.0.1, this run was started with",
        f"cannot run MedContext {medcontext.__version__}",
        "does not see .*out: all machines of a run need the same folders at the same paths",
    ):
        (found,) = [text for text in said if re.search(sentence, text)]
        assert any(name in found for name in (socket.gethostname(), "127.0.0.1"))


def test_a_graphics_processor_that_nobody_offers(six_scans: Path, staffed: str, tmp_path: Path) -> None:
    from medcontext.batch.run import run_batch

    wished = BatchOptions(model="hippocampus", cluster=staffed, device="cuda", plan=FixedPlan())
    with pytest.raises(InputError, match=f"No worker of {staffed} offers the resource GPU"):
        run_batch(six_scans, tmp_path / "out", wished)


def test_local_workers_survive_a_case_that_kills_them(
    six_scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dask import config

    from medcontext.batch.run import run_batch

    monkeypatch.setattr(cluster_start, "DEATHS", 1)
    some = shutil.copytree(six_scans, tmp_path / "some", ignore=shutil.ignore_patterns("scan_[0-3]*"))
    deadly = tmp_path / "deadly.py"
    deadly.write_text(DEADLY)
    me = psutil.Process()
    listening: set[str] = set()

    def look(_count: int) -> None:
        for process in {me, *me.children(recursive=True)} - before:
            with contextlib.suppress(psutil.NoSuchProcess):
                open_ports = [
                    c.laddr for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN
                ]
                listening.update(address.ip for address in open_ports)

    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_", "PYTHONHASHSEED")
    before, environment = set(me.children(recursive=True)), {name: os.environ.get(name) for name in names}
    follower, out = Follower(look), tmp_path / "out"
    with config.set({"distributed.worker.preload": [str(deadly)]}):
        summary = run_batch(some, out, options("local:2"), follower.reporter)

    assert (summary.done, summary.failed) == (1, 1)
    assert finished(out) == {"scan_4": 1}
    row = read_rows(out)["scan_5"]
    assert row["state"] == FAILED
    assert row["error"]["message"].startswith("Workers ended again and again while they worked on this case")
    assert listening == {"127.0.0.1"}  # no port is open to other machines
    wait_for(lambda: not [p for p in set(me.children(recursive=True)) - before if is_worker(p)])
    assert {name: os.environ.get(name) for name in names} == environment
