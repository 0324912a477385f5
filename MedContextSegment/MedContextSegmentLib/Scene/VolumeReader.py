"""A scan of the scene as the network needs it: voxels without a copy, and where they lie in the world."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from medcontext.errors import InputError
from medcontext.geometry import Geometry
from MedContextSegmentLib.Scene.OrientedImage import boxShape, imageArray, imageBox, matrixArray, starts

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
EXCLUDE_FROM_HIERARCHY = "SubjectHierarchy.ExcludeFromTree"


@dataclass(frozen=True, eq=False)
class VolumeSnapshot:
    """The scan at the moment when a run began.

    Attributes:
        nodeId: the volume node.
        name: its name.
        array: ``(K, J, I)`` voxels: a read-only view of the node's memory, which stays valid when the node goes.
        affine: ``(4, 4)`` from ``(i, j, k, 1)`` to LPS mm in the world; parent transforms are applied.
        ijkToRas: ``(4, 4)`` from ``(i, j, k, 1)`` to RAS mm below ``transformNodeId``.
        transformNodeId: the linear parent transform; empty if there is none or if it was not linear.
        notes: sentences for the person.
        hardened: whether voxels and places are those of a temporary copy with the transform applied.
        stamp: what changes when the voxels or their places do.
    """

    nodeId: str
    name: str
    array: np.ndarray
    affine: np.ndarray
    ijkToRas: np.ndarray
    transformNodeId: str
    notes: tuple[str, ...] = ()
    hardened: bool = False
    stamp: tuple[Any, ...] = ()

    @property
    def geometry(self) -> Geometry:
        """The voxel grid in the world."""
        return Geometry(self.array.shape, self.affine)

    def isCurrent(self) -> bool:
        """Whether the node is still there with the same voxels at the same places."""
        node = slicer.mrmlScene.GetNodeByID(self.nodeId)
        return node is not None and node.GetImageData() is not None and _stamp(node) == self.stamp


COLORS = 3
"""Values of a colored voxel; a fourth says how opaque it is."""


def volumeProblem(volumeNode: Any, dims: int = 3, colors: bool = False) -> str:
    """Why a volume cannot be segmented.

    Args:
        volumeNode: a volume node, or None.
        dims: 3 for a model that looks at volumes, 2 for one that looks at slices.
        colors: whether colors, three or four values per voxel, are welcome too.

    Returns:
        One sentence; empty if the volume can be segmented.
    """
    if volumeNode is None:
        return _("No volume is selected.")
    name = volumeNode.GetName() or ""
    if not volumeNode.IsA("vtkMRMLScalarVolumeNode"):
        return _("{name} is not a scan: a volume is needed.").format(name=name)
    if volumeNode.IsA("vtkMRMLLabelMapVolumeNode"):
        return _("{name} is a label map, not a scan.").format(name=name)
    image = volumeNode.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        return _("{name} is empty: it holds no voxels.").format(name=name)
    components = image.GetNumberOfScalarComponents()
    if components != 1 and not (colors and components in (COLORS, COLORS + 1)):
        return _("{name} has {components} values per voxel (colors or vectors): one is needed.").format(
            name=name, components=components
        )
    if dims == 3 and min(image.GetDimensions()) < 2:
        return _("{name} is a single slice: the model needs a volume.").format(name=name)
    return ""


def readVolume(volumeNode: Any) -> VolumeSnapshot:
    """Read a scan.

    A volume below a transform that is not linear (such as the acquisition transform that Slicer gives to tilted or
    unevenly spaced CT) is read through a temporary copy with the transform applied, as Slicer's *Harden transform*
    does: voxels are interpolated on a grid with the same axes and spacing that grows around the moved scan.

    Raises:
        InputError: there is no volume that can be segmented, or its axes do not span a volume.
    """
    return _read(volumeNode, colors=False)[0]


def readChannels(volumeNode: Any) -> tuple[VolumeSnapshot, ...]:
    """Read a scan as :func:`readVolume` does, or a picture in color: a snapshot for each of red, green and blue.

    Raises:
        InputError: as :func:`readVolume`.
    """
    return _read(volumeNode, colors=True)


def _read(volumeNode: Any, colors: bool) -> tuple[VolumeSnapshot, ...]:
    problem = volumeProblem(volumeNode, dims=2, colors=colors)
    if problem:
        raise InputError(problem, _("Choose another volume."))
    transform = volumeNode.GetParentTransformNode()
    if transform is not None and not transform.IsTransformToWorldLinear():
        note = _(
            "{name} is below a transform that is not linear ({transform}): a copy with the transform applied is "
            "segmented, and the segmentation lies in world space."
        ).format(name=volumeNode.GetName(), transform=transform.GetName())
        with _hardenedCopy(volumeNode) as copy:
            return _snapshots(volumeNode, copy, (note,))
    return _snapshots(volumeNode, volumeNode, ())


def _snapshots(node: Any, source: Any, notes: tuple[str, ...]) -> tuple[VolumeSnapshot, ...]:
    """What is known of ``node``, with voxels and places of ``source``, the node itself or its hardened copy."""
    matrix = vtk.vtkMatrix4x4()
    source.GetIJKToRASMatrix(matrix)
    image = source.GetImageData()
    ijkToRas = matrixArray(matrix)
    ijkToRas[:3, 3] += ijkToRas[:3, :3] @ starts(imageBox(image))[::-1]
    transform = source.GetParentTransformNode()
    toWorld = vtk.vtkMatrix4x4()
    if transform is not None:
        transform.GetMatrixTransformToWorld(toWorld)
    affine = RAS_TO_LPS @ matrixArray(toWorld) @ ijkToRas
    arrays = _channels(image)
    Geometry(arrays[0].shape, affine)  # raises InputError where the axes are unusable
    return tuple(
        VolumeSnapshot(
            nodeId=node.GetID(),
            name=node.GetName() or "",
            array=array,
            affine=affine,
            ijkToRas=ijkToRas,
            transformNodeId=transform.GetID() if transform is not None else "",
            notes=notes,
            hardened=source is not node,
            stamp=_stamp(node),
        )
        for array in arrays
    )


def _channels(image: Any) -> list[np.ndarray]:
    """Read-only views ``(K, J, I)`` of the voxels, one for each color."""
    if image.GetNumberOfScalarComponents() == 1:
        arrays = [imageArray(image)[:]]
    else:
        voxels = vtk_to_numpy(image.GetPointData().GetScalars())
        arrays = [voxels[:, color].reshape(boxShape(imageBox(image))) for color in range(COLORS)]
    for array in arrays:
        array.flags.writeable = False
    return arrays


def _stamp(node: Any) -> tuple[Any, ...]:
    """What changes when voxels or places do. Moving a linear transform moves scan and segmentation together."""
    image, matrix = node.GetImageData(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    transform = node.GetParentTransformNode()
    moved = 0
    if transform is not None and not transform.IsTransformToWorldLinear():
        moved = transform.GetTransformToWorldMTime()
    identity = transform.GetID() if transform is not None else ""
    return image.GetMTime(), image.GetExtent(), matrixArray(matrix).tobytes(), identity, moved


@contextmanager
def _hardenedCopy(volumeNode: Any) -> Iterator[Any]:
    """A copy in world space that no selector and no tree shows, gone afterwards, come what may."""
    copy = slicer.vtkMRMLScalarVolumeNode()
    copy.SetName(volumeNode.GetName())
    copy.SetHideFromEditors(True)
    copy.SetSaveWithScene(False)
    copy.SetAttribute(EXCLUDE_FROM_HIERARCHY, "1")
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    copy.SetIJKToRASMatrix(matrix)
    copy.SetAndObserveImageData(volumeNode.GetImageData())
    slicer.mrmlScene.AddNode(copy)
    try:
        copy.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        copy.HardenTransform()
        yield copy
    finally:
        slicer.mrmlScene.RemoveNode(copy)
