"""The embedded segment editor: its parameter node, its shortcuts, its undo."""

from __future__ import annotations

from typing import Any

import slicer

SINGLETON_TAG = "MedContextSegment"
UNDO_STATES = 10


class EditorLink:
    """Looks after a qMRMLSegmentEditorWidget, as Slicer asks of a module that embeds one.

    Args:
        editor: the widget; it gets the scene here, after its parameter node.
    """

    def __init__(self, editor: Any) -> None:
        self.editor = editor
        editor.setMaximumNumberOfUndoStates(UNDO_STATES)
        self.selectNode()
        editor.setMRMLScene(slicer.mrmlScene)

    @property
    def node(self) -> Any:
        """The editor's parameter node."""
        return self.editor.mrmlSegmentEditorNode()

    def selectNode(self) -> None:
        """Give the editor the parameter node of this module, a new one after the scene was closed."""
        node = slicer.mrmlScene.GetSingletonNode(SINGLETON_TAG, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(SINGLETON_TAG)
            node = slicer.mrmlScene.AddNode(node)
        if self.editor.mrmlSegmentEditorNode() is not node:
            self.editor.setMRMLSegmentEditorNode(node)

    def enter(self) -> None:
        """The module is shown."""
        self.selectNode()
        if slicer.util.mainWindow() is not None:
            self.editor.turnOffLightboxes()
            self.editor.installKeyboardShortcuts()
            self.editor.setupViewObservations()
        self.editor.updateWidgetFromMRML()

    def exit(self) -> None:
        """Another module is shown: no effect goes on working, no key is caught."""
        self.editor.setActiveEffect(None)
        self.editor.uninstallKeyboardShortcuts()
        self.editor.removeViewObservations()

    def setKeys(self, active: bool) -> None:
        """Whether the editor's shortcuts work; another tool may need the same keys for a while."""
        if not active:
            self.editor.uninstallKeyboardShortcuts()
        elif slicer.util.mainWindow() is not None:
            self.editor.installKeyboardShortcuts()

    def sceneCloses(self) -> None:
        """Let go of what is in the scene."""
        self.editor.setActiveEffect(None)
        self.editor.setSegmentationNode(None)
        self.editor.removeViewObservations()

    def show(self, segmentationNode: Any, volumeNode: Any) -> None:
        """Edit a segmentation over a volume; None for none."""
        if self.node is None or self.node.GetScene() is None:
            self.selectNode()
        if segmentationNode is None and self.editor.sourceVolumeNode() is not None:
            self.editor.setSourceVolumeNode(None)  # before: without a segmentation Slicer ignores this
        if self.editor.segmentationNode() is not segmentationNode:
            self.editor.setSegmentationNode(segmentationNode)
        if segmentationNode is None or volumeNode is None:
            return
        if self.editor.sourceVolumeNode() is not volumeNode:
            self.editor.setSourceVolumeNode(volumeNode)

    def saveStateForUndo(self, segmentationNode: Any) -> None:
        """Remember a segmentation as it is now, so that the editor's *Undo* brings it back."""
        if self.editor.segmentationNode() is not segmentationNode:
            self.editor.setSegmentationNode(segmentationNode)
        self.editor.saveStateForUndo()

    def selectedSegment(self) -> tuple[Any, str] | None:
        """``(segmentationNode, segmentId)`` of the segment selected in the table; None where none is."""
        node, segmentId = self.editor.segmentationNode(), self.editor.currentSegmentID()
        if node is None or not segmentId or node.GetSegmentation().GetSegment(segmentId) is None:
            return None
        return node, segmentId
