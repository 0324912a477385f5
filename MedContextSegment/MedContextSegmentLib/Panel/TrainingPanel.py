"""What the parts of *Learn* that train have in common: a job is started, followed, paused, stopped, taken up again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

import qt
import slicer
from slicer.i18n import tr as _

from medcontext.cards import user_models
from medcontext.errors import MedContextError
from MedContextSegmentLib.Learn.Command import newModelId
from MedContextSegmentLib.Learn.Curve import Look
from MedContextSegmentLib.Learn.FollowedJob import PAUSED, STOPPING
from MedContextSegmentLib.Learn.LearningJob import LearningJob
from MedContextSegmentLib.Learn.LearningJobs import activeTitles, findJobs, restartJob, startDetached
from MedContextSegmentLib.Learn.LearningTexts import runningText
from MedContextSegmentLib.Panel.CommandLine import CommandLine
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.LearningView import LearningView
from MedContextSegmentLib.Panel.QtHelpers import showText
from MedContextSegmentLib.Panel.RunControl import DOUBLE_CLICK_SECONDS
from MedContextSegmentLib.Panel.TrainingPart import TrainingOptions, TrainingWords

FOLLOW_MS, CATCH_UP_MS = 500, 20
"""How often the files of a job are looked at; while there is more to read than one piece, as often as possible."""

TRAIN = "train"


class TrainingPanel:
    """One training at a time: the one that goes on, the one that ended last, or none.

    Args:
        ui: the widgets of Training.ui, and ``choicesArea``, which is hidden while a training goes on.
        logic: a :class:`Logic.MedContextSegmentLogic`, whose worker gives its memory back for a training.
        install: has ``ensureInstalled(purpose=...)``, see :mod:`Install`.
        context: the panel around.
        options: what to learn, from what and for how long.
        words: what the part calls what it does.

    Attributes:
        KIND: the class of its jobs.
        job: the training that is shown; None for none.
        onFound: called when a training was found that had been started before.
    """

    KIND: ClassVar[type[LearningJob]]

    def __init__(
        self,
        ui: Any,
        logic: Any,
        install: Any,
        context: LearnContext,
        options: TrainingOptions,
        words: TrainingWords,
    ) -> None:
        self._ui, self._logic, self._install, self._context = ui, logic, install, context
        self.options, self._words = options, words
        self.view = LearningView(ui, words.preview)
        self.command = CommandLine(ui)
        self.job: Any = None
        self.onFound: Callable[[], None] = lambda: None
        self.ignoredSeconds = DOUBLE_CLICK_SECONDS
        self._hidden: set[str] = set()  # jobs that a person does not want to see in this session
        self._outcome = self._newId = ""
        self._named: str | None = None  # what the next id was made from
        self._began = float("-inf")
        self._refreshing = self._unseen = self._followed = False
        self._timer = qt.QTimer()
        self._timer.connect("timeout()", self._follow)
        ui.startButton.connect("clicked()", self._startOrStop)
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
            self._makeId()
            self._find()
        finally:
            self._refreshing = False
        self.update()

    def update(self) -> None:
        """Show what can be done, and why not."""
        if self._refreshing:
            return
        ui, words, job = self._ui, self._words, self.job
        active = job is not None and job.active
        self.options.update()
        if self._named != self.options.name:  # such as when another store was chosen
            self._makeId()
        ui.choicesArea.setVisible(not active)
        reason = "" if active else self.options.reason()
        ui.startButton.text = words.stop if active else _("Start")
        ui.startButton.enabled = job.state != STOPPING if active else not reason
        ui.startButton.toolTip = reason or (words.stopTip if active else words.start)
        status = reason or self._outcome
        if active:
            status = runningText(job, named=self._context.storeFolder() not in job.task.data)
        showText(ui.trainingStatusLabel, status)
        self._showPause()
        self._showResult(job.result if job is not None and not active else None)
        ui.dismissButton.setVisible(job is not None)
        tip = _("Show it no more; it goes on. 'medcontext jobs' lists it.")
        ui.dismissButton.toolTip = tip if active else _("Show it no more.")
        self.command.show(self._shownArguments())
        self._noteSeen()

    def setParameters(self, parameters: Any) -> None:
        """Nothing of a training belongs to the scene, but its curve is drawn there."""
        if parameters is not None and self.job is not None:
            self._show()

    def sceneCloses(self) -> None:
        """Let go of the nodes of the curve; they are made again."""
        self.view.curve.letGo()

    def stop(self) -> None:
        """The panel goes away; the job goes on."""
        self._timer.stop()
        self.view.stop()

    # What differs

    def _look(self) -> Look:
        """How the second group of lines of the curve is drawn."""
        raise NotImplementedError

    def _showResult(self, result: Any) -> None:
        """Offer what can be done with what came out; nothing when None."""
        raise NotImplementedError

    def _delivered(self, job: Any) -> None:
        """Take over what came out, which nobody has seen yet; the library was read."""

    # The job

    def _find(self) -> None:
        """Follow a training that goes on, first one of these cases; else show the last one whose end nobody saw."""
        if self.job is not None and self.job.active:
            return
        found = [job for job in findJobs(self.KIND) if job.folder.name not in self._hidden]
        active = [job for job in found if job.active]
        own = [job for job in active if self._context.storeFolder() in job.task.data]
        if self.job is None or active:
            job = next(iter(own or active or found), None)
            if job is not None:
                self._take(job)
                self.onFound()

    def _take(self, job: Any) -> None:
        self.job, self._followed = job, job.active
        self._timer.setInterval(CATCH_UP_MS)
        self._timer.start()
        self._show()

    def _show(self) -> None:
        self.view.show(self.job, self._look())

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
            self._show()
        if not job.active:
            self._timer.stop()
            self._unseen = not job.seen
            if job.result is not None and self._unseen:
                self._context.refreshModels()
                self._delivered(job)
        self.update()

    def _noteSeen(self) -> None:
        """Remember that a person saw how the job ended; one that can be taken up is shown until that is done."""
        job = self.job
        if self._unseen and job is not None and self._ui.startButton.visible and not job.resumable:
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
        self._makeId()

        def start() -> None:
            command = self.options.request(user_models() / self._newId).command
            folder = startDetached(command, self.options.title, slicer.util.startupEnvironment())
            self._take(self.KIND(folder))
            self._freeMemory()

        self._do(start)

    def _mayStart(self) -> bool:
        """Whether no other training goes on, or a person wants two at once."""
        others = activeTitles()
        text = _("A training is running already: {titles}. Two at once take longer. Start another one?")
        return not others or bool(
            slicer.util.confirmOkCancelDisplay(text.format(titles=", ".join(others)), self._words.title)
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
        self._forget()
        self.refresh()

    def _forget(self) -> None:
        self._timer.stop()
        self.job, self._unseen = None, False
        self.view.clear()

    def _freeMemory(self) -> None:
        """The worker's models are in the way of a training."""
        if self._logic.worker.running:
            self._logic.worker.send("release")

    # What is shown

    def _makeId(self) -> None:
        self._named = self.options.name
        self._newId = newModelId(self._named)

    def _showPause(self) -> None:
        button, job = self._ui.pauseButton, self.job
        active = job is not None and job.active
        resumes = job is not None and (job.state == PAUSED or job.pausing if active else job.resumable)
        button.setVisible(active or resumes)
        button.text = _("Resume") if resumes else _("Pause")
        button.enabled = job is None or job.state != STOPPING
        tip = _("Let the computer do something else for a while.")
        button.toolTip = _("Go on from where it was.") if resumes else tip

    def _shownArguments(self) -> list[str]:
        """Those of the job that goes on, else of the one that *Start* would begin."""
        if self.job is not None and self.job.active:
            return list(self.job.task.arguments)
        if self.options.reason():
            return []
        return list(self.options.request(user_models() / self._newId).arguments())
