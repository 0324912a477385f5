"""A batch that runs as a job: starting one, following it, finding those there are. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medcontext.jobs.files import JOB, read_json
from MedContextSegmentLib.Batch.BatchCommand import BatchRequest, BatchTask, batchOf
from MedContextSegmentLib.Learn.FollowedJob import FollowedJob
from MedContextSegmentLib.Learn.LearningJobs import followed, startDetached, unseenFolders


class BatchJob(FollowedJob):
    """A batch, as its job folder shows it; what became of each case stands in the ledger.

    Args:
        folder: the job folder.

    Attributes:
        task: what it does.

    Raises:
        InputError: there is no job there, or it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.task = batchOf(read_json(Path(folder) / JOB) or {}) or BatchTask()
        super().__init__(folder)


def startBatch(request: BatchRequest, title: str, startup: Mapping[str, str]) -> BatchJob:
    """Start a batch that outlives Slicer; see :func:`LearningJobs.startDetached`."""
    return BatchJob(startDetached(request.command, title, startup))


def findBatches(root: Path | None = None) -> list[BatchJob]:
    """The batches that go on, and those whose end nobody has seen; the newest first.

    Args:
        root: where the jobs lie; the user's when None.
    """
    return followed(unseenFolders(lambda record: batchOf(record) is not None, root), BatchJob)
