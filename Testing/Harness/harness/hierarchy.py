"""Subject hierarchy items for nodes: in Slicer the Qt plugins make and remove them, here scene observers do."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

# What a subject hierarchy plugin of Slicer claims, among the node classes of slicer-core.
CLAIMED = (
    "vtkMRMLVolumeNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLModelNode",
    "vtkMRMLMarkupsNode",
    "vtkMRMLTransformNode",
    "vtkMRMLTableNode",
    "vtkMRMLTextNode",
    "vtkMRMLPlotChartNode",
    "vtkMRMLSequenceBrowserNode",
    "vtkMRMLSequenceNode",
)
EXCLUDE = "SubjectHierarchy.ExcludeFromTree"  # vtkMRMLSubjectHierarchyConstants, not wrapped for Python


class SubjectHierarchy:
    """Keeps one item per visible data node of the scene, as Slicer does."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        for event, callback in (
            (slicer.vtkMRMLScene.NodeAddedEvent, self._on_added),
            (slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._on_removed),
            (slicer.vtkMRMLScene.EndImportEvent, self._on_imported),
            (slicer.vtkMRMLScene.EndCloseEvent, lambda _scene, _event: self._node()),
        ):
            scene.AddObserver(event, callback)

    def _node(self) -> Any:
        return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)

    def _add(self, node: Any) -> None:
        if (
            node.GetHideFromEditors()
            or node.GetAttribute(EXCLUDE)
            or not any(node.IsA(name) for name in CLAIMED)
        ):
            return
        hierarchy = self._node()
        if not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_added(self, _scene: Any, _event: Any, node: Any) -> None:
        if node.IsA("vtkMRMLSubjectHierarchyNode"):
            self._node()  # merges a second hierarchy node into the first
        elif not self._scene.IsImporting():
            self._add(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_removed(self, _scene: Any, _event: Any, node: Any) -> None:
        if self._scene.IsClosing() or node.IsA("vtkMRMLSubjectHierarchyNode"):
            return
        hierarchy = self._node()
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.RemoveItem(item, False, False)

    def _on_imported(self, _scene: Any, _event: Any) -> None:
        for index in range(self._scene.GetNumberOfNodes()):
            node = self._scene.GetNthNode(index)
            if node and not node.IsA("vtkMRMLSubjectHierarchyNode"):
                self._add(node)
