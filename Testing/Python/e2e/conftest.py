"""What runs on several machines need: dask's own processes, and scans to work on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import medcontext

SAMPLES = Path(medcontext.__file__).parent / "resources" / "samples" / "hippocampus" / "images"


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait until something is so; generous, since a busy machine is several times slower."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


class DaskProcesses:
    """Schedulers and workers on loopback, each a process of its own group."""

    def __init__(self) -> None:
        self._children: list[subprocess.Popen[bytes]] = []

    def scheduler(self, folder: Path) -> str:
        """Start a scheduler; its address."""
        place = folder / "scheduler.json"
        self._start(
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            "--scheduler-file",
            str(place),
        )
        wait_for(lambda: place.is_file() and place.read_text().rstrip().endswith("}"))
        return str(json.loads(place.read_text())["address"])

    def worker(self, address: str, folder: Path, preload: str = "") -> subprocess.Popen[bytes]:
        """Start a worker without a nanny: when it is killed, it stays dead.

        Args:
            address: of its scheduler.
            folder: for its files.
            preload: Python that it runs first.
        """
        plain = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "4GiB"]
        if preload:
            (folder / "preload.py").write_text(preload)
            plain += ["--preload", str(folder / "preload.py")]
        return self._start("worker", address, *plain, "--local-directory", str(folder))

    def end(self) -> None:
        """End all of them."""
        for child in self._children:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *arguments]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._children.append(subprocess.Popen(command, start_new_session=True, **quiet))
        return self._children[-1]


@pytest.fixture(scope="module")
def dask_processes() -> Iterator[DaskProcesses]:
    """What starts schedulers and workers; they end with the module."""
    processes = DaskProcesses()
    yield processes
    processes.end()


@pytest.fixture(scope="module")
def six_scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first six bundled scans, ``scan_0`` to ``scan_5``."""
    folder = tmp_path_factory.mktemp("scans of a cluster")
    for index, scan in enumerate(sorted(SAMPLES.glob("*.nii.gz"))[:6]):
        shutil.copy(scan, folder / f"scan_{index}.nii.gz")
    return folder
