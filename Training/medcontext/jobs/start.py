"""Starting a job and asking something of it."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from medcontext.errors import InputError
from medcontext.jobs.control import FOLDER_VARIABLE
from medcontext.jobs.files import CONTROL, EVENTS, EXIT, JOB, LOG, RESTARTED, add_event, read_json, write_json
from medcontext.jobs.process import creation_token, end_process_group
from medcontext.jobs.signs import age
from medcontext.jobs.state import STARTING_SECONDS, Job, _children, jobs_root, read

SCHEMA_VERSION = 1
CLAIM = ".starting"
"""Stands in a job folder while somebody starts the job again."""


def new_folder(title: str, root: Path | None = None) -> Path:
    """Make an empty folder named after the time and the title, below ``root`` or among the user's jobs."""
    root = jobs_root() if root is None else Path(root)
    words = re.sub(r"[^a-z0-9]+", "-", title.casefold()).strip("-")[:40].strip("-") or "job"
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{words}"
    number = 1
    while True:
        folder = root / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def start(
    command: Sequence[str],
    folder: Path,
    title: str,
    *,
    environment: Mapping[str, str] | None = None,
    working_folder: Path | None = None,
) -> Job:
    """Start ``command`` so that it outlives this process.

    Its stdout becomes ``events.jsonl``, its stderr ``log.txt``. It finds its folder in the environment
    variable ``MEDCONTEXT_JOB`` (see ``JobControl``).

    Args:
        command: program and arguments; no shell is involved.
        folder: the job folder; made if missing.
        title: what a person calls the job.
        environment: replaces the inherited environment.
        working_folder: where the command runs; here by default.

    Raises:
        InputError: the folder already holds a job or the program cannot be started.
        ResourceError: the disk is full.
    """
    if not command:
        raise InputError("An empty command cannot be started.")
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / JOB).exists():
        raise InputError(f"{folder} already holds a job.", "Give each job a folder of its own.")
    record: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "id": folder.name,
        "title": title,
        "command": [str(part) for part in command],
        "working_folder": str(Path(working_folder or Path.cwd()).absolute()),
        "host": platform.node(),
        "started": time.time(),
        "pid": None,
        "created": None,
    }
    try:
        return _begin(record, folder, environment)
    except InputError:
        (folder / JOB).unlink()
        raise


def restart(
    folder: Path, more: Sequence[str] = ("--resume",), *, environment: Mapping[str, str] | None = None
) -> Job:
    """Start the command of a job that has ended once more, in the same folder: after a crash, or a restart of the
    machine. Its events follow the earlier ones, behind an event ``restarted``; what was asked of it is forgotten.

    Args:
        folder: the job folder.
        more: arguments that the command is given from now on, unless it has them already.
        environment: replaces the inherited environment.

    Raises:
        InputError: there is no such job, it still runs or did what it should, or its program cannot be started.
        ResourceError: the disk is full.
    """
    folder = Path(folder).absolute()
    with _claimed(folder):
        job = read(folder)
        if job.active:
            raise InputError(f"The job '{job.title}' is still running.", "Stop it first, or let it go on.")
        if job.state == "finished":
            raise InputError(f"The job '{job.title}' has done its work.", "Start a new one.")
        before = read_json(folder / JOB) or {}
        _check_that_it_can_start(before)
        command = [*job.command, *(part for part in more if part not in job.command)]
        add_event(folder, {"event": RESTARTED, "id": job.id, "time": time.time()})
        for name in (CONTROL, EXIT):
            (folder / name).unlink(missing_ok=True)
        new = {"command": command, "host": platform.node(), "pid": None, "created": None}
        try:
            return _begin({**before, **new, "restarts": before.get("restarts", 0) + 1}, folder, environment)
        except InputError:
            write_json(folder / JOB, before)
            raise


def _check_that_it_can_start(record: dict[str, Any]) -> None:
    program, folder = (record.get("command") or [""])[0], Path(record.get("working_folder", ""))
    if not program or shutil.which(program) is None:
        raise InputError(f"The program of the job is gone: {program}.", "Start the work anew.")
    if not folder.is_dir():
        raise InputError(f"The folder that the job works in is gone: {folder}.", "Start the work anew.")


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Two that restart a job at the same moment must not start two processes."""
    claim = folder / CLAIM
    if abs(age(claim)) > STARTING_SECONDS:  # none, or of a program that was killed in that moment
        claim.unlink(missing_ok=True)
    try:
        os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileNotFoundError as error:
        raise InputError(f"{folder} holds no job.") from error
    except FileExistsError as error:
        raise InputError(
            f"Another program is starting the job in {folder}.", "Look again in a moment."
        ) from error
    try:
        yield
    finally:
        claim.unlink(missing_ok=True)


def _begin(record: dict[str, Any], folder: Path, environment: Mapping[str, str] | None) -> Job:
    """Start the process of a job that is written down, and write down which one it is.

    Raises:
        InputError: the program cannot be started.
    """
    write_json(folder / JOB, record)
    try:
        child = _launch(record, folder, environment)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{record['command'][0]} cannot be started: {error}.", "Check that the program exists."
        ) from error
    _children[str(folder)] = child
    # A child that has already ended is a zombie until it is collected; None then, and its exit code decides.
    write_json(folder / JOB, {**record, "pid": child.pid, "created": creation_token(child.pid)})
    return read(folder)


def _launch(
    record: dict[str, Any], folder: Path, environment: Mapping[str, str] | None
) -> subprocess.Popen[bytes]:
    variables = dict(os.environ if environment is None else environment)
    # Unbuffered: an event must be in the file when it happens, not 8 kB later.
    variables |= {FOLDER_VARIABLE: str(folder), "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    detached: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        detached = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS}
    with (folder / EVENTS).open("ab") as events, (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            record["command"],
            stdin=subprocess.DEVNULL,
            stdout=events,
            stderr=log,
            cwd=record["working_folder"],
            env=variables,
            **detached,
        )


def request(folder: Path, action: Literal["pause", "resume", "stop"]) -> None:
    """Ask a job to pause, to go on, or to stop and keep the best it has; it follows at its next poll.

    Raises:
        InputError: there is no such job or action, the job has ended, or it was already asked to stop.
    """
    if action not in ("pause", "resume", "stop"):
        raise InputError(f"A job cannot '{action}'.", "It can pause, resume or stop.")
    job = _running(folder)
    if job.requested == "stop" and action != "stop":
        raise InputError(f"The job '{job.title}' was already asked to stop.", "Start a new one.")
    write_json(job.folder / CONTROL, {"request": action, "time": time.time()})


def kill(folder: Path) -> None:
    """End a job that does not follow requests; what it has not written to disk is gone.

    Raises:
        InputError: there is no such job, it has ended, or it runs on another machine.
    """
    job = _running(folder)
    if job.host != platform.node():
        raise InputError(f"The job '{job.title}' runs on {job.host}, not here.", "End it there.")
    if job.pid is None:
        raise InputError(f"The job '{job.title}' is only just starting.", "Try again in a second.")
    end_process_group(job.pid)


def _running(folder: Path) -> Job:
    job = read(folder)
    if not job.active:
        again = f"Let it go on with 'medcontext jobs restart {job.id}'." if job.state == "lost" else ""
        raise InputError(f"The job '{job.title}' has ended ({job.state}).", again)
    return job
