"""The segment to stay inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer

from MedContextSegmentLib.Panel.Parameters import MedContextSegmentParameters
from MedContextSegmentLib.Panel.QtHelpers import quiet


class InsideSegment:
    """Shows in a qMRMLSegmentSelectorWidget what the parameter node says, and keeps there what a person chooses.

    The widget makes its list anew, and then selects the first segment, whenever segments come, go or change. It tells
    of that as of a choice, with "" before. What was chosen is selected again, so that a run that writes into the same
    segmentation does not change where the next one stays.

    Args:
        selector: the widget, in which "None" can be chosen.
        onChanged: called when a person chose something else.
    """

    def __init__(self, selector: Any, onChanged: Callable[[], None]) -> None:
        self._selector, self._onChanged = selector, onChanged
        self._parameters: MedContextSegmentParameters | None = None
        self._emptied = False
        self._soon = qt.QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.connect("timeout()", self._stayedEmpty)
        selector.connect("currentNodeChanged(vtkMRMLNode*)", self._nodeChanged)
        selector.connect("currentSegmentChanged(QString)", self._segmentChanged)

    def setParameters(self, parameters: MedContextSegmentParameters | None) -> None:
        """Follow a parameter node; None lets go of it."""
        self._parameters = parameters
        self._emptied = False

    def show(self) -> None:
        """Show what the parameter node says; nothing where the segment is gone."""
        if self._parameters is None:
            return
        chosen = self.chosen()
        with quiet(self._selector):
            self._selector.setCurrentNode(self._parameters.insideSegmentation)
            self._selector.setCurrentSegmentID(chosen[1] if chosen is not None else "")

    def chosen(self) -> tuple[Any, str] | None:
        """``(segmentationNode, segmentId)``; None where there is no such segment."""
        if self._parameters is None:
            return None
        node, segmentId = self._parameters.insideSegmentation, self._parameters.insideSegmentId
        if node is None or not segmentId or node.GetSegmentation().GetSegment(segmentId) is None:
            return None
        return node, segmentId

    def _nodeChanged(self, node: Any) -> None:
        self._keep(node, self._selector.currentSegmentID() if node is not None else "")

    def _segmentChanged(self, segmentId: str) -> None:
        if self._parameters is None or slicer.mrmlScene.IsClosing():
            return
        node = self._selector.currentNode()
        if node is not self._parameters.insideSegmentation:
            self._keep(node, segmentId)
        elif not segmentId:  # "None" was chosen, or the list is made anew: the next signal, if any, says
            self._emptied = True
            self._soon.start()
        elif self._emptied:
            self._emptied = False
            self.show()
            self._onChanged()
        else:
            self._keep(node, segmentId)

    def _stayedEmpty(self) -> None:
        if self._emptied:
            self._keep(self._selector.currentNode(), "")

    def _keep(self, node: Any, segmentId: str) -> None:
        self._emptied = False
        if self._parameters is not None and not slicer.mrmlScene.IsClosing():
            self._parameters.insideSegmentation = node
            self._parameters.insideSegmentId = segmentId or ""
        self._onChanged()
