"""Machines that cannot take part in a run: each is named in a sentence, before anything is computed."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

import medcontext
from medcontext.batch import cluster_start
from medcontext.batch.options import BatchOptions, FixedPlan
from medcontext.errors import InputError

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


@pytest.mark.parametrize(
    ("preload", "sentence"),
    [
        (OTHER_VERSION, "has MedContext 0.0.1, this run was started with"),
        (BEFORE_CLUSTERS, f"cannot run MedContext {medcontext.__version__}"),
        (
            OTHER_FOLDERS,
            "does not see .*out: all machines of a run need the same folders at the same paths",
        ),
    ],
    ids=["version", "none", "folders"],
)
def test_a_worker_that_cannot_take_part(
    preload: str, sentence: str, six_scans: Path, dask_processes: Any, tmp_path: Path
) -> None:
    from medcontext.batch.run import run_batch

    address = dask_processes.scheduler(tmp_path)
    dask_processes.worker(address, tmp_path, preload)
    with pytest.raises(InputError, match=sentence) as error:
        run_batch(six_scans, tmp_path / "out", BatchOptions(model="hippocampus", cluster=address))
    assert any(name in error.value.message for name in (socket.gethostname(), "127.0.0.1"))


def test_a_graphics_processor_that_nobody_offers(
    six_scans: Path, dask_processes: Any, tmp_path: Path
) -> None:
    from medcontext.batch.run import run_batch

    address = dask_processes.scheduler(tmp_path)
    dask_processes.worker(address, tmp_path)
    options = BatchOptions(model="hippocampus", cluster=address, device="cuda", plan=FixedPlan())
    with pytest.raises(InputError, match=f"No worker of {address} offers the resource GPU"):
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
