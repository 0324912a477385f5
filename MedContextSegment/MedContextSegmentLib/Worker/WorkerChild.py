"""One process of the worker: its pipes, the threads that serve them, and how it ended. No Qt, no Slicer."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medcontext.events import PROTOCOL_VERSION
from medcontext.jobs.process import end_process_group

Event = dict[str, Any]

LOG_LINES = 400
LOG_LINE_LENGTH = 1000
"""The log is for people and for the cause of a crash; a library that prints without end must not fill memory."""

JOIN_SECONDS = 1.0
"""How long the last output of an ended process is waited for."""


@dataclass(frozen=True)
class WorkerEnd:
    """How a worker process ended while somebody waited for an answer.

    Attributes:
        code: exit code; negative for the number of a signal; None when it could not be started.
        reason: what the system said when it could not be started, or what was wrong with its first words.
        log: last lines of its log.
    """

    code: int | None
    reason: str = ""
    log: tuple[str, ...] = ()


class WorkerRequest:
    """What was asked of the worker, and its mailbox. Threads put events in; :meth:`poll` takes them out.

    Attributes:
        kind: "segment", "redo", "warm", ...
        id: the id that its events carry.
        cancelling: whether it was asked to stop.
        end: how the process ended, where that came before an answer.
    """

    def __init__(self, kind: str, requestId: str) -> None:
        self.kind = kind
        self.id = requestId
        self.cancelling = False
        self.end: WorkerEnd | None = None
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._closed = threading.Event()

    @property
    def ended(self) -> bool:
        """Whether the last event has arrived: ``result``, ``error``, or none because the process ended."""
        return self._closed.is_set()

    def poll(self) -> list[Event]:
        """The events that came since the last call; never waits."""
        events = []
        with contextlib.suppress(queue.Empty):
            while True:
                events.append(self._events.get_nowait())
        return events

    def wait(self, seconds: float) -> bool:
        """Wait until it ended; for scripts and tests. Returns whether it did."""
        return self._closed.wait(seconds)

    def deliver(self, event: Event) -> None:
        """Put an event in; called by the thread that reads."""
        self._events.put(event)
        if event.get("event") in ("result", "error"):
            self._closed.set()

    def abandon(self, end: WorkerEnd) -> None:
        """No answer will come any more."""
        if not self._closed.is_set():
            self.end = end
            self._closed.set()


class WorkerChild:
    """A running worker process.

    Args:
        command: program and arguments.
        environment: all its environment variables.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            **ownGroup(),
        )
        self.pid = self._process.pid
        self.hello: Event = {}
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._reason = ""
        self._open: dict[str, WorkerRequest] = {}
        self._lock = threading.Lock()
        self._over = False
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._readers = (self._thread(self._readEvents), self._thread(self._readLog))
        self._watcher = self._thread(self._watch)
        self._thread(self._write)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def send(self, request: WorkerRequest, fields: Mapping[str, Any]) -> None:
        """Ask; returns at once. Where the process has ended, the request ends too."""
        with self._lock:
            if not self._over:
                self._open[request.id] = request
        line = {"request": request.kind, "id": request.id, **fields}
        self._lines.put(json.dumps(line).encode() + b"\n")
        if self._over:
            request.abandon(self._ending())

    def kill(self) -> None:
        """End the process and all that it started, without asking. Who waits for an answer is told."""
        if self.alive:
            with contextlib.suppress(OSError):  # it ended by itself a moment ago
                end_process_group(self.pid)

    def stop(self, seconds: float) -> None:
        """Let it end by closing its input; after ``seconds`` it is killed."""
        self._lines.put(None)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self.kill()
        self._watcher.join(2 * JOIN_SECONDS)

    def _thread(self, work: Any) -> threading.Thread:
        thread = threading.Thread(target=work, name=f"medcontext worker {self.pid}", daemon=True)
        thread.start()
        return thread

    def _write(self) -> None:
        """Pass lines on; a full pipe blocks this thread and nobody else."""
        pipe = self._process.stdin
        assert pipe is not None  # for the type checker: PIPE was asked for
        with contextlib.suppress(OSError):  # the process is gone: the watcher tells those who wait
            while (line := self._lines.get()) is not None:
                pipe.write(line)
                pipe.flush()
        with contextlib.suppress(OSError):
            pipe.close()

    def _readEvents(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None  # for the type checker
        with pipe:
            for line in pipe:
                text = line.decode("utf-8", "replace").strip()
                try:
                    event = json.loads(text)
                except ValueError:
                    event = None
                if isinstance(event, dict) and "event" in event:
                    self._dispatch(event)
                elif text:
                    self.log.append(text[:LOG_LINE_LENGTH])

    def _dispatch(self, event: Event) -> None:
        if event["event"] == "hello":
            self.hello = event
            if event.get("protocol") != PROTOCOL_VERSION:
                self._reason = f"protocol {event.get('protocol')} instead of {PROTOCOL_VERSION}"
                self.kill()
            return
        with self._lock:
            request = self._open.get(str(event.get("id", "")))
            if request is not None and event["event"] in ("result", "error"):
                del self._open[request.id]
        if request is not None:
            request.deliver(event)
        elif event["event"] == "error":  # such as a line that it could not read
            self.log.append(str(event.get("message", ""))[:LOG_LINE_LENGTH])

    def _readLog(self) -> None:
        pipe = self._process.stderr
        assert pipe is not None  # for the type checker
        with pipe:
            while piece := pipe.readline(LOG_LINE_LENGTH):
                text = piece.decode("utf-8", "replace").rstrip()
                if text:
                    self.log.append(text)

    def _watch(self) -> None:
        """Wait for the end. What the process started ends with it: it could keep the pipes open for ever."""
        self._process.wait()
        if sys.platform != "win32":
            with contextlib.suppress(OSError):
                end_process_group(self.pid)
        for reader in self._readers:
            reader.join(JOIN_SECONDS)
        self._lines.put(None)
        with self._lock:
            self._over = True
            waiting = list(self._open.values())
            self._open.clear()
        for request in waiting:
            request.abandon(self._ending())

    def _ending(self) -> WorkerEnd:
        return WorkerEnd(self._process.returncode, self._reason, tuple(self.log))


def ownGroup() -> dict[str, Any]:
    """Options that make the process leader of a group, so that it and its children can be ended together."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}
