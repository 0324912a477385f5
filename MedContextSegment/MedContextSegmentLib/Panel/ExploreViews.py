"""The slice views as a person uses them: which one was scrolled last, what the pointer is over, and clicks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

from MedContextSegmentLib.Explore.Planes import compositeNode, sliceNodes

BEFORE_OTHERS = 1.0
"""Priority of an observer that sees a click before Slicer's own tools do."""


class FollowedViews(VTKObservationMixin):
    """Knows which slice views are on the screen, and in which of them a person scrolled last.

    When several views move together, such as when a volume is shown, none of them was scrolled.

    Args:
        onChanged: called soon after another view was scrolled, or a view shows another volume, comes or goes.

    Attributes:
        lastScrolled: name of the view; "" where nobody scrolled yet.
    """

    def __init__(self, onChanged: Callable[[], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._onChanged = onChanged
        self._nodes: dict[str, Any] = {}
        self._seen: dict[str, tuple[Any, ...]] = {}
        self._moved: set[str] = set()
        self.lastScrolled = ""
        self._soon = qt.QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.connect("timeout()", self._settle)

    def nodes(self) -> dict[str, Any]:
        """The slice nodes of the views that are on the screen, by name; from now on they are followed."""
        nodes = sliceNodes()
        if nodes != self._nodes:
            self.stop()
            self._nodes = nodes
            for name, node in nodes.items():
                self._seen[name] = _seen(node)
                for followed in (node, compositeNode(node)):
                    if followed is not None:
                        self.addObserver(followed, vtk.vtkCommand.ModifiedEvent, self._changed)
        return nodes

    def stop(self) -> None:
        """Follow no view any more."""
        self._soon.stop()
        self._moved.clear()
        self._nodes, self._seen = {}, {}
        self.removeObservers()

    def _changed(self, node: Any, _event: Any) -> None:
        name = node.GetLayoutName()
        seen = _seen(self._nodes[name])
        place, *others = self._seen[name]
        if seen[0] != place:
            self._moved.add(name)
        if list(seen[1:]) != others or name in self._moved:
            self._seen[name] = seen
            self._soon.start()

    def _settle(self) -> None:
        moved, self._moved = self._moved, set()
        if len(moved) == 1:
            self.lastScrolled = next(iter(moved))
        self._onChanged()


class Pointer(VTKObservationMixin):
    """Tells where in the world the pointer is in a slice view, and where it clicks.

    Args:
        onMoved: called with mm RAS, or None where it is in no view.
        onClicked: called with mm RAS.
    """

    def __init__(
        self,
        onMoved: Callable[[Sequence[float] | None], None],
        onClicked: Callable[[Sequence[float]], None],
    ) -> None:
        VTKObservationMixin.__init__(self)
        self._onMoved, self._onClicked = onMoved, onClicked
        self._crosshair: Any = None

    def follow(self) -> None:
        """Tell of moves."""
        self.leave()
        self._crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if self._crosshair is not None:
            event = slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent
            self.addObserver(self._crosshair, event, self._moved)

    def leave(self) -> None:
        """Tell of nothing any more."""
        self.removeObservers()
        self._crosshair = None

    def catchClicks(self) -> None:
        """Hear of the clicks in all slice views."""
        self.releaseClicks()
        layout = slicer.app.layoutManager()
        for name in layout.sliceViewNames() if layout is not None else ():
            interactor = layout.sliceWidget(name).sliceView().interactor()
            event = vtk.vtkCommand.LeftButtonPressEvent
            self.addObserver(interactor, event, self._clicked, priority=BEFORE_OTHERS)

    def releaseClicks(self) -> None:
        """Leave the clicks to Slicer."""
        self.removeObservers(self._clicked)

    def _moved(self, _caller: Any, _event: Any) -> None:
        self._onMoved(self._position())

    def _clicked(self, interactor: Any, _event: Any) -> None:
        if interactor.GetShiftKey() or interactor.GetControlKey() or interactor.GetAltKey():
            return  # such a click moves the view or the crosshair
        position = self._position()
        if position is not None and not _placing():
            self._onClicked(position)

    def _position(self) -> Sequence[float] | None:
        ras = [0.0, 0.0, 0.0]
        return ras if self._crosshair is not None and self._crosshair.GetCursorPositionRAS(ras) else None


def _placing() -> bool:
    """Whether a click places a point of a markup."""
    node = slicer.app.applicationLogic().GetInteractionNode()
    return node is not None and bool(node.GetCurrentInteractionMode() == node.Place)


def _seen(sliceNode: Any) -> tuple[Any, ...]:
    """Where a view is, which volume it shows, and whether it is on the screen."""
    matrix, composite = sliceNode.GetSliceToRAS(), compositeNode(sliceNode)
    place = tuple(matrix.GetElement(row, column) for row in range(4) for column in range(4))
    volume = composite.GetBackgroundVolumeID() if composite is not None else None
    return place, volume, bool(sliceNode.IsMappedInLayout())
