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
from MedContextSegmentLib.Learn.FineTuneJob import FineTuneJob
from MedContextSegmentLib.Learn.FollowedJob import wasSeen
from MedContextSegmentLib.Learn.LearningJob import LearningJob
from MedContextSegmentLib.Learn.LearningTask import taskOf
from MedContextSegmentLib.Learn.PretrainJob import PretrainJob
from MedContextSegmentLib.Worker.WorkerProcess import pythonOfWorker, workerEnvironment

Followed = TypeVar("Followed")
Learning = TypeVar("Learning", bound=LearningJob)

ALL_KINDS: tuple[type[LearningJob], ...] = (FineTuneJob, PretrainJob)

_UNREADABLE = (MedContextError, OSError, ValueError, TypeError)
"""What a job raises that somebody removes or edits; the others are shown all the same."""


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


def restartJob(job: Learning, startup: Mapping[str, str]) -> Learning:
    """Take up a training that was killed or failed, from its last checkpoint.

    Raises:
        InputError: it still runs, or cannot be started.
    """
    _python, base = pythonOfWorker(startup)
    jobs.restart(job.folder, environment=workerEnvironment(base))
    return type(job)(job.folder)


def findJobs(kind: type[Learning], root: Path | None = None) -> list[Learning]:
    """The trainings of one kind that go on, and those whose end nobody has seen; the newest first.

    Args:
        kind: such as :class:`FineTuneJob.FineTuneJob`.
        root: where the jobs lie; the user's when None.
    """
    return followed(unseenFolders(lambda record: taskOf(record, kind.KINDS) is not None, root), kind)


def activeTitles(root: Path | None = None) -> list[str]:
    """Titles of the trainings of any kind that go on.

    Args:
        root: where the jobs lie; the user's when None.
    """
    return [job.job.title for kind in ALL_KINDS for job in findJobs(kind, root) if job.active]


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
