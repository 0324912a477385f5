"""*Batch*: starts many scans as a job, follows it, and lists what became of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from medcontext.batch_ledger import Layout
from medcontext.errors import MedContextError
from MedContextSegmentLib.Batch.BatchJob import BatchJob, findBatches, startBatch
from MedContextSegmentLib.Batch.BatchTexts import countsText, endedText, noteLines, runningText
from MedContextSegmentLib.Learn.FollowedJob import PAUSED, STOPPING
from MedContextSegmentLib.Panel.BatchChoices import BatchChoices
from MedContextSegmentLib.Panel.BatchReplacing import allowed
from MedContextSegmentLib.Panel.BatchTable import BatchTable
from MedContextSegmentLib.Panel.CommandLine import CommandLine
from MedContextSegmentLib.Panel.FolderFollower import CATCH_UP_MS, FOLLOW_MS, FolderFollower
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.QtHelpers import quiet, showText
from MedContextSegmentLib.Panel.RunControl import BAR_STEPS, DOUBLE_CLICK_SECONDS

PAUSE_MS = 250
"""Between two keys that somebody types into a path: the drive is asked once they have stopped."""


class BatchPanel:
    """One output folder at a time: that of the batch that goes on, else the one that is chosen.

    Args:
        ui: the widgets of Batch.ui.
        logic: a :class:`Logic.MedContextSegmentLogic`, whose worker gives its memory back for a batch.
        settings: a :class:`Settings.Settings`.
        install: has ``ensureInstalled(purpose=...)``, see :mod:`Install`.
        context: the panel around.
        shown: whether somebody sees this part.

    Attributes:
        ui: its widgets.
        job: the batch that goes on, or the one that ended last; None for none.
        onRows: called when something else is known of the cases.
        onOpen: called with the name of a case that a person wants to look at.
    """

    def __init__(
        self,
        ui: Any,
        logic: Any,
        settings: Any,
        install: Any,
        context: LearnContext,
        shown: Callable[[], bool],
    ) -> None:
        self.ui, self._logic, self._install, self._shown = ui, logic, install, shown
        self.job: BatchJob | None = None
        self.onRows: Callable[[], None] = lambda: None
        self.onOpen: Callable[[str], None] = lambda _case: None
        self.ignoredSeconds = DOUBLE_CLICK_SECONDS
        self._outcome, self._began = "", float("-inf")
        self._adopted = self._unseen = False
        self._soon = qt.QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(PAUSE_MS)
        self._soon.connect("timeout()", self._followChosen)
        self._timer = qt.QTimer()
        self._timer.connect("timeout()", self._followJob)
        self.follower = FolderFollower(self._news)
        self.command = CommandLine(ui)
        self.table = BatchTable(ui, self._showCase, lambda case: self.onOpen(case))
        self.choices = BatchChoices(ui, settings, context, self._chosen)
        ui.batchProgressBar.setRange(0, BAR_STEPS)
        ui.batchButton.connect("clicked()", self._startOrStop)
        ui.batchPauseButton.connect("clicked()", self._pauseOrResume)
        ui.openBatchCaseButton.connect("clicked()", self._openSelected)
        ui.batchReportButton.connect("clicked()", self._openReport)
        ui.batchResultsButton.connect("clicked()", self._openResults)
        self.update()

    @property
    def folder(self) -> Path | None:
        """The output folder that is shown; None for none."""
        return self.follower.rows.folder

    @property
    def working(self) -> bool:
        """Whether a batch goes on in the folder that is shown."""
        return self.job is not None and self.job.active

    def refresh(self) -> None:
        """Show what the library and the jobs hold now, and what is in the folder."""
        self.choices.refresh()
        if self.working:
            self._timer.start()  # it rested while nobody looked
        else:
            self._find()
        self._followChosen()
        self.follower.watch(self._shown(), self.working)
        self.update()

    def leave(self) -> None:
        """Nobody looks; the batch goes on."""
        self.follower.watch(False)
        self._timer.stop()

    def stop(self) -> None:
        """The panel goes away; the batch goes on."""
        for part in (self._timer, self._soon, self.follower):
            part.stop()

    def update(self) -> None:
        """Show what can be done, and why not."""
        ui, job, rows, working = self.ui, self.job, self.follower.rows, self.working
        ui.batchChoicesArea.setVisible(not working)
        reason = "" if working else self.choices.reason()
        start = _("Continue") if rows.cases else _("Start")
        tip = _("Segment what is not finished yet.") if rows.cases else _("Segment all scans.")
        ui.batchButton.text = _("Stop") if working else start
        ui.batchButton.enabled = job.state != STOPPING if working and job is not None else not reason
        ui.batchButton.toolTip = (
            _("What is finished stays; Continue does the rest.") if working else reason or tip
        )
        self._showPause()
        self._showProgress()
        told = runningText(job) if working and job is not None else self._outcome or reason
        counts = countsText(rows) if rows.cases else ""
        showText(ui.batchStatusLabel, "\n".join(text for text in (told, counts, rows.problem) if text))
        ui.batchTableArea.setVisible(bool(rows.cases))
        ui.batchOverwriteCheckBox.setVisible(bool(rows.cases))
        ui.batchReportButton.enabled = rows.hasReport
        self.command.show(self._shownArguments())
        self._noteSeen()

    def verdictGiven(self) -> None:
        """A person said what a result is worth."""
        self.table.show(self.follower.rows, self.working)
        self._showCase()
        self.update()

    # The folder

    def _chosen(self) -> None:
        """Something else was chosen."""
        if self.choices.output != self.folder and not self.working:
            self._soon.start()
        self._outcome = ""
        self.update()

    def _followChosen(self) -> None:
        self._soon.stop()
        if not self.working and self.choices.output != self.folder:
            self._adopted = False
            self.follower.follow(self.choices.output)

    def _news(self) -> None:
        rows = self.follower.rows
        known = rows.run is not None and (rows.run.input or not self.working)  # else it has just begun
        if rows.run is not None and known and not self._adopted:
            self._adopted = True
            self.choices.adopt(rows.run)
        self.table.show(rows, self.working)
        self._showCase()
        self.update()
        self.onRows()

    def _showCase(self) -> None:
        """What is to be known of the selected case."""
        rows, case = self.follower.rows, self.table.selected()
        showText(self.ui.batchCaseLabel, "\n".join(noteLines(rows, case)) if case else "")
        self.ui.openBatchCaseButton.enabled = case in rows.cases and rows.cases[case].done

    def _openSelected(self) -> None:
        self.onOpen(self.table.selected())

    def _openReport(self) -> None:
        if self.folder is not None:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(Layout(self.folder).report)))

    def _openResults(self) -> None:
        if self.folder is not None:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self.folder)))

    # The job

    def _find(self) -> None:
        """Follow a batch that goes on; else show the last one whose end nobody saw."""
        found = findBatches()
        active = [job for job in found if job.active]
        job = next(iter(active or found), None)
        if job is not None and (self.job is None or job.folder != self.job.folder):
            self._take(job)

    def _take(self, job: BatchJob) -> None:
        self.job, self._unseen = job, False
        with quiet(self.ui.batchOutputEdit):
            self.choices.setOutput(job.task.output)
        self._adopted = False
        self.follower.follow(job.task.output)
        self.follower.watch(self._shown(), job.active)
        self._timer.setInterval(CATCH_UP_MS)
        self._timer.start()

    def _followJob(self) -> None:
        job = self.job
        if job is None:
            self._timer.stop()
            return
        try:
            job.poll()
        except (MedContextError, OSError) as error:  # somebody removed its folder
            self.job, self._outcome = None, str(error)
            self.update()
            return
        self._timer.setInterval(FOLLOW_MS if job.caughtUp else CATCH_UP_MS)
        if job.caughtUp and not job.active:
            self._timer.stop()
            self._outcome, self._unseen = endedText(job), True
            self.follower.watch(self._shown(), False)
            self.follower.lookNow()
            self.table.show(self.follower.rows, False)  # what was begun is not finished
        self.update()

    def _startOrStop(self) -> None:
        job = self.job
        if job is not None and job.active:
            if time.monotonic() - self._began >= self.ignoredSeconds:
                self._do(job.stop)
        elif not self.choices.reason() and self._mayStart() and self._installed():
            self._do(self._start)

    def _start(self) -> None:
        request, card = allowed(self.choices.request()), self.choices.models.card
        if request is None:
            return
        title = _("Batch with {title}").format(title=card.title if card is not None else request.model)
        self._take(startBatch(request, title, slicer.util.startupEnvironment()))
        self.choices.keep()
        if self._logic.worker.running:  # its models are in the way
            self._logic.worker.send("release")

    def _mayStart(self) -> bool:
        """Whether no other batch goes on, or a person wants two at once."""
        others = [job for job in findBatches() if job.active]
        same = [job for job in others if job.task.output == self.choices.output]
        if same:
            self._take(same[0])
            return False
        text = _("A batch is running already: {titles}. Two at once take longer. Start another one?")
        titles = ", ".join(job.job.title for job in others)
        return not others or bool(slicer.util.confirmOkCancelDisplay(text.format(titles=titles), _("Batch")))

    def _installed(self) -> bool:
        return all(self._install.ensureInstalled(purpose=purpose) for purpose in self.choices.purposes)

    def _pauseOrResume(self) -> None:
        job = self.job
        if job is not None and job.active:
            self._do(job.goOn if job.state == PAUSED or job.pausing else job.pause)

    def _do(self, work: Callable[[], None]) -> None:
        """Do something with a job, and say what went wrong."""
        self._outcome, self._began = "", time.monotonic()
        try:
            work()
            if self.job is not None:
                self.job.poll()
        except (MedContextError, OSError) as error:
            self._outcome = str(error)
            slicer.util.errorDisplay(str(error))
        self.update()

    def _noteSeen(self) -> None:
        """Remember that a person saw how the batch ended."""
        if self._unseen and self.job is not None and self._shown():
            self._unseen = False
            self.job.markSeen()

    def _showPause(self) -> None:
        button, job = self.ui.batchPauseButton, self.job
        resumes = job is not None and (job.state == PAUSED or job.pausing)
        button.setVisible(self.working)
        button.text = _("Resume") if resumes else _("Pause")
        button.enabled = job is None or job.state != STOPPING

    def _showProgress(self) -> None:
        bar, job = self.ui.batchProgressBar, self.job
        bar.setVisible(self.working)
        share = job.progress.share if job is not None else None
        bar.setRange(0, BAR_STEPS if share is not None else 0)
        bar.setValue(round(BAR_STEPS * share) if share is not None else 0)

    def _shownArguments(self) -> list[str]:
        """Those of the batch that goes on, else of the one that *Start* would begin."""
        if self.job is not None and self.job.active:
            return list(self.job.task.arguments)
        return [] if self.choices.reason() else self.choices.request().arguments()
