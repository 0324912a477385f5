"""Requests in, events out: a thread that reads, a main loop that works. Loads nothing heavy by itself."""

from __future__ import annotations

import gc
import json
import logging
import os
import platform
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TextIO

import medcontext
from medcontext.errors import CancelledError, InputError, MedContextError, ResourceError
from medcontext.events import PROTOCOL_VERSION, Event, Reporter, json_lines

IDLE_SECONDS = 600.0
"""Time without a request after which the worker lets go of models and device memory."""

WATCH_SECONDS = 20.0
"""How often an idle worker that holds models looks whether a training wants the device."""

GRACE_SECONDS = 2.0
"""How long the work at hand may take to stop once stdin has ended."""

_log = logging.getLogger(__name__)


@dataclass
class Request:
    """One line of stdin.

    Attributes:
        kind: what is asked.
        id: text that all events of it carry.
        data: the whole line.
        stop: set when it was cancelled.
    """

    kind: str
    id: str
    data: dict[str, Any]
    stop: threading.Event = field(default_factory=threading.Event)


def parse_request(line: bytes) -> Request:
    """The request in a line of JSON.

    Raises:
        InputError: it is no JSON object, or has no kind or no id.
    """
    try:
        data = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"A request is one line of JSON; this one is broken: {error}.") from error
    if not isinstance(data, dict):
        raise InputError("A request is a JSON object.")
    kind, request_id = data.get("request"), data.get("id")
    if not isinstance(kind, str) or not isinstance(request_id, str):
        raise InputError("A request needs its kind in 'request' and a text in 'id'.")
    return Request(kind, request_id, data)


class Server:
    """Serves requests until stdin ends or a shutdown is asked for.

    Args:
        requests: where lines are read.
        events: where events are written; nobody else writes there.
        idle_seconds: as :data:`IDLE_SECONDS`.
        watch_seconds: as :data:`WATCH_SECONDS`.
        grace_seconds: as :data:`GRACE_SECONDS`.
    """

    def __init__(
        self,
        requests: BinaryIO,
        events: TextIO,
        idle_seconds: float = IDLE_SECONDS,
        watch_seconds: float = WATCH_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._requests, self._write = requests, json_lines(events)
        self._idle_seconds, self._watch_seconds = idle_seconds, watch_seconds
        self._grace_seconds = grace_seconds
        self._writing = threading.Lock()
        self._changed = threading.Condition()
        self._queue: deque[Request] = deque()
        self._current: Request | None = None
        self._closing = False
        self._ended = threading.Event()
        self._shutdown: Request | None = None

    def run(self) -> None:
        """Serve; returns when there will be no more requests."""
        software = {"medcontext": medcontext.__version__, "python": platform.python_version()}
        hello = Reporter(self._send)
        hello.emit("hello", protocol=PROTOCOL_VERSION, pid=os.getpid(), software=software)
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        from medcontext.worker.handlers import Services

        services = Services()
        while (request := self._next(services)) is not None:
            self._serve(request, services)
            with self._changed:
                self._current = None
        if self._shutdown is not None:
            Reporter(self._send, run_id=self._shutdown.id).emit("result")
        self._ended.set()

    def _send(self, event: Event) -> None:
        with self._writing:
            try:
                self._write(event)
            except OSError:  # nobody listens any more; stdin, which ends with the listener, ends the worker
                _log.warning("An event could not be sent: %s", event.get("event"))

    # The reading thread

    def _read(self) -> None:
        for line in iter(self._requests.readline, b""):
            if not line.strip():
                continue
            try:
                request = parse_request(line)
            except InputError as error:
                self._fail(Reporter(self._send), error)
                continue
            if request.kind == "cancel":
                found = self._cancel(str(request.data.get("target")))
                Reporter(self._send, run_id=request.id).emit("result", found=found)
            elif request.kind == "shutdown":
                self._shutdown = request
                break
            else:
                with self._changed:
                    self._queue.append(request)
                    self._changed.notify()
        self._close()

    def _cancel(self, target: str) -> bool:
        """Ask the request at hand to stop, or drop one that waits; whether there was such a request."""
        with self._changed:
            waiting = [request for request in self._queue if request.id == target]
            for request in waiting:
                self._queue.remove(request)
            current = self._current is not None and self._current.id == target
            if self._current is not None and current:
                self._current.stop.set()
        for request in waiting:
            self._fail(Reporter(self._send, run_id=request.id), CancelledError("Stopped on request."))
        return current or bool(waiting)

    def _close(self) -> None:
        """Stop everything, in the end by force: a single computation may take minutes on a slow machine."""
        with self._changed:
            left = [request.id for request in (*self._queue, self._current) if request is not None]
        for target in left:
            self._cancel(target)
        with self._changed:
            self._closing = True
            self._changed.notify()
        if not self._ended.wait(self._grace_seconds):
            os._exit(CancelledError.exit_code)

    # The main thread

    def _next(self, services: Any) -> Request | None:
        """The next request, or None at the end; looks after the device memory while there is none."""
        idle_since = time.monotonic()
        while True:
            with self._changed:
                if not self._queue and not self._closing:
                    self._changed.wait(min(self._watch_seconds, self._idle_seconds))
                if self._queue:
                    self._current = self._queue.popleft()
                    return self._current
                if self._closing:
                    return None
            services.look_after(time.monotonic() - idle_since >= self._idle_seconds)

    def _serve(self, request: Request, services: Any) -> None:
        reporter = Reporter(self._send, request.stop.is_set, request.id)
        began = time.monotonic()
        try:
            result = services.handle(request.kind, request.data, reporter)
        except Exception as error:
            self._fail(reporter, error)
            del error  # what its traceback holds, such as a mapped volume, must go before the next request
            gc.collect()
        else:
            reporter.emit("result", **result)
        _log.info("%s %s took %.2f s", request.kind, request.id, time.monotonic() - began)

    def _fail(self, reporter: Reporter, error: Exception) -> None:
        told = explained(error)
        if told.exit_code == MedContextError.exit_code:
            _log.error("Request %s failed", reporter.run_id, exc_info=error)
        kind = "bug" if told.kind == MedContextError.kind else told.kind
        reporter.emit("error", kind=kind, message=told.message, hint=told.hint, exit_code=told.exit_code)


def explained(error: Exception) -> MedContextError:
    """The error as a person is told it; one that nobody foresaw keeps its type and text."""
    if isinstance(error, MedContextError):
        return error
    if _is_out_of_memory(error):
        return ResourceError(
            "Memory ran out.",
            "Turn on the low-memory plan, restrict the run to a region, or close other programs.",
        )
    return MedContextError(
        f"{type(error).__name__}: {error}", "This is a fault of the program: please report it with the log."
    )


def _is_out_of_memory(error: Exception) -> bool:
    if "torch" not in sys.modules:
        return isinstance(error, MemoryError)
    from medcontext.devices import is_out_of_memory

    return is_out_of_memory(error)
