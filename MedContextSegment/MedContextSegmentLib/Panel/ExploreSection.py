"""The section *Explore*: loads its widgets, joins its parts, and passes on what happens."""

from __future__ import annotations

from typing import Any

from MedContextSegmentLib.Panel.ExplorePanel import ExplorePanel
from MedContextSegmentLib.Panel.LearnPanel import Host, LearnPanel
from MedContextSegmentLib.Panel.PickPanel import PickPanel
from MedContextSegmentLib.Panel.QtHelpers import loadInto


class ExploreSection:
    """Holds proposing regions, and picking from them.

    Args:
        host: the panel around.
        collaborators: what the panel works with, see :class:`Widget.Collaborators`.
        learn: the section *Learn*, where what was picked can become a case.

    Attributes:
        ui: the widgets.
        propose: the regions of a slice or of a box.
        pick: what is done with them.
    """

    def __init__(self, host: Host, collaborators: Any, learn: LearnPanel) -> None:
        self.ui = loadInto(host.ui.exploreSection, host.resourcePath("UI/Explore.ui"))
        self._learn = learn
        self.pick = PickPanel(self.ui, learn.context)
        self.propose = ExplorePanel(
            self.ui, host.logic, host.settings, collaborators.install, self._busy, self.pick.show
        )
        host.ui.exploreSection.connect("contentsCollapsed(bool)", self._collapsed)

    def enter(self) -> None:
        """The module is shown."""
        self.pick.enter()
        self.update()

    def leave(self) -> None:
        """Another module is shown; a run goes on, and the regions stay in the views."""
        self.propose.leave()
        self.pick.leave()

    def update(self) -> None:
        """Show what can be done now, and why not."""
        if self._learn.context.busy():
            self.propose.giveWay()
        self.propose.update()
        self.pick.update()

    def sceneCloses(self) -> None:
        """Let go of what is in the scene."""
        self.propose.sceneCloses()
        self.pick.show(None)

    def stop(self) -> None:
        """The panel goes away, and what it proposed with it."""
        self.propose.stop()
        self.pick.stop()

    def _busy(self) -> bool:
        """Whether the worker, which does one thing at a time, is at work for another part."""
        learn = self._learn
        return bool(learn.context.busy() or learn.suggest.control.running or learn.correction.control.running)

    def _collapsed(self, collapsed: bool) -> None:
        if collapsed:
            self.pick.setPicking(False)
        else:
            self.update()
