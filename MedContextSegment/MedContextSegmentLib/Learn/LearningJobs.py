"""Trainings as jobs: starting one, taking one up again, finding those there are. No Qt."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from medcontext import jobs
from medcontext.errors import MedContextError
from medcontext.home import home
from medcontext.jobs.files import JOB, read_json
from MedContextSegmentLib.Learn.FineTuneCommand import FineTuneRequest
from MedContextSegmentLib.Learn.LearningJob import LearningJob, wasSeen
from MedContextSegmentLib.Learn.LearningTask import taskOf
from MedContextSegmentLib.Worker.WorkerProcess import pythonOfWorker, workerEnvironment


def startJob(request: FineTuneRequest, title: str, startup: Mapping[str, str]) -> LearningJob:
    """Start a training that outlives Slicer.

    Args:
        request: what to learn.
        title: what a person calls it.
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
            request.command(python),
            folder,
            title,
            environment=workerEnvironment(base),
            working_folder=home(),
        )
    except Exception:
        with suppress(OSError):
            folder.rmdir()  # unless there is something in it
        raise
    return LearningJob(folder)


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
    folders = [path.parent for path in (jobs.jobs_root() if root is None else root).glob(f"*/{JOB}")]
    found = []
    for folder in folders:
        try:
            record = read_json(folder / JOB) or {}
            if taskOf(record) is not None and not wasSeen(folder):
                found.append((float(record.get("started") or 0.0), folder.name, LearningJob(folder)))
        except (
            MedContextError,
            OSError,
            ValueError,
            TypeError,
        ) as error:  # the others are shown all the same
            logging.getLogger(__name__).warning("%s: %s", folder, error)
    return [job for _started, _name, job in sorted(found, key=lambda entry: entry[:2], reverse=True)]
