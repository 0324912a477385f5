"""qMRMLNodeComboBox: the nodes of a kind that are in the scene, one of them current."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtWidgets

from harness.qmrml.observing import Observations
from harness.stored import stored

ADD, RENAME, REMOVE = "add", "rename", "remove"


class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Follows the scene: nodes added, renamed and removed, and the scene closed."""

    SIGNALS: ClassVar = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "_currentBool",
        "nodeAdded(vtkMRMLNode*)": "nodeAdded",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated",
    }
    currentNodeChanged = QtCore.Signal(object)
    _currentBool = QtCore.Signal(bool)
    currentNodeIDChanged = QtCore.Signal(str)
    nodeAdded = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    nodeActivated = QtCore.Signal(object)
    currentNodeRenamed = QtCore.Signal(str)

    nodeTypes, setNodeTypes = stored("QStringList", (), "_rebuild")
    hideChildNodeTypes, setHideChildNodeTypes = stored("QStringList", (), "_rebuild")
    showChildNodeTypes, setShowChildNodeTypes = stored(bool, True, "_rebuild")
    showHidden, setShowHidden = stored(bool, False, "_rebuild")
    noneEnabled, setNoneEnabled = stored(bool, False, "_rebuild")
    noneDisplay, setNoneDisplay = stored(str, "None", "_rebuild")
    addEnabled, setAddEnabled = stored(bool, True, "_rebuild")
    removeEnabled, setRemoveEnabled = stored(bool, True, "_rebuild")
    renameEnabled, setRenameEnabled = stored(bool, False, "_rebuild")
    editEnabled, setEditEnabled = stored(bool, False)
    selectNodeUponCreation, setSelectNodeUponCreation = stored(bool, True)
    baseName, setBaseName = stored(str, "")
    interactionNodeSingletonTag, setInteractionNodeSingletonTag = stored(str, "")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._node: Any = None
        self._attributes: list[tuple[str, str, str | None]] = []
        self._observations = Observations()
        self._renames = Observations()
        self._combo = QtWidgets.QComboBox()
        self._combo.setSizeAdjustPolicy(
            QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self._combo.setMinimumContentsLength(8)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._combo.activated.connect(self._chosen)

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        self._scene = scene
        self._observations.clear()
        if scene is not None:
            events = slicer.vtkMRMLScene
            self._observations.add(scene, events.NodeAddedEvent, self._onAdded, with_object=True)
            self._observations.add(scene, events.NodeAboutToBeRemovedEvent, self._onRemoved, with_object=True)
            for event in (events.EndCloseEvent, events.EndImportEvent, events.EndBatchProcessEvent):
                self._observations.add(scene, event, self._onBatch)
        self._rebuild()

    def mrmlScene(self) -> Any:
        return self._scene

    def addAttribute(self, nodeType: str, name: str, value: Any = None) -> None:
        self._attributes.append((nodeType, name, None if value is None else str(value)))
        self._rebuild()

    def currentNode(self) -> Any:
        return self._node

    def nodeCount(self) -> int:
        return len(self._nodes())

    def nodeFromIndex(self, index: int) -> Any:
        nodes = self._nodes()
        return nodes[index] if 0 <= index < len(nodes) else None

    def setCurrentNode(self, node: Any) -> None:
        """Accepts a node or an ID; one that is not listed selects nothing."""
        if isinstance(node, str):
            node = self._scene.GetNodeByID(node) if self._scene and node else None
        if node is not None and all(node is not entry for entry in self._nodes()):
            node = None
        self._set(node)

    def setCurrentNodeID(self, nodeId: str) -> None:
        self.setCurrentNode(nodeId)

    def setCurrentNodeIndex(self, index: int) -> None:
        self.setCurrentNode(self.nodeFromIndex(index))

    currentNodeID = QtCore.Property(
        str,
        lambda self: self._node.GetID() if self._node else "",
        lambda self, value: self.setCurrentNodeID(value),
    )

    def addNode(self, nodeType: str = "") -> Any:
        """What the entry "Create new ..." does."""
        nodeType = nodeType or self.nodeTypes[0]
        name = self.baseName or self._scene.GetTagByClassName(nodeType)
        node = self._scene.CreateNodeByClass(nodeType)
        node.UnRegister(None)
        node.SetName(self._scene.GetUniqueNameByString(name))
        for kind, attribute, value in self._attributes:
            if node.IsA(kind):
                node.SetAttribute(attribute, value or "")
        self._scene.AddNode(node)
        if self.selectNodeUponCreation:
            self._set(node)
        self.nodeAddedByUser.emit(node)
        return node

    def _set(self, node: Any) -> None:
        if node is self._node:
            self._show()
            return
        self._node = node
        self._show()
        self.currentNodeChanged.emit(node)
        self._currentBool.emit(node is not None)
        self.currentNodeIDChanged.emit(node.GetID() if node else "")

    def _accepts(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        kinds = self.nodeTypes
        exact = not self.showChildNodeTypes
        if not any(node.GetClassName() == kind if exact else node.IsA(kind) for kind in kinds):
            return False
        if any(node.IsA(kind) for kind in self.hideChildNodeTypes if kind not in kinds):
            return False
        return all(
            node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name))
            for kind, name, value in self._attributes
            if node.IsA(kind)
        )

    def _nodes(self) -> list[Any]:
        if self._scene is None:
            return []
        nodes = (self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes()))
        return [node for node in nodes if self._accepts(node)]

    def _onAdded(self, node: Any) -> None:
        if self._scene.IsBatchProcessing() or not self._accepts(node):
            return
        self._rebuild()
        self.nodeAdded.emit(node)

    def _onRemoved(self, node: Any) -> None:
        if self._scene.IsBatchProcessing():
            if node is self._node:
                self._set(None)
            return
        rest = [entry for entry in self._nodes() if entry is not node]
        if node is self._node:
            self._set(None if self.noneEnabled or not rest else rest[0])
        self._fill(rest)

    def _onBatch(self, _data: Any) -> None:
        self._rebuild()

    def _rebuild(self) -> None:
        nodes = self._nodes()
        self._fill(nodes)
        if self._node is not None and all(node is not self._node for node in nodes):
            self._set(None)
        if self._node is None and nodes and not self.noneEnabled:
            self._set(nodes[0])

    def _fill(self, nodes: list[Any]) -> None:
        self._renames.clear()
        blocked = self._combo.blockSignals(True)
        self._combo.clear()
        if self.noneEnabled:
            self._combo.addItem(self.noneDisplay, "")
        for node in nodes:
            self._combo.addItem(node.GetName(), node.GetID())
            self._renames.add(node, "ModifiedEvent", self._onModified)
        self._add_actions()
        self._combo.blockSignals(blocked)
        self._show()

    def _add_actions(self) -> None:
        if self.addEnabled and self.nodeTypes:
            self._combo.addItem(
                f"Create new {self.baseName or self.nodeTypes[0].removeprefix('vtkMRML')}", ADD
            )
        if self.renameEnabled:
            self._combo.addItem("Rename current", RENAME)
        if self.removeEnabled:
            self._combo.addItem("Delete current", REMOVE)

    def _onModified(self, node: Any) -> None:
        index = self._combo.findData(node.GetID())
        if index >= 0 and self._combo.itemText(index) != node.GetName():
            self._combo.setItemText(index, node.GetName())
            if node is self._node:
                self.currentNodeRenamed.emit(node.GetName())

    def _show(self) -> None:
        blocked = self._combo.blockSignals(True)
        self._combo.setCurrentIndex(self._combo.findData(self._node.GetID() if self._node else ""))
        self._combo.blockSignals(blocked)

    def _chosen(self, index: int) -> None:
        """A person chose an entry of the list."""
        action = self._combo.itemData(index)
        node, current = None, self._node
        self._show()
        if action == ADD:
            self.addNode()
        elif action == RENAME and current:
            text, accepted = QtWidgets.QInputDialog.getText(self, "Rename", "New name:")
            if accepted:
                current.SetName(text)
        elif action == REMOVE and current:
            self._scene.RemoveNode(current)
        elif action not in (RENAME, REMOVE):
            node = self._scene.GetNodeByID(action) if action else None
            self._set(node)
            self.nodeActivated.emit(node)
