"""What a person can do in a review of a batch: go from case to case, and say what each result is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from medcontext.errors import MedContextError
from MedContextSegmentLib.Batch.BatchRows import BatchRows
from MedContextSegmentLib.Batch.BatchTexts import reviewCountText
from MedContextSegmentLib.Batch.ReviewedCase import OpeningRun, ReviewedCase
from MedContextSegmentLib.Batch.ReviewSession import ReviewSession, checkFinished
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.ReviewedToStore import ReviewedToStore
from MedContextSegmentLib.Panel.RunControl import Run, RunControl
from MedContextSegmentLib.Run.RunListener import RunListener


class ReviewActions:
    """Does it, and asks where something could be lost.

    Args:
        logic: a :class:`Logic.MedContextSegmentLogic`, whose worker reads the cases.
        install: has ``ensureInstalled()``, see :mod:`Install`.
        context: the panel around.
        rows: gives what is known of the cases of the batch that is shown.
        toStore: puts a case into the case store.
        control: keeps the opening of a case going.
        note: gives the free words that go with a verdict.

    Attributes:
        session: the review that goes on; None for none.
        outcome: what came of what was done last, in words.
        onChanged: called when anything is different.
        onCase: called when another case is shown.
        onVerdict: called when a verdict was given.
    """

    def __init__(
        self,
        logic: Any,
        install: Any,
        context: LearnContext,
        rows: Callable[[], BatchRows],
        toStore: ReviewedToStore,
        control: RunControl,
        note: Callable[[], str],
    ) -> None:
        self._logic, self._install, self._context = logic, install, context
        self._rows, self._toStore, self._control, self._note = rows, toStore, control, note
        self.session: ReviewSession | None = None
        self.outcome = ""
        self.onChanged: Callable[[], None] = lambda: None
        self.onCase: Callable[[], None] = lambda: None
        self.onVerdict: Callable[[], None] = lambda: None
        self._before: tuple[Sequence[Any], Any] = ((), None)

    @property
    def case(self) -> ReviewedCase | None:
        """The case in the scene; None while none is."""
        return self.session.case if self.session is not None else None

    def start(self) -> None:
        """Begin with the case that needs a person most."""
        rows = self._rows()
        if rows.queue and self._begin() and self.session is not None:
            self._open(self.session.queue.following() or rows.queue[0])

    def open(self, case: str) -> None:
        """Show a case, and begin a review with it where none goes on."""
        if self._do(lambda: checkFinished(self._rows(), case)) and self._begin():
            self._open(case)

    def accept(self) -> None:
        """The result is right, or has been put right."""
        case = self.case
        text = _("You changed the segments of '{case}'. Keep them as corrected?")
        if case is None:
            return
        if not case.changed or slicer.util.confirmOkCancelDisplay(text.format(case=case.case), _("Accept")):
            self._judge("accept")

    def correct(self) -> None:
        """The segments as they are now are the right ones."""
        case = self.case
        if case is not None and not case.changed and not case.corrected:
            self._say(_("Nothing was changed: correct the segments first, or accept the result (A)."))
        else:
            self._judge("accept")

    def reject(self) -> None:
        """The result is of no use."""
        self._judge("reject")

    def addCase(self) -> None:
        """The segments as they are now are the right ones, and something to learn from."""
        case = self.case
        if case is None or not self._said("accept"):
            return

        def then(added: bool) -> None:
            if added and self.case is case:
                text = _("'{case}' is in the case store {store}.")
                self._next(text.format(case=case.case, store=self._context.storeFolder()))

        self._toStore.begin(case, then)
        self.onChanged()

    def next(self) -> None:
        """Come back to this case later."""
        self._next("")

    def previous(self) -> None:
        """Show the case before."""
        if self.session is not None and self.session.queue.previous():
            self._open(self.session.queue.previous())

    def revert(self) -> None:
        """Show what the batch found, whatever was changed."""
        case = self.case
        text = _("Take back all changes of the segments of '{case}'?")
        if (
            case is not None
            and (case.changed or case.corrected)
            and slicer.util.confirmOkCancelDisplay(text.format(case=case.case), _("Revert"))
        ):
            self._open(case.case, fresh=True)

    def end(self, text: str = "") -> None:
        """End the review, unless what was changed cannot be kept.

        Args:
            text: what to say then.
        """
        session = self.session
        if session is None or not self._do(session.keepChanges):
            return
        volumes, segmentation = self._before
        self._context.choose([_there(node) for node in volumes], _there(segmentation))
        if self.forget():
            self._say(text)

    def forget(self, sceneCloses: bool = False) -> bool:
        """Let go of the review; what was changed is kept where that can be done, and the table tells all verdicts.

        Whether that worked; else it was said why not.

        Args:
            sceneCloses: whether the scene takes all nodes away itself.
        """
        session = self.session
        if session is None:
            return True
        done = self._do(session.keepChanges)
        done = self._do(session.writeTable) and done
        self._control.forget()
        self.session, self._before = None, ((), None)
        if sceneCloses:
            session.sceneCloses()
        else:
            session.end()
        return done

    def _begin(self) -> bool:
        """Begin a review unless one goes on; whether one goes on now."""
        if self.session is None and self._install.ensureInstalled():
            self._before = self._context.volumes(), self._context.segmentation()
            self.session = ReviewSession(self._rows(), self._logic.worker, self._logic.exchangeRoot)
        return self.session is not None

    def _judge(self, verdict: str) -> None:
        if self._said(verdict):
            self._next("")

    def _said(self, verdict: str) -> bool:
        """Write down a verdict; whether that worked."""
        session = self.session
        if session is None or session.case is None:
            return False
        done = self._do(lambda: session.judge(verdict, self._note()))
        self.onVerdict()
        return done

    def _next(self, text: str) -> None:
        session = self.session
        if session is not None and session.queue.following():
            self._open(session.queue.following(), text)
        elif session is not None:
            self.end(text or reviewCountText(session.queue))

    def _open(self, case: str, text: str = "", fresh: bool = False) -> None:
        session = self.session
        if session is None or self._control.running:
            return

        def begin(listener: RunListener) -> Run:
            return session.opening(case, listener, fresh)

        if self._do(lambda: self._control.start(begin, lambda run: self._opened(case, run, fresh))):
            self._say(text)

    def _opened(self, case: str, run: OpeningRun, fresh: bool) -> None:
        session = self.session
        if session is None:
            return
        session.opened(case, run)
        if session.case is not None:
            self._context.choose(session.case.volumes, session.case.segmentation)
            if fresh and run.result is not None:
                self._do(session.takeBack)
        self.onCase()

    def _do(self, work: Callable[[], Any]) -> bool:
        """Do something that may fail, which is said; whether it worked."""
        try:
            work()
        except MedContextError as error:
            self._say(str(error))
            return False
        return True

    def _say(self, text: str) -> None:
        self.outcome = text
        self.onChanged()


def _there(node: Any) -> Any:
    """The node; None where somebody took it out of the scene."""
    return node if node is not None and node.GetScene() is not None else None
