"""The job's own side: what it is asked to do, its sign of life, how it ended."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Literal

from medcontext.errors import InputError
from medcontext.events import Event, Sink
from medcontext.jobs.files import CONTROL, EVENTS, EXIT, read_json, write_json

FOLDER_VARIABLE = "MEDCONTEXT_JOB"
"""Environment variable in which a started job finds its folder."""

BEAT_SECONDS = 10.0
"""Seconds between two heartbeats."""

Request = Literal["run", "pause", "stop"]
_REQUESTS: dict[str, Request] = {"pause": "pause", "stop": "stop"}


class JobControl:
    """Lets the working process see requests and tell that it is alive. It starts no thread.

    Args:
        folder: the job folder.
        sink: where heartbeats go; by default they are appended to ``events.jsonl``. A process whose stdout is
            that file should give the sink that it writes events with, so that there is one writer.
    """

    def __init__(self, folder: Path, sink: Sink | None = None) -> None:
        self.folder = Path(folder)
        self._sink = sink or self._append
        self._seen: tuple[int, int, int] | None = None
        self._request: Request = "run"
        self._beat_at = float("-inf")
        self._state = "running"

    @classmethod
    def from_environment(cls, sink: Sink | None = None) -> JobControl | None:
        """The control of the job this process was started as, or None when it is not a job."""
        folder = os.environ.get(FOLDER_VARIABLE, "")
        return cls(Path(folder), sink) if folder else None

    def poll(self) -> Request:
        """What was asked last. Costs one ``stat`` (a few microseconds) unless something new was asked."""
        path = self.folder / CONTROL
        try:
            status = path.stat()
            # The file is replaced as a whole, so two requests within one tick of the clock differ in inode.
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen != self._seen:
                data = read_json(path) or {}
                self._request = _REQUESTS.get(str(data.get("request")), "run")
                self._seen = seen
        except (FileNotFoundError, PermissionError, InputError):
            # Nothing asked yet, or (Windows) it is being replaced right now: the next poll will see it.
            return self._request
        return self._request

    def stop_requested(self) -> bool:
        """Whether to finish now and keep the best; fits ``Reporter(cancelled=...)``."""
        return self.poll() == "stop"

    def beat(self, state: Literal["running", "paused"] = "running") -> None:
        """Tell that the job is alive. Call it often: it writes every ten seconds or on a change of state."""
        now = time.monotonic()
        if now - self._beat_at >= BEAT_SECONDS or state != self._state:
            self._beat_at, self._state = now, state
            self._sink({"event": "heartbeat", "id": self.folder.name, "time": time.time(), "state": state})

    def wait_while_paused(self, interval_s: float = 0.5) -> Request:
        """Return at once unless a pause was asked; then wait until ``"run"`` or ``"stop"`` is."""
        while (request := self.poll()) == "pause":
            self.beat("paused")
            time.sleep(interval_s)
        self.beat("running")
        return request

    def finish(self, exit_code: int) -> None:
        """Record how the job ended, for readers that did not start it. 0 is done, 3 cancelled."""
        write_json(self.folder / EXIT, {"exit_code": exit_code, "time": time.time()})

    def _append(self, event: Event) -> None:
        with (self.folder / EVENTS).open("ab") as stream:
            stream.write(json.dumps(event).encode() + b"\n")
