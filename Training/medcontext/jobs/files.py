"""The files of a job folder and how they are read while somebody else writes them.

``job.json`` is written by whoever starts the job, ``control.json`` by whoever wants something of it,
``events.jsonl`` and ``log.txt`` are the job's own output, ``exit.json`` says how it ended.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from medcontext.errors import InputError, ResourceError, is_disk_full
from medcontext.events import Event

JOB, CONTROL, EXIT = "job.json", "control.json", "exit.json"
EVENTS, LOG = "events.jsonl", "log.txt"

RESTARTED = "restarted"
"""The event that stands between those of a process that ended and those of the next one."""

TAIL_BYTES = 1 << 16
"""How much of the end of ``events.jsonl`` tells the present state: about 400 progress events."""


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write so that a reader sees the old content or the new one, never a part.

    Raises:
        ResourceError: the disk is full.
    """
    write_bytes(path, (json.dumps(data, indent=1) + "\n").encode())


def write_bytes(path: Path, data: bytes) -> None:
    """As :func:`write_json`, of anything.

    Raises:
        ResourceError: the disk is full.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        with scratch.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        _replace(scratch, path)
    except OSError as error:
        raise _explained(error, path.parent) from error
    finally:
        scratch.unlink(missing_ok=True)


def _replace(source: Path, target: Path) -> None:
    # Windows refuses while another process has the target open, which lasts microseconds here.
    for _ in range(20):
        try:
            source.replace(target)
            return
        except PermissionError:
            time.sleep(0.01)
    source.replace(target)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in the file, or None where there is no file.

    Raises:
        InputError: the file holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}.", "Remove the job folder.") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} holds no JSON object.", "Remove the job folder.")
    return data


def follow(folder: Path, offset: int = 0, limit: int | None = None) -> tuple[list[Event], int]:
    """The events that came after ``offset`` bytes, and the offset to ask with next.

    A last line that is still being written is left for the next call. A line that is no event (a library
    that prints) comes as ``{"event": "output", "message": line}``.

    Args:
        folder: the job folder.
        offset: what the last call returned.
        limit: about how many bytes are read at once, by a reader that must not be held up; all when None. There is
            more as long as the offset grows.
    """
    try:
        with (folder / EVENTS).open("rb") as stream:
            if offset > stream.seek(0, os.SEEK_END):
                offset = 0  # the file was made anew
            stream.seek(offset)
            text = stream.read() if limit is None else stream.read(limit) + stream.readline()
    except FileNotFoundError:
        return [], 0
    end = text.rfind(b"\n") + 1
    return _parse(text[:end]), offset + end


def last_events(folder: Path) -> list[Event]:
    """The events at the end of the file, oldest first; reaches further back while no line is complete."""
    try:
        with (folder / EVENTS).open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            length = TAIL_BYTES
            while True:
                start = max(0, size - length)
                stream.seek(start)
                text = stream.read(size - start)
                end = text.rfind(b"\n") + 1
                begin = 0 if start == 0 else text.find(b"\n") + 1
                if start == 0 or begin < end:
                    return _parse(text[begin:end])
                length *= 8
    except FileNotFoundError:
        return []


def since_restart(events: list[Event]) -> list[Event]:
    """Those of the process that works now: what came after the job was restarted last."""
    starts = [index for index, event in enumerate(events) if event["event"] == RESTARTED]
    return events[starts[-1] :] if starts else events


def add_event(folder: Path, event: Event) -> None:
    """Append an event while no process of the job runs; a line that the last one left half-written is ended.

    Raises:
        ResourceError: the disk is full.
    """
    try:
        with (folder / EVENTS).open("ab+") as stream:
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                if stream.read(1) != b"\n":
                    stream.write(b"\n")
            stream.write(json.dumps(event).encode() + b"\n")
    except OSError as error:
        raise _explained(error, folder) from error


def _explained(error: OSError, folder: Path) -> Exception:
    """A full disk in a sentence; any other error as it is."""
    if is_disk_full(error):
        return ResourceError(f"The disk that holds {folder} is full.", "Free some space.")
    return error


def _parse(text: bytes) -> list[Event]:
    lines = text.decode("utf-8", errors="replace").split("\n")
    return [_event(line) for line in lines if line.strip()]


def _event(line: str) -> Event:
    try:
        data = json.loads(line)
    except ValueError:
        data = None
    if isinstance(data, dict) and isinstance(data.get("event"), str):
        return data
    return {"event": "output", "message": line.rstrip("\r")}
