"""qMRMLSegmentationShow3DButton and qMRMLSegmentSelectorWidget."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtWidgets

from harness.ctk_module import ctkMenuButton
from harness.qmrml.node_combo import qMRMLNodeComboBox
from harness.qmrml.observing import Observations
from harness.qmrml.widget import qMRMLWidget
from harness.stored import stored

SURFACE = "Closed surface"


class qMRMLSegmentationShow3DButton(ctkMenuButton):
    """Makes or removes the closed surface of a segmentation."""

    locked, setLocked = stored(bool, False, "_update")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setText("Show 3D")
        self.setCheckable(True)
        self._node: Any = None
        self._observations = Observations()
        self.clicked.connect(self._clicked)
        self._update()

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        self._node = node
        self._observations.clear()
        if node is not None:
            events = slicer.vtkSegmentation
            for event in (
                events.ContainedRepresentationNamesModified,
                events.SegmentAdded,
                events.SegmentRemoved,
            ):
                self._observations.add(node.GetSegmentation(), event, self._changed)
        self._update()

    def _changed(self, _segmentation: Any) -> None:
        self._update()

    def _update(self) -> None:
        segmentation = self._node.GetSegmentation() if self._node else None
        self.setEnabled(bool(segmentation and segmentation.GetNumberOfSegments()) and not self.locked)
        self.setChecked(bool(segmentation and segmentation.ContainsRepresentation(SURFACE)))

    def _clicked(self, on: bool) -> None:
        if on:
            self._node.CreateClosedSurfaceRepresentation()
            self._node.GetDisplayNode().SetPreferredDisplayRepresentationName3D(SURFACE)
        else:
            self._node.RemoveClosedSurfaceRepresentation()
        self._update()


class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """A segmentation and one of its segments.

    As in Slicer, the list is made anew when segments come, go or change; then "" and the first segment are told.
    """

    SIGNALS: ClassVar = {"currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged"}
    currentNodeChanged = QtCore.Signal(object)
    currentSegmentChanged = QtCore.Signal(str)
    segmentationNodeSelectorVisible, setSegmentationNodeSelectorVisible = stored(bool, True, "_show")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._observations = Observations()
        self._node: Any = None
        self._current = ""
        self._nodes = qMRMLNodeComboBox()
        self._nodes.nodeTypes = ["vtkMRMLSegmentationNode"]
        for name in ("addEnabled", "removeEnabled"):
            setattr(self._nodes, name, False)
        self._segments = QtWidgets.QComboBox()
        self._segments.setSizeAdjustPolicy(
            QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self._segments.setMinimumContentsLength(8)
        self._message = QtWidgets.QLabel()
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self._nodes, self._segments, self._message):
            layout.addWidget(widget)
        self._nodes.currentNodeChanged.connect(self._node_changed)
        self._segments.currentIndexChanged.connect(self._segment_changed)
        self._populate()

    def setNoneEnabled(self, on: bool) -> None:
        self._nodes.setNoneEnabled(on)
        self._populate()

    noneEnabled = QtCore.Property(bool, lambda self: self._nodes.noneEnabled, setNoneEnabled)

    def setMRMLScene(self, scene: Any) -> None:
        super().setMRMLScene(scene)
        self._nodes.setMRMLScene(scene)

    def currentNode(self) -> Any:
        return self._nodes.currentNode()

    def currentNodeID(self) -> str:
        return self._nodes.currentNodeID

    def setCurrentNode(self, node: Any) -> None:
        self._nodes.setCurrentNode(node)

    def setCurrentNodeID(self, nodeId: str) -> None:
        self._nodes.setCurrentNodeID(nodeId)

    def currentSegmentID(self) -> str:
        return self._current

    def setCurrentSegmentID(self, segmentID: str) -> None:
        """One that is not listed changes nothing."""
        if not segmentID and self.noneEnabled:
            self._segments.setCurrentIndex(0)
        elif (index := self._segments.findData(segmentID)) >= 0:
            self._segments.setCurrentIndex(index)

    def _show(self) -> None:
        self._nodes.setVisible(self.segmentationNodeSelectorVisible)

    def _segment_changed(self, row: int) -> None:
        if self._node is not None:
            self._current = self._segments.itemData(row) or ""
            self.currentSegmentChanged.emit(self._current)

    def _node_changed(self, node: Any) -> None:
        self._observations.clear()
        self._node = node
        if node is not None:
            events = slicer.vtkSegmentation
            for event in (events.SegmentAdded, events.SegmentRemoved, events.SegmentModified):
                self._observations.add(node.GetSegmentation(), event, self._changed)
        self._populate()
        self.currentNodeChanged.emit(node)

    def _changed(self, _segmentation: Any) -> None:
        self._populate()

    def _populate(self) -> None:
        self._segments.clear()
        segmentation = self._node.GetSegmentation() if self._node else None
        listed = bool(segmentation and segmentation.GetNumberOfSegments())
        self._message.setText("No segments in segmentation" if self._node else "No node is selected")
        self._message.setVisible(not listed)
        self._segments.setVisible(listed)
        if not listed:
            return
        blocked = self._segments.blockSignals(True)
        if self.noneEnabled:
            self._segments.addItem("None", "")
        for segmentId in segmentation.GetSegmentIDs():
            self._segments.addItem(segmentation.GetSegment(segmentId).GetName(), segmentId)
        self._segments.setCurrentIndex(-1)
        self._segments.blockSignals(blocked)
        self._segments.setCurrentIndex(1 if self.noneEnabled else 0)
