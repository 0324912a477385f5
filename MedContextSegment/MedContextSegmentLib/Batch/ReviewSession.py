"""A review of the cases of a batch: one case in the scene, the next one being read. No Qt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from medcontext.batch_ledger import OPEN, RUNNING, Review, write_csv
from medcontext.batch_ledger.rows import UNFINISHED
from medcontext.errors import InputError, MedContextError
from MedContextSegmentLib.Batch.BatchRows import BatchRows
from MedContextSegmentLib.Batch.CaseReading import CaseReader
from MedContextSegmentLib.Batch.Corrections import correctionOf, putAside
from MedContextSegmentLib.Batch.Prefetch import Prefetch
from MedContextSegmentLib.Batch.ReviewedCase import OpeningRun, ReviewedCase
from MedContextSegmentLib.Batch.ReviewQueue import ReviewQueue
from MedContextSegmentLib.Batch.ViewsBefore import ViewsBefore
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess


class ReviewSession:
    """Goes from case to case. What a person has in the scene stays as it is, and is shown again at the end.

    Args:
        rows: what is known of the cases; it may grow.
        worker: what reads them.
        exchangeRoot: folder for voxels on their way; the system's one for temporary files when None.

    Attributes:
        queue: which case is shown, and which comes next.
        case: the case in the scene; None while none is.
        problem: why the case that should be shown cannot be, "".
        prefetch: reads the next case.
    """

    def __init__(self, rows: BatchRows, worker: WorkerProcess, exchangeRoot: Path | None = None) -> None:
        assert rows.folder is not None  # for the type checker: there are cases
        self.out = rows.folder
        self.queue = ReviewQueue(rows)
        self.case: ReviewedCase | None = None
        self.problem = ""
        self.prefetch = Prefetch(CaseReader(self.out, worker, exchangeRoot))
        self._worker = worker
        self._views = ViewsBefore()
        self._untold = False  # whether verdicts are not in the table yet

    def opening(self, case: str, listener: Any = None, fresh: bool = False) -> OpeningRun:
        """Begin to bring a case into the scene; :meth:`opened` takes what comes of it.

        What a person changed of the case before is kept first.

        Args:
            case: its name.
            listener: is told how it goes; may be None.
            fresh: whether the segments are shown as the batch found them, whatever a person kept.

        Raises:
            InputError: it is not finished, or changes cannot be kept.
            ResourceError: there is no room to keep changes.
        """
        row = checkFinished(self.queue.rows, case)
        if not fresh:
            self.keepChanges()
        correction = None if fresh else self._correction(case)
        voxels = self.prefetch.take(row)
        return OpeningRun(self._worker, self.out, voxels, correction, row.result, listener)

    def opened(self, case: str, run: OpeningRun) -> None:
        """A case was brought into the scene, or could not be: the one before goes, and the next one is read."""
        if run.result is None and self.case is not None and self.case.case == case:
            return  # it could not be opened anew: it stays as it is
        self._removeCase()
        self.queue.show(case)
        self.case = run.result
        self.problem = str(run.error) if run.error is not None else ""
        if self.case is not None:
            slicer.util.setSliceViewerLayers(
                background=self.case.volumes[0], foreground=None, label=None, fit=True
            )
        self.readAhead()

    def readAhead(self) -> None:
        """Read the case that comes next."""
        row = self.queue.rows.cases.get(self.queue.following())
        if row is not None and row.done:
            self.prefetch.want(row)

    def keepChanges(self) -> None:
        """Write down what a person changed, though there is no verdict: it is there when the case is opened again.

        Raises:
            InputError, ResourceError: it cannot be written.
        """
        case = self.case
        if case is None or not case.changed:
            return
        case.keep()
        before = self.queue.rows.review(case.case)
        corrected = before is not None and before.verdict == "correct"
        # What was said of other segments than these does not hold for them.
        said = case.judge("correct", before.note) if before is not None and corrected else case.judge(OPEN)
        self._add(said)

    def takeBack(self) -> None:
        """Let what a person kept of the case in the scene hold no more; it is shown as the batch made it.

        Raises:
            InputError, ResourceError: that cannot be written down.
        """
        case = self.case
        if case is None or self._correction(case.case) is None:
            return
        before = self.queue.rows.review(case.case)
        verdict = before.verdict if before is not None and before.verdict != "correct" else OPEN
        self._add(case.judge(verdict, before.note if before is not None else ""))
        putAside(self.out, case.case)

    def judge(self, verdict: str, note: str = "") -> None:
        """Write down what a person says of the case in the scene, with the segments if they were changed.

        Args:
            verdict: "accept" or "reject"; an accepted case with changed segments is a corrected one.
            note: free words.

        Raises:
            InputError, ResourceError: it cannot be written.
        """
        case = self.case
        if case is None:
            return
        if case.changed:
            case.keep()
        said = "correct" if verdict == "accept" and case.corrected else verdict
        self._add(case.judge(said, note))

    def writeTable(self) -> None:
        """Have ``ledger.csv`` say what was said in this review.

        Raises:
            InputError, ResourceError: it cannot be written.
        """
        if self._untold:
            write_csv(self.out)
            self._untold = False

    def review(self) -> Review | None:
        """What was said of the case in the scene before; None where nothing was."""
        return self.queue.rows.review(self.queue.case)

    def caseIsGone(self) -> bool:
        """Whether somebody took nodes of the case out of the scene: it is let go of, and what was changed is kept.

        Segments that cannot be kept stay in the scene.
        """
        if self.case is None or self.case.there:
            return False
        try:
            self.keepChanges()
        except MedContextError as error:
            self.case, self.problem = None, str(error)
            return True
        self._removeCase()
        self.problem = _("The case was taken out of the scene: open it again, or go on.")
        return True

    def end(self) -> None:
        """Take the case out of the scene, and show what was shown before."""
        self.prefetch.forget()
        self._removeCase()
        self._views.restore()

    def sceneCloses(self) -> None:
        """The scene takes all nodes away."""
        self.prefetch.forget()
        self.case = None

    def _add(self, review: Review) -> None:
        self.queue.rows.add(review)
        self._untold = True

    def _removeCase(self) -> None:
        case, self.case = self.case, None
        if case is not None:
            case.remove()

    def _correction(self, case: str) -> Path | None:
        """What a person kept of the result that a case has now; None where nothing was, or where it holds no more."""
        review, path = self.queue.rows.review(case), correctionOf(self.out, case)
        return path if review is not None and review.corrected and path.is_file() else None


def checkFinished(rows: BatchRows, case: str) -> Any:
    """The row of a case that has a result.

    Raises:
        InputError: it has none.
    """
    row = rows.cases.get(case)
    if row is None:
        raise InputError(_("The batch has no case '{case}'.").format(case=case))
    if row.state in (RUNNING, UNFINISHED):
        raise InputError(_("'{case}' is not finished yet.").format(case=case))
    if not row.done:
        raise InputError(
            _("'{case}' has no result: {reason}").format(case=case, reason=row.error or row.state)
        )
    return row
