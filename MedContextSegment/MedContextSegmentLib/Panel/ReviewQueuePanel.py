"""The review queue of *Batch*: one finished case after the other, judged by keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MedContextSegmentLib.Batch.BatchRows import BatchRows
from MedContextSegmentLib.Batch.BatchTexts import caseText, reasonText
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.QtHelpers import showText
from MedContextSegmentLib.Panel.ReviewActions import ReviewActions
from MedContextSegmentLib.Panel.ReviewedToStore import ReviewedToStore
from MedContextSegmentLib.Panel.ReviewKeys import ReviewKeys, takesLetters
from MedContextSegmentLib.Panel.RunControl import INTERVAL_MS, RunControl

TURN_SECONDS = 0.001


class ReviewQueuePanel:
    """Shows where the review is.

    Args:
        ui: the widgets of ReviewQueue.ui.
        logic: a :class:`Logic.MedContextSegmentLogic`, whose worker reads the cases.
        install: has ``ensureInstalled()``, see :mod:`Install`.
        context: the panel around.
        rows: gives what is known of the cases of the batch that is shown.
        toStore: puts a case into the case store.
        observer: a VTKObservationMixin, whose observers are removed when the panel goes away.

    Attributes:
        ui: its widgets.
        actions: what a person can do, and the review that goes on.
        control: keeps the opening of a case going.
    """

    def __init__(
        self,
        ui: Any,
        logic: Any,
        install: Any,
        context: LearnContext,
        rows: Callable[[], BatchRows],
        toStore: ReviewedToStore,
        observer: Any,
    ) -> None:
        self.ui, self._context, self._rows = ui, context, rows
        self._looked = False
        self.control = RunControl(ui.reviewProgressBar, self.update, self.update)
        self.actions = ReviewActions(logic, install, context, rows, toStore, self.control, self._note)
        self.actions.onChanged, self.actions.onCase = self.update, self._showCase
        self._turns = qt.QTimer()
        self._turns.setInterval(INTERVAL_MS)
        self._turns.connect("timeout()", self._turn)
        buttons = {
            "A": (ui.acceptButton, self.actions.accept),
            "C": (ui.correctButton, self.actions.correct),
            "R": (ui.rejectButton, self.actions.reject),
            "S": (ui.addReviewedButton, self.actions.addCase),
            "N": (ui.nextCaseButton, self.actions.next),
            "P": (ui.previousCaseButton, self.actions.previous),
        }
        for button, do in buttons.values():
            button.connect("clicked()", do)
        # A key does what its button does, and nothing where that is grey.
        clicks = {key: button.click for key, (button, _do) in buttons.items()}
        self.keys = ReviewKeys(clicks, ui.reviewArea, context.editor, observer)
        ui.reviewButton.connect("clicked()", self._startOrEnd)
        ui.revertCaseButton.connect("clicked()", self.actions.revert)
        self.update()

    def rowsChanged(self) -> None:
        """Something else is known of the cases, or another batch is shown."""
        session = self.actions.session
        if session is not None and session.queue.rows is not self._rows():
            self.control.forget()
            self.actions.end()
        elif session is not None and not self.control.running:
            session.readAhead()
            self._turns.start()
        self.update()

    def update(self) -> None:
        """Show where the review is and what can be done."""
        ui, session = self.ui, self.actions.session
        if session is not None:
            session.caseIsGone()
        running = self.control.running
        free = not running and not self._context.busy()
        title = _("Start review") if session is None else _("End review")
        ui.reviewButton.text = _("Cancel") if running else title
        ui.reviewButton.enabled = running or (free and (session is not None or bool(self._rows().queue)))
        ui.reviewArea.setVisible(session is not None)
        judges = (ui.acceptButton, ui.correctButton, ui.rejectButton, ui.addReviewedButton)
        for button in (*judges, ui.revertCaseButton):
            button.enabled = free and self.actions.case is not None
        ui.nextCaseButton.enabled = free and session is not None and bool(session.queue.following())
        ui.previousCaseButton.enabled = free and session is not None and bool(session.queue.previous())
        if session is not None:
            showText(ui.reviewCaseLabel, caseText(session.queue))
            showText(ui.reviewReasonLabel, reasonText(session.queue.rows, session.queue.case))
        self.keys.setActive(session is not None and self._looked)
        showText(ui.reviewQueueStatusLabel, self._status())

    def enter(self) -> None:
        """The module is shown."""
        self._looked = True
        self.update()

    def leave(self) -> None:
        """Another module is shown: no key is caught there."""
        self._looked = False
        self.keys.setActive(False)

    def sceneCloses(self) -> None:
        """The case in the scene goes; what was changed of it is kept."""
        self.actions.forget(sceneCloses=True)
        self.update()

    def stop(self) -> None:
        """The panel goes away; what was changed is kept."""
        self._turns.stop()
        self.actions.forget()
        self.keys.close()

    def _startOrEnd(self) -> None:
        if self.control.running:
            self.control.cancelByClick()
        elif self.actions.session is None:
            self.actions.start()
        else:
            self.actions.end()

    def _note(self) -> str:
        return str(self.ui.reviewNoteEdit.text).strip()

    def _showCase(self) -> None:
        """Another case is shown: what was said of it before, while the next one is read."""
        session = self.actions.session
        review = session.review() if session is not None else None
        self.ui.reviewNoteEdit.text = review.note if review is not None else ""
        if session is not None and takesLetters(slicer.app.focusWidget()):
            self.ui.reviewArea.setFocus()  # of the table from which the case was opened, say: keys are for the review
        self._turns.start()

    def _turn(self) -> None:
        """Let the case be read that comes next."""
        session = self.actions.session
        if session is None or not session.prefetch.reading:
            self._turns.stop()
        else:
            session.prefetch.turn(TURN_SECONDS)

    def _status(self) -> str:
        session, rows = self.actions.session, self._rows()
        if self.control.running:
            return self.control.text
        if session is not None and session.problem:
            return session.problem
        if session is None and rows.cases and not rows.queue:
            return _("No case is finished yet.")
        return self.actions.outcome
