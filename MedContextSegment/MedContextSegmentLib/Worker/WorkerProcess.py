"""The worker as the face sees it: always there, started when needed, replaced when it hangs. No Qt, no Slicer."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import medcontext
from medcontext.home import HOME_VARIABLE, home
from MedContextSegmentLib.Worker.WorkerChild import WorkerChild, WorkerEnd, WorkerRequest

KILL_SECONDS = 1.5
"""After a request to stop; with the half second that killing and clean-up may take a person waits 2 s at most."""

CLOSE_SECONDS = 2.0


def pythonOfWorker(startup: Mapping[str, str], platform: str = sys.platform) -> tuple[str, Mapping[str, str]]:
    """The Python that runs the worker, and the environment that it needs.

    Slicer's launcher ``PythonSlicer`` sets up Python's environment itself, from the one before Slicer was started.
    On Windows the Python behind it is taken, with Slicer's own environment: whether the launcher passes its
    standard input on is not documented there.

    Args:
        startup: the environment from before Slicer was started (``slicer.util.startupEnvironment()``).
        platform: as ``sys.platform``.
    """
    launcher = shutil.which("PythonSlicer")
    if launcher is None:  # without Slicer: this Python
        isPython = Path(sys.executable).name.lower().startswith("python")
        return (sys.executable if isPython else "PythonSlicer"), startup
    real = Path(launcher).with_name("python-real.exe")
    if platform == "win32" and real.is_file():
        return str(real), os.environ
    return launcher, startup


def workerEnvironment(base: Mapping[str, str]) -> dict[str, str]:
    """The environment of the worker.

    Args:
        base: what :func:`pythonOfWorker` says.
    """
    package = str(Path(medcontext.__file__).resolve().parents[1])
    paths = [package, *(path for path in base.get("PYTHONPATH", "").split(os.pathsep) if path)]
    own = {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUTF8": "1",
        # Without it, "-m" would look for modules in the folder from which Slicer was started.
        "PYTHONSAFEPATH": "1",
        HOME_VARIABLE: str(home()),
    }
    return {name: value for name, value in base.items() if name != "PYTHONIOENCODING"} | own


class WorkerProcess:
    """Sends requests to a worker process and starts one where there is none.

    Safe to use from several threads; no call waits for the worker, :meth:`close` apart.

    Args:
        command: program and arguments; ``python -m medcontext.worker`` when None.
        environment: environment from before Slicer was started, so that Slicer's own libraries do not get in the
            way; this process's when None.
        killAfter: seconds between the request to stop and the end of the process that did not.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        killAfter: float = KILL_SECONDS,
    ) -> None:
        self._environment = os.environ if environment is None else environment
        if command is None:
            python, self._environment = pythonOfWorker(self._environment)
            command = (python, "-m", "medcontext.worker")
        self._command = list(command)
        self._killAfter = killAfter
        self._ids = itertools.count(1)
        self._lock = threading.RLock()
        self._children: list[WorkerChild] = []  # the one in use, if any; a list that the finalizer shares
        self._last: dict[str, Any] = {}  # what the last request computed with
        # Runs when this object goes and, should nobody have closed it, when Python ends.
        weakref.finalize(self, _stopAll, self._children)

    @property
    def pid(self) -> int | None:
        """Process number of the worker; None where none runs."""
        child = self._current()
        return child.pid if child else None

    @property
    def running(self) -> bool:
        """Whether a worker process runs."""
        return self._current() is not None

    @property
    def hello(self) -> dict[str, Any]:
        """The worker's first words {protocol, pid, software}; empty before they came."""
        child = self._current()
        return dict(child.hello) if child else {}

    @property
    def log(self) -> str:
        """The last lines of the worker's log; empty where none runs."""
        child = self._current()
        return "\n".join(tuple(child.log)) if child else ""

    def send(self, kind: str, **fields: Any) -> WorkerRequest:
        """Ask the worker; starts one where none runs.

        Args:
            kind: "segment", "redo", "warm", "doctor", ...
            fields: the rest of the request as plain data.

        Returns:
            The request; its events come by ``poll()``. Where no process could be started it has ended already,
            with the reason.
        """
        request = WorkerRequest(kind, str(next(self._ids)))
        with self._lock:
            if isinstance(fields.get("model"), str):
                self._last = {
                    name: fields[name] for name in ("model", "device", "precision") if name in fields
                }
            child = self._current()
            if child is None:
                try:
                    child = WorkerChild(self._command, workerEnvironment(self._environment))
                except OSError as error:
                    request.abandon(WorkerEnd(None, f"{self._command[0]}: {error.strerror or error}"))
                    return request
                self._children[:] = [child]
            child.send(request, fields)
        return request

    def warm(self, model: str | None = None, device: str = "auto", precision: str = "auto") -> WorkerRequest:
        """Let the worker import its libraries and load a model while the person still chooses.

        Args:
            model: id, ``id@version`` or folder; none is loaded when None.
            device: where it will be used; loaded for another one it would be loaded again.
            precision: in which it will be used.
        """
        named = {} if model is None else {"model": model}
        return self.send("warm", **named, device=device, precision=precision)

    def cancel(self, request: WorkerRequest) -> None:
        """Ask the worker to stop a request; where it does not in time, it is killed and a fresh one warms up."""
        with self._lock:
            child = self._current()
            if request.ended or request.cancelling:
                return
            request.cancelling = True
            if child is not None:
                child.send(WorkerRequest("cancel", str(next(self._ids))), {"target": request.id})
                timer = threading.Timer(self._killAfter, self._killUnlessEnded, (child, request))
                timer.daemon = True
                timer.start()

    def kill(self) -> None:
        """End the worker and all that it started, at once; the next request starts a fresh one."""
        with self._lock:
            child = self._current()
            self._children.clear()
        if child is not None:
            child.kill()

    def close(self) -> None:
        """End the worker: its input is closed, and after two seconds it is killed."""
        with self._lock:
            children = list(self._children)
            self._children.clear()
        _stopAll(children)

    def _current(self) -> WorkerChild | None:
        with self._lock:
            if self._children and not self._children[0].alive:
                self._children.clear()
            return self._children[0] if self._children else None

    def _killUnlessEnded(self, child: WorkerChild, request: WorkerRequest) -> None:
        if request.ended:
            return
        with self._lock:
            current = self._current() is child
            if current:
                self._children.clear()
        child.kill()
        if current:
            self.warm(**self._last)


def _stopAll(children: list[WorkerChild]) -> None:
    while children:
        children.pop().stop(CLOSE_SECONDS)
