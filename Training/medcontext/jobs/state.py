"""What a job folder says about its job: running, paused, finished, failed, cancelled or lost."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from medcontext.errors import CancelledError, InputError, SomeCasesFailedError
from medcontext.events import Event
from medcontext.home import home
from medcontext.jobs.files import (
    CONTROL,
    EVENTS,
    EXIT,
    JOB,
    last_events,
    read_json,
    since_restart,
    write_json,
)
from medcontext.jobs.process import is_running
from medcontext.jobs.signs import age, changes

State = Literal["running", "paused", "finished", "failed", "cancelled", "lost"]

SILENCE_SECONDS = 300.0
"""A job on another machine is lost after this silence: 30 heartbeats."""

STARTING_SECONDS = 30.0
"""How long a job may be without a process number: its starter writes that right after starting it."""

_children: dict[str, subprocess.Popen[bytes]] = {}
"""Jobs that this process started, by folder: only a parent learns an exit code, and it must collect it."""


@dataclass(frozen=True)
class Job:
    """A job as its folder shows it. Times are seconds since 1970; what is not known is None.

    ``lost`` means that the process ended without saying how: killed, out of memory, machine restarted.
    ``requested`` is what was asked last ("pause", "resume", "stop"); the job may not have followed yet.
    ``progress`` is 0..1 of ``stage``, None where nobody knows its end; ``step`` the last step of a training;
    ``metric``, ``result`` are the last events of that kind; ``message`` the last error, else the last warning.
    Of a job that was restarted only what came afterwards counts.
    """

    folder: Path
    title: str
    state: State
    command: tuple[str, ...] = ()
    pid: int | None = None
    host: str = ""
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    requested: str | None = None
    stage: str | None = None
    progress: float | None = None
    eta_s: float | None = None
    step: int | None = None
    metric: Event | None = None
    result: Event | None = None
    message: str = ""
    heard: float | None = None

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def active(self) -> bool:
        """Whether the job is running or paused."""
        return self.state in ("running", "paused")


def jobs_root() -> Path:
    """Where jobs live unless told otherwise; it need not exist yet."""
    return home() / "jobs"


def read(folder: Path) -> Job:
    """The job in ``folder`` as it is now.

    Raises:
        InputError: there is no job, or its ``job.json`` cannot be read.
    """
    folder = Path(folder).absolute()
    record = read_json(folder / JOB)
    if record is None:
        raise InputError(f"{folder} holds no job.", "Look at `medcontext jobs` for those that there are.")
    # The order matters: what a process that has ended wanted to say is complete, so ask for its life first.
    alive = _alive(folder, record)
    ended = read_json(folder / EXIT) or {}
    events = since_restart(last_events(folder))
    state = _active_state(events) if alive and not ended else _ended_state(ended, events)
    progress = _last(events, "progress") or {}
    return Job(
        folder=folder,
        title=str(record.get("title", folder.name)),
        state=state,
        command=tuple(record.get("command", ())),
        pid=record.get("pid"),
        host=str(record.get("host", "")),
        started=record.get("started"),
        ended=None if state in ("running", "paused") else ended.get("time") or _heard(folder),
        exit_code=ended.get("exit_code"),
        requested=(read_json(folder / CONTROL) or {}).get("request"),
        stage=progress.get("stage"),
        progress=progress.get("value"),
        eta_s=progress.get("eta_s"),
        step=progress.get("step"),
        metric=_last(events, "metric"),
        result=_last(events, "result"),
        message=_message(state, ended, events),
        heard=_heard(folder),
    )


def list_jobs(root: Path | None = None) -> list[Job]:
    """All jobs below ``root`` (by default the user's), newest first; one that cannot be read is ``lost``."""
    root = jobs_root() if root is None else Path(root)
    jobs = [_read_any(path.parent) for path in root.glob(f"*/{JOB}")]
    return sorted(jobs, key=lambda job: (job.started or 0.0, job.id), reverse=True)


def _read_any(folder: Path) -> Job:
    try:
        return read(folder)
    except InputError as error:
        return Job(folder=folder.absolute(), title=folder.name, state="lost", message=str(error))


def _alive(folder: Path, record: dict[str, Any]) -> bool:
    if (child := _children.get(str(folder))) is not None:
        if record.get("pid") in (None, child.pid):
            return _collect(folder, child)
        if child.poll() is not None:  # somebody else restarted the job after our process of it had ended
            del _children[str(folder)]
    if record.get("host") != platform.node():
        return changes(folder / EVENTS, SILENCE_SECONDS)
    if record.get("pid") is None:
        return abs(age(folder / JOB)) < STARTING_SECONDS
    return is_running(int(record["pid"]), str(record.get("created")))


def _collect(folder: Path, child: subprocess.Popen[bytes]) -> bool:
    """Whether our own child still runs; its exit code is written down as soon as there is one."""
    code = child.poll()
    if code is None:
        return True
    del _children[str(folder)]
    if not (folder / EXIT).exists():
        how = {"exit_code": code} if code >= 0 else {"exit_code": None, "signal": -code}
        write_json(folder / EXIT, {**how, "time": time.time()})
    return False


def _active_state(events: list[Event]) -> State:
    return "paused" if (_last(events, "heartbeat") or {}).get("state") == "paused" else "running"


def _ended_state(ended: dict[str, Any], events: list[Event]) -> State:
    code = ended.get("exit_code")
    if code is not None:
        done = (0, SomeCasesFailedError.exit_code)
        return "finished" if code in done else "cancelled" if code == CancelledError.exit_code else "failed"
    last = _last(events, "result", "error")
    if last is None:
        return "lost"
    if last["event"] == "result":
        return "finished"
    return "cancelled" if last.get("kind") == CancelledError.kind else "failed"


def _message(state: State, ended: dict[str, Any], events: list[Event]) -> str:
    last = _last(events, "error") or _last(events, "warning") or {}
    told = f"{last.get('message', '')} {last.get('hint', '')}".strip()
    if state == "lost":
        how = f"signal {ended['signal']}" if ended.get("signal") else "killed, out of memory or a restart"
        return f"The process ended without saying why ({how}). {told}".strip()
    if state == "failed" and not _last(events, "error"):
        return f"The process ended with exit code {ended.get('exit_code')}; log.txt says more. {told}".strip()
    return told


def _last(events: Iterable[Event], *kinds: str) -> Event | None:
    return next((event for event in reversed(list(events)) if event["event"] in kinds), None)


def _heard(folder: Path) -> float | None:
    try:
        return (folder / EVENTS).stat().st_mtime
    except FileNotFoundError:
        return None
