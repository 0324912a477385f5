"""Machines that cannot take part in a run: each is named in a sentence."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest

import medcontext
from medcontext.batch import cluster_config, cluster_start
from medcontext.batch.options import BatchOptions, FixedPlan
from medcontext.errors import InputError
from medcontext.events import Event, Reporter

pytest.importorskip("distributed")

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


def test_workers_that_cannot_take_part(six_scans: Path, staffed: str, hire: Any, tmp_path: Path) -> None:
    """The one that can does the work."""
    from medcontext.batch.run import run_batch

    hire(OTHER_VERSION, BEFORE_CLUSTERS, OTHER_FOLDERS)
    events: list[Event] = []
    options = BatchOptions(model="hippocampus", cluster=staffed, plan=FixedPlan(threads=1), limit=1)
    summary = run_batch(six_scans, tmp_path / "out", options, Reporter(events.append))
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

    options = BatchOptions(model="hippocampus", cluster=staffed, device="cuda", plan=FixedPlan())
    with pytest.raises(InputError, match=f"No worker of {staffed} offers the resource GPU"):
        run_batch(six_scans, tmp_path / "out", options)


def test_packages_that_are_missing_are_the_first_thing_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medcontext.batch.run import run_batch

    monkeypatch.setattr(cluster_config, "PACKAGES", ("no_such_package",))
    options = BatchOptions(model="no such model", cluster="local:2")
    with pytest.raises(InputError, match="needs the package no-such-package") as error:
        run_batch(tmp_path / "no such folder", tmp_path / "out", options)
    assert "medcontext[cluster]" in error.value.hint


def test_local_workers_share_what_the_job_or_container_has(
    six_scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medcontext.batch.run import run_batch
    from medcontext.engine import memory

    group = tmp_path / "group"
    group.mkdir()
    (group / "memory.max").write_text(f"{3 * 10**9}\n")
    (group / "memory.current").write_text("0\n")
    monkeypatch.setattr(memory, "CGROUP", group)
    options = BatchOptions(model="hippocampus", cluster="local:4")
    with pytest.raises(InputError, match=r"4 workers with 0\.7 GB of memory each"):
        run_batch(six_scans, tmp_path / "out", options)


def test_local_workers_with_too_little_memory(six_scans: Path, tmp_path: Path) -> None:
    from medcontext.batch.run import run_batch

    options = BatchOptions(model="hippocampus", cluster="local:4", memory_limit_gb=2)
    with pytest.raises(InputError, match=r"4 workers with 0\.5 GB of memory each"):
        run_batch(six_scans, tmp_path / "out", options)


def test_a_scheduler_that_is_not_there(
    six_scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medcontext.batch.run import run_batch

    assert cluster_start.CONNECT_SECONDS <= 10
    monkeypatch.setattr(cluster_start, "CONNECT_SECONDS", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(InputError, match=f"No dask scheduler answers at {address}"):
        run_batch(six_scans, tmp_path / "out", BatchOptions(model="hippocampus", cluster=address))
