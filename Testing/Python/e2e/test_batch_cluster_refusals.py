"""Runs on several machines that cannot begin: a sentence says why."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from medcontext.batch import cluster_config, cluster_start
from medcontext.batch.options import BatchOptions
from medcontext.errors import InputError

pytest.importorskip("distributed")


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
