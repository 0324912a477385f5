"""qMRMLSegmentEditorWidget: selectors, table, effect buttons without effects, and real undo and redo."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtWidgets

from harness.qmrml.editor_parts import EFFECTS, Effect, effect_buttons, row
from harness.qmrml.node_combo import qMRMLNodeComboBox
from harness.qmrml.observing import Observations
from harness.qmrml.segment_widgets import qMRMLSegmentationShow3DButton
from harness.qmrml.segments_table import qMRMLSegmentsTableView
from harness.qmrml.widget import qMRMLWidget
from harness.stored import stored


class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Like in Slicer its history belongs to a logic of its own: what others save for undo it does not see."""

    SIGNALS: ClassVar = {
        "segmentationNodeChanged(vtkMRMLSegmentationNode*)": "segmentationNodeChanged",
        "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)": "sourceVolumeNodeChanged",
    }
    segmentationNodeChanged = QtCore.Signal(object)
    sourceVolumeNodeChanged = QtCore.Signal(object)
    currentSegmentIDChanged = QtCore.Signal(str)

    segmentationNodeSelectorVisible, setSegmentationNodeSelectorVisible = stored(bool, True, "_show")
    sourceVolumeNodeSelectorVisible, setSourceVolumeNodeSelectorVisible = stored(bool, True, "_show")
    switchToSegmentationsButtonVisible, setSwitchToSegmentationsButtonVisible = stored(bool, True)
    autoShowSourceVolumeNode, setAutoShowSourceVolumeNode = stored(bool, True)
    undoEnabled, setUndoEnabled = stored(bool, True, "_show")
    maximumNumberOfUndoStates, setMaximumNumberOfUndoStates = stored(int, 10, "_limit")
    readOnly, setReadOnly = stored(bool, False, "_show")
    effectColumnCount, setEffectColumnCount = stored(int, 2)
    unorderedEffectsVisible, setUnorderedEffectsVisible = stored(bool, True)
    jumpToSelectedSegmentEnabled, setJumpToSelectedSegmentEnabled = stored(bool, False)
    defaultTerminologyEntrySettingsKey, setDefaultTerminologyEntrySettingsKey = stored(str, "")
    masterVolumeNodeSelectorVisible = QtCore.Property(
        bool,
        lambda self: self.sourceVolumeNodeSelectorVisible,
        lambda self, on: self.setSourceVolumeNodeSelectorVisible(on),
    )

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._editorNode: Any = None
        self._updating = False
        self._order: tuple[str, ...] = EFFECTS
        self._effects = {name: Effect(name, self) for name in EFFECTS}
        self._shortcuts = False
        self._observations = Observations()
        self._logic = slicer.vtkSlicerSegmentEditorLogic()
        self._history = Observations()
        event = slicer.vtkSlicerSegmentEditorLogic.SegmentationHistoryChangedEvent
        self._history.add(self._logic, event, self._history_changed)
        self._build()
        self._limit()
        self._show()

    def _build(self) -> None:
        self._segmentations, self._volumes = qMRMLNodeComboBox(), qMRMLNodeComboBox()
        self._segmentations.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._volumes.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        self._volumes.addEnabled = False
        for combo in (self._segmentations, self._volumes):
            combo.noneEnabled = True
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        form = QtWidgets.QFormLayout()
        self._labels = (QtWidgets.QLabel("Segmentation:"), QtWidgets.QLabel("Source volume:"))
        form.addRow(self._labels[0], self._segmentations)
        form.addRow(self._labels[1], self._volumes)
        layout.addLayout(form)
        self._add, self._remove = QtWidgets.QPushButton("Add"), QtWidgets.QPushButton("Remove")
        self._show3d = qMRMLSegmentationShow3DButton()
        layout.addLayout(row(self._add, self._remove, self._show3d))
        self._table = qMRMLSegmentsTableView()
        self._table.setOpacityColumnVisible(False)
        self._table.setMinimumHeight(110)
        layout.addWidget(self._table)
        self._buttons = effect_buttons(self.setActiveEffectByName)
        layout.addWidget(self._buttons)
        self._undo, self._redo = QtWidgets.QPushButton("Undo"), QtWidgets.QPushButton("Redo")
        self._undo.setObjectName("UndoButton")
        self._redo.setObjectName("RedoButton")
        layout.addLayout(row(self._undo, self._redo))
        self._undo.clicked.connect(self.undo)
        self._redo.clicked.connect(self.redo)
        self._add.clicked.connect(self._add_segment)
        self._remove.clicked.connect(self._remove_segment)
        self._segmentations.currentNodeChanged.connect(self._segmentation_chosen)
        self._volumes.currentNodeChanged.connect(self._volume_chosen)
        self._table.selectionChanged.connect(self._row_chosen)

    def setMRMLScene(self, scene: Any) -> None:
        super().setMRMLScene(scene)
        self._logic.SetMRMLScene(scene)
        for widget in (self._segmentations, self._volumes, self._table):
            widget.setMRMLScene(scene)
        self._from_node()

    def mrmlSegmentEditorNode(self) -> Any:
        return self._editorNode

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        self._editorNode = node
        self._logic.SetSegmentEditorNode(node)
        self._observations.clear()
        self._observations.add(node, "ModifiedEvent", self._node_changed)
        scene = node.GetScene() if node else None
        event = slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent
        self._observations.add(scene, event, self._node_removed, with_object=True)
        self._from_node()

    def _history_changed(self, _logic: Any) -> None:
        self._show()

    def _node_changed(self, _node: Any) -> None:
        self._from_node()

    def _node_removed(self, node: Any) -> None:
        if node is self._editorNode:
            self.setMRMLSegmentEditorNode(None)

    def segmentationNode(self) -> Any:
        return self._logic.GetSegmentationNode() if self._editorNode else None

    def segmentationNodeID(self) -> str:
        return self._segmentations.currentNodeID

    def sourceVolumeNode(self) -> Any:
        return self._logic.GetSourceVolumeNode() if self._editorNode else None

    def sourceVolumeNodeID(self) -> str:
        return self._volumes.currentNodeID

    def setSegmentationNode(self, node: Any) -> None:
        self._need_node(node)
        if self._editorNode and node is not self.segmentationNode():
            self._logic.SetSegmentationNode(node)
            if (
                node is not None
                and not self.currentSegmentID()
                and node.GetSegmentation().GetNumberOfSegments()
            ):
                self._logic.SetCurrentSegmentID(node.GetSegmentation().GetNthSegmentID(0))
            self._from_node()
            self.segmentationNodeChanged.emit(node)

    def setSegmentationNodeID(self, nodeId: str) -> None:
        self.setSegmentationNode(slicer.mrmlScene.GetNodeByID(nodeId))

    def setSourceVolumeNode(self, node: Any) -> None:
        self._need_node(node)
        if self._editorNode and node is not self.sourceVolumeNode():
            self._logic.SetSourceVolumeNode(node)
            if node is not None and self.autoShowSourceVolumeNode and self.segmentationNode() is not None:
                self._show_source(node.GetID())
            self._from_node()
            self.sourceVolumeNodeChanged.emit(node)

    def _show_source(self, volume_id: str) -> None:
        """Where no layer of a view shows the volume it becomes the background, alone."""
        for index in range(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
            composite = slicer.mrmlScene.GetNthNodeByClass(index, "vtkMRMLSliceCompositeNode")
            if volume_id not in (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()):
                composite.SetBackgroundVolumeID(volume_id)
                composite.SetForegroundVolumeID(None)
                composite.SetLabelVolumeID(None)

    def setSourceVolumeNodeID(self, nodeId: str) -> None:
        self.setSourceVolumeNode(slicer.mrmlScene.GetNodeByID(nodeId))

    setMasterVolumeNode = setSourceVolumeNode
    masterVolumeNode = sourceVolumeNode

    def _need_node(self, node: Any) -> None:
        if node is not None and self._editorNode is None:
            raise RuntimeError(
                "setMRMLSegmentEditorNode() comes first; Slicer prints an error and selects nothing"
            )

    def currentSegmentID(self) -> str:
        return (self._editorNode.GetSelectedSegmentID() or "") if self._editorNode else ""

    def setCurrentSegmentID(self, segmentID: str) -> None:
        if self._editorNode and segmentID != self.currentSegmentID():
            self._logic.SetCurrentSegmentID(segmentID)
            self._from_node()
            self.currentSegmentIDChanged.emit(segmentID)

    def activeEffect(self) -> Any:
        name = self._editorNode.GetActiveEffectName() if self._editorNode else ""
        return self._effects.get(name)

    def setActiveEffect(self, effect: Any) -> None:
        self.setActiveEffectByName(effect.name if effect else "")

    def setActiveEffectByName(self, effectName: str) -> None:
        if self._editorNode:
            self._editorNode.SetActiveEffectName(effectName if effectName in self._effects else "")
            self._from_node()

    def effectByName(self, name: str) -> Any:
        return self._effects.get(name)

    def availableEffectNames(self) -> tuple[str, ...]:
        return EFFECTS

    def setEffectNameOrder(self, effectNames: Any) -> None:
        self._order = tuple(effectNames)
        self._show()

    def effectNameOrder(self) -> tuple[str, ...]:
        return self._order

    def saveStateForUndo(self) -> None:
        self._logic.SaveStateForUndo()
        self._show()

    def undo(self) -> None:
        self._logic.Undo()
        self._from_node()

    def redo(self) -> None:
        self._logic.Redo()
        self._from_node()

    def installKeyboardShortcuts(self, parent: Any = None) -> None:
        self._shortcuts = parent is not None or slicer.util.mainWindow() is not None

    def uninstallKeyboardShortcuts(self) -> None:
        self._shortcuts = False

    def setupViewObservations(self) -> None:
        """No views are watched."""

    def removeViewObservations(self) -> None:
        """No views are watched."""

    def turnOffLightboxes(self) -> bool:
        return False  # there are none

    def updateWidgetFromMRML(self) -> None:
        self._from_node()

    def _limit(self) -> None:
        self._logic.SetMaximumNumberOfUndoStates(self.maximumNumberOfUndoStates)

    def _from_node(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            node = self.segmentationNode()
            self._segmentations.setCurrentNode(node)
            self._volumes.setCurrentNode(self.sourceVolumeNode())
            if self._table.segmentationNode() is not node:
                self._table.setSegmentationNode(node)
                self._show3d.setSegmentationNode(node)
            self._table.setSelectedSegmentIDs([self.currentSegmentID()])
        finally:
            self._updating = False
        self._show()

    def _show(self) -> None:
        for visible, widgets in (
            (self.segmentationNodeSelectorVisible, (self._labels[0], self._segmentations)),
            (self.sourceVolumeNodeSelectorVisible, (self._labels[1], self._volumes)),
            (self.undoEnabled, (self._undo, self._redo)),
        ):
            for widget in widgets:
                widget.setVisible(visible)
        node, editable = self.segmentationNode(), not self.readOnly
        active = self._editorNode.GetActiveEffectName() if self._editorNode else ""
        self._undo.setEnabled(self._logic.CanUndo())
        self._redo.setEnabled(self._logic.CanRedo())
        self._add.setEnabled(node is not None and self.sourceVolumeNode() is not None and editable)
        self._remove.setEnabled(bool(node and self.currentSegmentID()) and editable)
        for button in self._buttons.findChildren("QToolButton"):
            button.setEnabled(bool(node and node.GetSegmentation().GetNumberOfSegments()) and editable)
            button.setVisible(button.name in self._order or self.unorderedEffectsVisible)
            button.setChecked(button.name == active)

    def _segmentation_chosen(self, node: Any) -> None:
        if not self._updating:
            self.setSegmentationNode(node)

    def _volume_chosen(self, node: Any) -> None:
        if not self._updating:
            self.setSourceVolumeNode(node)

    def _row_chosen(self, *_selection: Any) -> None:
        chosen = self._table.selectedSegmentIDs()
        if not self._updating and chosen:
            self.setCurrentSegmentID(chosen[0])

    def _add_segment(self) -> None:
        self.saveStateForUndo()
        self._logic.AddEmptySegment()
        self._from_node()

    def _remove_segment(self) -> None:
        self.saveStateForUndo()
        self._logic.RemoveSelectedSegment()
        self._from_node()
