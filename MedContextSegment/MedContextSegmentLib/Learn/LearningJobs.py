"""Jobs that outlive Slicer: starting a training, taking one up again, finding those there are. No Qt."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from medcontext import jobs
from medcontext.errors import MedContextError
from medcontext.home import home
from medcontext.jobs.files import JOB, read_json
from MedContextSegmentLib.Learn.FineTuneCommand import FineTuneRequest
from MedContextSegmentLib.Learn.FollowedJob import wasSeen
from MedContextSegmentLib.Learn.LearningJob import LearningJob
from MedContextSegmentLib.Learn.LearningTask import taskOf
from MedContextSegmentLib.Worker.WorkerProcess import pythonOfWorker, workerEnvironment

Followed = TypeVar("Followed")

_UNREADABLE = (MedContextError, OSError, ValueError, TypeError)
"""What a job raises that somebody removes or edits; the others are shown all the same."""


def startJob(request: FineTuneRequest, title: str, startup: Mapping[str, str]) -> LearningJob:
    """Start a training that outlives Slicer; see :func:`startDetached`."""
    return LearningJob(startDetached(request.command, title, startup))


def startDetached(command: Callable[[str], list[str]], title: str, startup: Mapping[str, str]) -> Path:
    """Start a command of the package that outlives Slicer; returns the job folder.

    Args:
        command: gives program and arguments, given the Python that has the package.
        title: what a person calls the job.
        startup: the environment from before Slicer was started (``slicer.util.startupEnvironment()``).

    Raises:
        InputError: it cannot be started.
        ResourceError: the disk is full.
    """
    python, base = pythonOfWorker(startup)
    folder = jobs.new_folder(title)
    try:
        # Slicer may have been started in a folder that is gone tomorrow.
        jobs.start(
            command(python),
            folder,
            title,
            environment=workerEnvironment(base),
            working_folder=home(),
        )
    except Exception:
        with suppress(OSError):
            folder.rmdir()  # unless there is something in it
        raise
    return folder


def restartJob(job: LearningJob, startup: Mapping[str, str]) -> LearningJob:
    """Take up a training that was killed or failed, from its last checkpoint.

    Raises:
        InputError: it still runs, or cannot be started.
    """
    _python, base = pythonOfWorker(startup)
    jobs.restart(job.folder, environment=workerEnvironment(base))
    return LearningJob(job.folder)


def findJobs(root: Path | None = None) -> list[LearningJob]:
    """The trainings that go on, and those whose end nobody has seen; the newest first.

    Args:
        root: where the jobs lie; the user's when None.
    """
    return followed(unseenFolders(lambda record: taskOf(record) is not None, root), LearningJob)


def unseenFolders(wanted: Callable[[Mapping[str, Any]], bool], root: Path | None = None) -> list[Path]:
    """The folders of jobs whose end nobody has seen, those that go on among them; the newest first.

    Args:
        wanted: whether a job is of interest, given what ``job.json`` holds.
        root: where the jobs lie; the user's when None.
    """
    found = []
    for path in (jobs.jobs_root() if root is None else root).glob(f"*/{JOB}"):
        folder = path.parent
        try:
            record = read_json(path) or {}
            if wanted(record) and not wasSeen(folder):
                found.append((float(record.get("started") or 0.0), folder))
        except _UNREADABLE as error:
            logging.getLogger(__name__).warning("%s: %s", folder, error)
    return [folder for _started, folder in sorted(found, reverse=True)]


def followed(folders: Iterable[Path], follow: Callable[[Path], Followed]) -> list[Followed]:
    """The jobs in folders; one that cannot be read is left out.

    Args:
        folders: of jobs.
        follow: reads one.
    """
    found = []
    for folder in folders:
        try:
            found.append(follow(folder))
        except _UNREADABLE as error:
            logging.getLogger(__name__).warning("%s: %s", folder, error)
    return found
