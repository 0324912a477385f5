"""The section *Batch*: loads its parts, joins them, and passes on what happens."""

from __future__ import annotations

from typing import Any

from MedContextSegmentLib.Panel.BatchPanel import BatchPanel
from MedContextSegmentLib.Panel.LearnPanel import Host, LearnPanel
from MedContextSegmentLib.Panel.QtHelpers import loadInto
from MedContextSegmentLib.Panel.ReviewedToStore import ReviewedToStore
from MedContextSegmentLib.Panel.ReviewQueuePanel import ReviewQueuePanel


class BatchSection:
    """Holds the run and the review of many scans.

    Args:
        host: the panel around, a VTKObservationMixin.
        collaborators: what the panel works with, see :class:`Widget.Collaborators`.
        learn: the section *Learn*, whose case store takes reviewed cases.

    Attributes:
        batch: the run, and the table of its cases.
        queue: the review.
    """

    def __init__(self, host: Host, collaborators: Any, learn: LearnPanel) -> None:
        self._host, self._entered = host, False
        install, context = collaborators.install, learn.context
        ui = loadInto(host.ui.batchPlace, host.resourcePath("UI/Batch.ui"))
        self.batch = BatchPanel(
            ui,
            host.logic,
            host.settings,
            install,
            context,
            lambda: self._entered and not host.ui.batchSection.collapsed,
        )
        ui = loadInto(host.ui.reviewQueueSection, host.resourcePath("UI/ReviewQueue.ui"))
        self.queue = ReviewQueuePanel(
            ui,
            host.logic,
            install,
            context,
            lambda: self.batch.follower.rows,
            ReviewedToStore(learn.cases.actions, host.logic),
            host,
        )
        self.batch.onRows = self.queue.rowsChanged
        self.batch.onOpen = self.queue.actions.open
        self.queue.actions.onVerdict = self.batch.verdictGiven
        self._learnChanged = learn.cases.onBusyChanged
        learn.cases.onBusyChanged = self._storeBusyChanged
        host.ui.batchSection.connect("contentsCollapsed(bool)", self._collapsed)

    def enter(self) -> None:
        """The module is shown."""
        self._entered = True
        self.batch.refresh()
        self.queue.enter()

    def leave(self) -> None:
        """Another module is shown; a batch goes on."""
        self._entered = False
        self.batch.leave()
        self.queue.leave()

    def update(self) -> None:
        """Show what can be done now, and why not."""
        self.batch.update()
        self.queue.update()

    def sceneCloses(self) -> None:
        """Let go of what is in the scene."""
        self.queue.sceneCloses()

    def stop(self) -> None:
        """The panel goes away; a batch goes on."""
        self.batch.stop()
        self.queue.stop()

    def _storeBusyChanged(self) -> None:
        """A case store begins or ends to be changed."""
        self._learnChanged()
        self.queue.update()

    def _collapsed(self, collapsed: bool) -> None:
        if collapsed:
            self.batch.leave()
        else:
            self.batch.refresh()
