"""Loading and saving: what ``slicer.app.coreIOManager()`` does for slicer.util's load, save and export functions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slicer
import vtk

FILE_TYPES = {
    ".seg.nrrd": "SegmentationFile",
    ".seg.nhdr": "SegmentationFile",
    ".seg.vtm": "SegmentationFile",
    ".seq.nrrd": "SequenceFile",
    ".seq.nhdr": "SequenceFile",
    ".seq.mrb": "SequenceFile",
    ".nrrd": "VolumeFile",
    ".nhdr": "VolumeFile",
    ".nii": "VolumeFile",
    ".nii.gz": "VolumeFile",
    ".mha": "VolumeFile",
    ".mhd": "VolumeFile",
    ".dcm": "VolumeFile",
    ".mrk.json": "MarkupsFile",
    ".tfm": "TransformFile",
    ".h5": "TransformFile",
    ".vtk": "ModelFile",
    ".vtp": "ModelFile",
    ".stl": "ModelFile",
    ".ply": "ModelFile",
    ".obj": "ModelFile",
    ".csv": "TableFile",
    ".tsv": "TableFile",
    ".ctbl": "ColorTableFile",
    ".mrml": "SceneFile",
    ".mrb": "SceneFile",
}
VOLUME_OPTIONS = {"labelmap": 1, "center": 2, "singleFile": 4, "autoWindowLevel": 8, "discardOrientation": 16}
WRITERS = (
    ("vtkMRMLSegmentationNode", "SegmentationFile"),
    ("vtkMRMLVolumeNode", "VolumeFile"),
    ("vtkMRMLModelNode", "ModelFile"),
    ("vtkMRMLMarkupsNode", "MarkupsFile"),
    ("vtkMRMLTransformNode", "TransformFile"),
    ("vtkMRMLTableNode", "TableFile"),
    ("vtkMRMLSequenceNode", "SequenceFile"),
)


class CoreIOManager:
    """Reads and writes with the real module logics and storage nodes."""

    def registeredFileReaderCount(self, fileType: str) -> int:
        return int(fileType in FILE_TYPES.values())

    def fileType(self, fileName: str) -> str:
        matches = [ext for ext in FILE_TYPES if str(fileName).lower().endswith(ext)]
        return FILE_TYPES[max(matches, key=len)] if matches else "NoFile"

    def fileWriterFileType(self, node: Any) -> str:
        return next((kind for name, kind in WRITERS if node.IsA(name)), "NodeFile")

    def loadNodes(self, fileType: str, properties: dict[str, Any], loaded: Any, messages: Any) -> bool:
        path = Path(properties["fileName"])
        if fileType == "SceneFile":
            return self.loadScene(str(path), properties.get("clear", True))
        if not path.exists():
            messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"{path} does not exist")
            return False
        node = self._load(fileType, str(path), properties, messages)
        if node is None:
            return False
        loaded.AddItem(node)
        return True

    def _load(self, fileType: str, path: str, properties: dict[str, Any], messages: Any) -> Any:
        modules = slicer.modules
        name = properties.get("name") or Path(path).name.split(".")[0]
        if fileType == "VolumeFile":
            options = sum(bit for key, bit in VOLUME_OPTIONS.items() if properties.get(key))
            return modules.volumes.logic().AddArchetypeVolume(path, name, options)
        if fileType == "SegmentationFile":
            color = slicer.mrmlScene.GetNodeByID(properties.get("colorNodeID", ""))
            opacities = bool(properties.get("autoOpacities", True))
            return modules.segmentations.logic().LoadSegmentationFromFile(
                path, opacities, name, color, messages
            )
        if fileType == "MarkupsFile":
            return slicer.mrmlScene.GetNodeByID(
                modules.markups.logic().LoadMarkups(path, name, messages) or ""
            )
        if fileType == "TransformFile":
            return modules.transforms.logic().AddTransform(path, slicer.mrmlScene, messages)
        loaders = {
            "ModelFile": lambda: modules.models.logic().AddModel(path, 1, messages),
            "TableFile": lambda: modules.tables.logic().AddTable(path, name),
            "SequenceFile": lambda: modules.sequences.logic().AddSequence(path, messages),
            "ColorTableFile": lambda: modules.colors.logic().LoadColorFile(path, name),
        }
        return loaders[fileType]() if fileType in loaders else None

    def loadScene(self, fileName: str, clear: bool = True) -> bool:
        scene = slicer.mrmlScene
        if fileName.lower().endswith(".mrb"):
            return bool(scene.ReadFromMRB(fileName, clear))
        scene.SetURL(fileName)
        return bool(scene.Connect() if clear else scene.Import())

    def saveNodes(self, fileType: str, properties: dict[str, Any], messages: Any) -> bool:
        path = str(properties["fileName"])
        if fileType == "SceneFile":
            return self._save_scene(path, messages)
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        if not node.GetStorageNode():
            node.AddDefaultStorageNode(path)
        storage = node.GetStorageNode()
        if storage is None:
            return False
        storage.SetFileName(path)
        storage.SetUseCompression(int(properties.get("useCompression", 1)))
        return bool(storage.WriteData(node))

    def _save_scene(self, path: str, messages: Any) -> bool:
        scene = slicer.mrmlScene
        if path.lower().endswith(".mrb"):
            return bool(scene.WriteToMRB(path, None, messages))
        scene.SetURL(path)
        return bool(scene.Commit(path, messages))

    def extractKnownExtension(self, fileName: str, node: Any) -> str:
        extension_of = slicer.vtkDataFileFormatHelper.GetFileExtensionFromFormatString
        extensions = [extension_of(entry) for entry in self.fileWriterExtensions(node)]
        matches = [ext for ext in extensions if fileName.lower().endswith(ext)]
        return max(matches, key=len) if matches else Path(fileName).suffix

    def fileWriterExtensions(self, node: Any) -> tuple[str, ...]:
        with self._storage(node) as storage:
            types = storage.GetSupportedWriteFileTypes()
            return tuple(types.GetValue(i) for i in range(types.GetNumberOfValues()))

    def exportNodes(
        self,
        nodeIDs: list[str],
        fileNames: list[str],
        properties: dict[str, Any],
        harden: bool,
        _messages: Any,
    ) -> bool:
        return all(
            self._export(slicer.mrmlScene.GetNodeByID(nodeID), str(path), properties, harden)
            for nodeID, path in zip(nodeIDs, fileNames, strict=True)
        )

    def _export(self, node: Any, path: str, properties: dict[str, Any], harden: bool) -> bool:
        """Write a copy from a scene of its own, as Slicer does: the node itself is not touched."""
        scene = slicer.vtkMRMLScene()
        slicer.mrmlScene.CopyDefaultNodesToScene(scene)
        slicer.mrmlScene.CopyRegisteredNodesToScene(scene)
        slicer.mrmlScene.CopySingletonNodesToScene(scene)
        scene.SetDataIOManager(slicer.mrmlScene.GetDataIOManager())
        copy = scene.AddNewNodeByClass(node.GetClassName())
        copy.CopyContent(node, harden)
        transform = node.GetParentTransformNode() if harden else None
        if transform is not None:
            fromWorld = vtk.vtkGeneralTransform()
            transform.GetTransformFromWorld(fromWorld)
            composite = scene.AddNewNodeByClass("vtkMRMLTransformNode")
            composite.SetAndObserveTransformFromParent(fromWorld)
            copy.SetAndObserveTransformNodeID(composite.GetID())
            copy.HardenTransform()
        copy.AddDefaultStorageNode()
        storage = copy.GetStorageNode()
        storage.SetFileName(path)
        storage.SetUseCompression(int(properties.get("useCompression", 1)))
        if "compressionParameter" in properties:
            storage.SetCompressionParameter(properties["compressionParameter"])
        return bool(storage.WriteData(copy))

    @contextmanager
    def _storage(self, node: Any) -> Iterator[Any]:
        """A storage node of its own, in the scene: without an id it crashes where other nodes have storage."""
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)  # the caller owns what Create...() returns
        storage.SetHideFromEditors(True)
        slicer.mrmlScene.AddNode(storage)
        try:
            yield storage
        finally:
            slicer.mrmlScene.RemoveNode(storage)
