"""A batch that runs as a job: starting one, following it, finding those there are. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medcontext.events import Event
from medcontext.jobs.files import JOB, read_json
from MedContextSegmentLib.Batch.BatchCommand import BatchRequest, BatchTask, batchOf
from MedContextSegmentLib.Learn.FollowedJob import FollowedJob
from MedContextSegmentLib.Learn.LearningJobs import followed, startDetached, unseenFolders

CASES = "cases"
"""Stage of the work on all cases."""


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is.

    Attributes:
        stage: what it does.
        share: how much of that is done, 0 to 1; None where nobody knows.
        left: seconds that it still takes; None where nobody knows.
        done: cases that this run has finished; only of the stage "cases".
        total: cases that this run has to do; only of the stage "cases".
    """

    stage: str = ""
    share: float | None = None
    left: float | None = None
    done: int = 0
    total: int = 0


class BatchJob(FollowedJob):
    """A batch, as its job folder shows it; what became of each case stands in the ledger.

    Args:
        folder: the job folder.

    Attributes:
        task: what it does.
        progress: how far it is as a whole.

    Raises:
        InputError: there is no job there, or it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.task = batchOf(read_json(Path(folder) / JOB) or {}) or BatchTask()
        super().__init__(folder)

    def _clear(self) -> None:
        super()._clear()
        self.progress = BatchProgress()

    def _take(self, event: Event) -> None:
        super()._take(event)
        if event["event"] == "progress" and not event.get("case"):  # else how far one case is
            share, left = event.get("value"), event.get("eta_s")
            self.progress = BatchProgress(
                stage=str(event.get("stage") or ""),
                share=float(share) if isinstance(share, int | float) else None,
                left=float(left) if isinstance(left, int | float) else None,
                done=int(event.get("done") or 0),
                total=int(event.get("total") or 0),
            )


def startBatch(request: BatchRequest, title: str, startup: Mapping[str, str]) -> BatchJob:
    """Start a batch that outlives Slicer; see :func:`LearningJobs.startDetached`."""
    return BatchJob(startDetached(request.command, title, startup))


def findBatches(root: Path | None = None) -> list[BatchJob]:
    """The batches that go on, and those whose end nobody has seen; the newest first.

    Args:
        root: where the jobs lie; the user's when None.
    """
    return followed(unseenFolders(lambda record: batchOf(record) is not None, root), BatchJob)
