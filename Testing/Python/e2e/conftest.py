"""Slicer, opened and closed; and what runs on several machines need: dask's own processes, and scans to work on."""

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
from typing import Any

import pytest

import medcontext

SAMPLES = Path(medcontext.__file__).parent / "resources" / "samples" / "hippocampus" / "images"

Hire = Callable[..., list[subprocess.Popen[bytes]]]

SLOW = """
import time
from pathlib import Path
from medcontext.batch import stages

def slow(export):
    def work(computed, case, *more):
        folder = Path({folder!r})
        if (folder / "slow").exists():
            (folder / case.id).touch()
            time.sleep(1)
        return export(computed, case, *more)
    return work

stages.export = slow(stages.export)
"""


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
            place = folder / f"preload_{len(self._children)}.py"
            place.write_text(preload)
            plain += ["--preload", str(place)]
        return self._start("worker", address, *plain, "--local-directory", str(folder))

    def end(self) -> None:
        """End all of them."""
        for child in self._children:
            self.kill(child)

    @staticmethod
    def kill(child: subprocess.Popen[bytes]) -> None:
        """End one of them, if it lives, without giving it time for anything."""
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *arguments]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._children.append(subprocess.Popen(command, start_new_session=True, **quiet))
        return self._children[-1]


@pytest.fixture(scope="session")
def dask_processes() -> Iterator[DaskProcesses]:
    """What starts schedulers and workers; they end with the tests."""
    processes = DaskProcesses()
    yield processes
    processes.end()


@pytest.fixture(scope="session")
def writing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which workers name the cases that they are about to write."""
    return tmp_path_factory.mktemp("writing")


@pytest.fixture(scope="session")
def slow_writer(writing: Path) -> str:
    """Python that makes a worker slow at writing while there is a file ``slow`` in that folder."""
    return SLOW.format(folder=str(writing))


@pytest.fixture(scope="session")
def staffed(dask_processes: DaskProcesses, slow_writer: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a scheduler with one worker, which is there and stays."""
    from distributed import Client

    folder = tmp_path_factory.mktemp("scheduler")
    address = dask_processes.scheduler(folder)
    dask_processes.worker(address, folder, slow_writer)
    with Client(address, set_as_default=False) as watcher:
        watcher.wait_for_workers(1, timeout=120)
    return address


@pytest.fixture
def hire(dask_processes: DaskProcesses, staffed: str, tmp_path: Path) -> Iterator[Hire]:
    """``hire(*preloads)`` starts more workers for one test, each with Python that it runs first; gives the processes.

    They are there when it returns.
    """
    hired: list[subprocess.Popen[bytes]] = []

    def start(*preloads: str) -> list[subprocess.Popen[bytes]]:
        from distributed import Client

        hired.extend(dask_processes.worker(staffed, tmp_path, preload) for preload in preloads)
        pids = {child.pid for child in hired}
        with Client(staffed, set_as_default=False) as watcher:
            wait_for(lambda: pids <= set(watcher.run(os.getpid, on_error="return").values()))
        return hired

    yield start
    for child in hired:
        dask_processes.kill(child)


@pytest.fixture(scope="session")
def six_scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first six bundled scans, ``scan_0`` to ``scan_5``."""
    folder = tmp_path_factory.mktemp("scans of a cluster")
    for index, scan in enumerate(sorted(SAMPLES.glob("*.nii.gz"))[:6]):
        shutil.copy(scan, folder / f"scan_{index}.nii.gz")
    return folder


@pytest.fixture
def slicer_window(own_home: Path) -> Iterator[Callable[..., Any]]:
    """Opens Slicer with the module, closing it first where it is open: gives the panel. Ends all jobs afterwards."""
    from harness import application, dialogs, packaging, slicer_qt
    from harness.panel import MODULE
    from harness.programs import endJobs

    slicer_qt.start()
    slicer_qt.errors.clear()
    dialogs.reset()
    packaging.reset()
    opened: list[Any] = []

    def reopen() -> Any:
        while opened:
            slicer_qt.unload(opened.pop())
            application.reset()
        panel = slicer_qt.enter(slicer_qt.load_module(MODULE))
        opened.append(panel)
        panel.warmUp.begin = lambda _model: None
        for part in (panel.control, panel.learn.fineTune, panel.learn.pretrain):
            part.ignoredSeconds = 0.0  # tests click faster than people
        panel.ui.learnSection.collapsed = False
        panel.settings.device = "cpu"
        return panel

    yield reopen
    for panel in opened:
        slicer_qt.unload(panel)
    endJobs(own_home)
    application.reset()
    import qt

    qt.QSettings().clear()
    assert not slicer_qt.errors, "\n".join(slicer_qt.errors)
