"""*Fine-tune*: starts a training as a job, follows it, and chooses the new model when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from medcontext.cards import user_models
from medcontext.errors import MedContextError
from MedContextSegmentLib.Learn.FineTuneCommand import newModelId
from MedContextSegmentLib.Learn.FollowedJob import PAUSED, STOPPING
from MedContextSegmentLib.Learn.LearningJob import LearningJob
from MedContextSegmentLib.Learn.LearningJobs import findJobs, restartJob, startJob
from MedContextSegmentLib.Learn.LearningTask import WORSE
from MedContextSegmentLib.Learn.LearningTexts import runningText
from MedContextSegmentLib.Panel.CommandLine import CommandLine
from MedContextSegmentLib.Panel.FineTuneOptions import FineTuneOptions
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.LearningView import LearningView
from MedContextSegmentLib.Panel.ModelSwitch import ModelSwitch
from MedContextSegmentLib.Panel.QtHelpers import showText

FOLLOW_MS, CATCH_UP_MS = 500, 20
"""How often the files of a job are looked at; while there is more to read than one piece, as often as possible."""

DOUBLE_CLICK_SECONDS = 0.5
TRAIN = "train"


class FineTunePanel:
    """One training at a time: the one that goes on, the one that ended last, or none.

    Args:
        ui: the widgets of FineTune.ui.
        logic: a :class:`Logic.MedContextSegmentLogic`, whose worker gives its memory back for a training.
        settings: a :class:`Settings.Settings`.
        install: has ``ensureInstalled(purpose=...)``, see :mod:`Install`.
        context: the panel around.
    """

    def __init__(self, ui: Any, logic: Any, settings: Any, install: Any, context: LearnContext) -> None:
        self._ui, self._logic, self._install, self._context = ui, logic, install, context
        self.options = FineTuneOptions(ui, settings, context, self.update)
        self.view = LearningView(ui)
        self.switch = ModelSwitch(ui.switchModelButton, context, self._switched)
        self.command = CommandLine(ui)
        self.job: LearningJob | None = None
        self.ignoredSeconds = DOUBLE_CLICK_SECONDS
        self._hidden: set[str] = set()  # jobs that a person does not want to see in this session
        self._outcome = self._newId = ""
        self._named: Path | None = None  # the store that the next id was made from
        self._began = float("-inf")
        self._chosenAt = float("-inf")  # since when another model is not chosen without a person
        self._refreshing = self._unseen = self._followed = False
        self._timer = qt.QTimer()
        self._timer.connect("timeout()", self._follow)
        ui.fineTuneButton.connect("clicked()", self._startOrStop)
        ui.pauseButton.connect("clicked()", self._pauseOrResume)
        ui.dismissButton.connect("clicked()", self._dismiss)
        self.refresh()

    def refresh(self) -> None:
        """Show what the library, the store and the jobs hold now."""
        if self._refreshing:
            return
        self._refreshing = True
        try:
            self.options.refresh()
            self._newId = self._nextId()
            self._find()
        finally:
            self._refreshing = False
        self.update()

    def update(self) -> None:
        """Show what can be done, and why not."""
        ui, job = self._ui, self.job
        if self._refreshing:
            return
        active = job is not None and job.active
        self.options.update()
        if self._named != self._storeFolder():  # another store was chosen
            self._newId = self._nextId()
        ui.fineTuneChoicesArea.setVisible(not active)
        reason = "" if active else self.options.reason()
        ui.fineTuneButton.text = _("Stop and keep best") if active else _("Start")
        ui.fineTuneButton.enabled = job.state != STOPPING if active and job is not None else not reason
        tip = _("End now with the best that it has so far.") if active else _("Learn from these cases.")
        ui.fineTuneButton.toolTip = reason or tip
        status = reason or self._outcome
        if active and job is not None:
            status = runningText(job, named=job.task.store != self._storeFolder())
        showText(ui.fineTuneStatusLabel, status)
        self._showPause()
        self.switch.show(job.result if job is not None and not active else None)
        ui.dismissButton.setVisible(job is not None)
        ui.dismissButton.toolTip = (
            _("Show it no more; it goes on. 'medcontext jobs' lists it.") if active else _("Show it no more.")
        )
        self.command.show(self._shownArguments())
        self._noteSeen()

    def setParameters(self, parameters: Any) -> None:
        """Nothing of a training belongs to the scene, but its curve is drawn there."""
        if parameters is not None and self.job is not None:
            self._show(self.job)

    def sceneCloses(self) -> None:
        """Let go of the nodes of the curve; they are made again."""
        self.view.curve.letGo()

    def modelChosen(self) -> None:
        """The model of now stays: what ended before, and is found later, does not replace it."""
        self._chosenAt = time.time()

    def stop(self) -> None:
        """The panel goes away; the job goes on."""
        self._timer.stop()
        self.view.stop()

    # The job

    def _find(self) -> None:
        """Follow a training that goes on, first one of these cases; else show the last one whose end nobody saw."""
        if self.job is not None and self.job.active:
            return
        found = [job for job in findJobs() if job.folder.name not in self._hidden]
        active = [job for job in found if job.active]
        own = [job for job in active if job.task.store == self._storeFolder()]
        if self.job is None or active:
            job = next(iter(own or active or found), None)
            if job is not None:
                self._take(job)

    def _take(self, job: LearningJob) -> None:
        self.job, self._followed = job, job.active
        self._timer.setInterval(CATCH_UP_MS)
        self._timer.start()
        self._show(job)

    def _show(self, job: LearningJob) -> None:
        store = self._context.store()
        self.view.show(job, {label.name: label.color for label in store.labels} if store is not None else {})

    def _follow(self) -> None:
        job = self.job
        if job is None:
            self._timer.stop()
            return
        try:
            changed = job.poll()
        except (MedContextError, OSError) as error:  # somebody removed its folder
            self._outcome = str(error)
            self._dismiss()
            return
        if not job.caughtUp:
            self._timer.setInterval(CATCH_UP_MS)
            return
        self._timer.setInterval(FOLLOW_MS)
        if changed or not job.active:
            self._show(job)
        if not job.active:
            self._timer.stop()
            self._ended(job)
        self.update()

    def _ended(self, job: LearningJob) -> None:
        """Take over what came out, unless a person knows it already."""
        result = job.result
        self._unseen = not job.seen
        if result is None or not self._unseen:
            return
        self._context.refreshModels()
        self._context.refreshCases()
        newer = self._followed or (job.job.ended or 0.0) > self._chosenAt
        if newer and result.word != WORSE and result.card.problem is None:
            self._context.selectModel(result.key)
            self.modelChosen()

    def _noteSeen(self) -> None:
        """Remember that a person saw how the job ended; one that can be taken up is shown until that is done."""
        job = self.job
        if self._unseen and job is not None and self._ui.fineTuneButton.visible and not job.resumable:
            self._unseen = False
            job.markSeen()

    def _startOrStop(self) -> None:
        if self.job is not None and self.job.active:
            if time.monotonic() - self._began >= self.ignoredSeconds:
                self._do(self.job.stop)
        else:
            self._start()

    def _start(self) -> None:
        reason = self.options.reason()
        if reason or not self._mayStart() or not self._install.ensureInstalled(purpose=TRAIN):
            return
        self._forget()
        self._newId = self._nextId()

        def start() -> None:
            request = self.options.request(user_models() / self._newId)
            self._take(startJob(request, self.options.title, slicer.util.startupEnvironment()))
            self._freeMemory()

        self._do(start)

    def _mayStart(self) -> bool:
        """Whether no other training goes on, or a person wants two at once."""
        others = [job.job.title for job in findJobs() if job.active]
        text = _("A training is running already: {titles}. Two at once take longer. Start another one?")
        return not others or bool(
            slicer.util.confirmOkCancelDisplay(text.format(titles=", ".join(others)), _("Fine-tune"))
        )

    def _pauseOrResume(self) -> None:
        job = self.job
        if job is None:
            return
        if not job.active:
            self._do(lambda: self._take(restartJob(job, slicer.util.startupEnvironment())))
            self._freeMemory()
        elif job.state == PAUSED or job.pausing:
            self._do(job.goOn)
        else:
            self._do(job.pause)

    def _do(self, work: Callable[[], None]) -> None:
        """Do something with a job, and say what went wrong."""
        self._outcome = ""
        self._began = time.monotonic()
        try:
            work()
            if self.job is not None:
                self.job.poll()
        except (MedContextError, OSError) as error:  # such as a folder that cannot be written
            self._outcome = str(error)
            slicer.util.errorDisplay(str(error))
        self.update()

    def _dismiss(self) -> None:
        """Show the job no more; another one may be waiting to be seen."""
        job = self.job
        if job is not None and not job.active:
            job.markSeen()
        elif job is not None:
            self._hidden.add(job.folder.name)
        self.modelChosen()
        self._forget()
        self.refresh()

    def _switched(self) -> None:
        self.modelChosen()
        self.update()

    def _forget(self) -> None:
        self._timer.stop()
        self.job, self._unseen = None, False
        self.view.clear()

    def _freeMemory(self) -> None:
        """The worker's models are in the way of a training."""
        if self._logic.worker.running:
            self._logic.worker.send("release")

    # What is shown

    def _storeFolder(self) -> Path | None:
        store = self._context.store()
        return store.folder if store is not None else None

    def _nextId(self) -> str:
        store = self._context.store()
        self._named = self._storeFolder()
        return newModelId(store.name if store is not None else "")

    def _showPause(self) -> None:
        button, job = self._ui.pauseButton, self.job
        active = job is not None and job.active
        resumes = job is not None and (job.state == PAUSED or job.pausing if active else job.resumable)
        button.setVisible(active or resumes)
        button.text = _("Resume") if resumes else _("Pause")
        button.enabled = job is None or job.state != STOPPING
        button.toolTip = (
            _("Go on from where it was.") if resumes else _("Let the computer do something else for a while.")
        )

    def _shownArguments(self) -> list[str]:
        """Those of the job that goes on, else of the one that *Start* would begin."""
        if self.job is not None and self.job.active:
            return list(self.job.task.arguments)
        if self.options.reason():
            return []
        return self.options.request(user_models() / self._newId).arguments()
