"""The engine of a batch, ``python -m medcontext batch``, as a child of this process."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import IO, Self

from slicer.i18n import tr as _

from medcontext.errors import InputError, MedContextError, ResourceError
from medcontext.events import Event
from medcontext.jobs.process import end_process_group
from MedContextSegmentLib.Worker.WorkerChild import LOG_LINE_LENGTH, LOG_LINES, WorkerEnd, ownGroup
from MedContextSegmentLib.Worker.WorkerProcess import pythonOfWorker, workerEnvironment
from MedContextSegmentLib.Worker.WorkerTexts import explainEnd

KILLED = -9
END_SECONDS = 5.0
"""How long an engine that is no longer needed may take to end."""


class EngineChild:
    """A running engine; at the end of the ``with`` block it has ended too.

    Args:
        arguments: those of ``medcontext batch``, without ``--json``.
        environment: the one from before Slicer was started.

    Raises:
        InputError: it cannot be started.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        python, base = pythonOfWorker(environment)
        try:
            self._process = subprocess.Popen(
                [python, "-m", "medcontext", "batch", "--json", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=workerEnvironment(base),
                # A Ctrl-C at the terminal is for this process, which passes it on once.
                **ownGroup(),
            )
        except OSError as error:
            text = _("{python} cannot be started: {reason}.")
            raise InputError(text.format(python=python, reason=error.strerror or error)) from error
        self._said: queue.SimpleQueue[Event | str | None] = queue.SimpleQueue()
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._open = 2
        self._stops = 0
        for pipe, read in ((self._process.stdout, _eventOf), (self._process.stderr, str)):
            threading.Thread(target=self._listen, args=(pipe, read), daemon=True).start()

    def next(self, seconds: float) -> Event | str | None:
        """What the engine said next: an event, or a line for people. None where it said nothing for so long."""
        try:
            said = self._said.get(timeout=seconds)
        except queue.Empty:
            return None
        if said is None:
            self._open -= 1
        elif isinstance(said, str):
            self._log.append(said[:LOG_LINE_LENGTH])
        return said

    @property
    def running(self) -> bool:
        """Whether more may come: it goes on, or what it said was not all taken."""
        return self._open > 0

    def stop(self) -> None:
        """Ask it to stop as soon as what is finished is safe; asked once more it stops at once."""
        self._stops += 1
        if self._process.poll() is not None:
            return
        if self._stops > 1:
            end_process_group(self._process.pid)
        elif sys.platform == "win32":
            self._process.terminate()  # a run that is ended in any moment loses nothing
        else:
            os.kill(self._process.pid, signal.SIGTERM)

    def code(self) -> int:
        """Its exit code, once it has ended; negative for the number of a signal."""
        return self._process.wait()

    def why(self) -> MedContextError:
        """Why it ended before its work, by what it said last."""
        code = self.code()
        if code == KILLED:
            return ResourceError(
                _("The batch was killed by the system, probably because memory ran out."),
                _("The same command finishes the rest; with --memory-limit it takes less."),
            )
        return explainEnd(WorkerEnd(code, "", tuple(self._log)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._process.poll() is None and self._stops < 2:
            self.stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)

    def _listen(self, pipe: IO[bytes], read: Callable[[str], Event | str]) -> None:
        with pipe:
            for line in pipe:
                text = line.decode("utf-8", "replace").rstrip()
                if text:
                    self._said.put(read(text))
        self._said.put(None)


def _eventOf(text: str) -> Event | str:
    """The event that a line holds; the line itself where it is none, such as help."""
    try:
        event = json.loads(text)
    except ValueError:
        return text
    return event if isinstance(event, dict) and "event" in event else text
