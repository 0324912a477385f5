"""Which slice of a scan a slice view shows, and which scan that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from medcontext.errors import InputError
from medcontext.geometry import IndexBox as Box
from MedContextSegmentLib.Scene.OrientedImage import matrixArray
from MedContextSegmentLib.Scene.VolumeReader import RAS_TO_LPS, VolumeSnapshot

STRAIGHT_DEGREES = 1.0
"""A view that is turned by less against the axes of a scan shows the same slice all over it, as far as one can see."""


@dataclass(frozen=True)
class Plane:
    """One slice of a scan.

    Attributes:
        axis: array axis across which it lies: 0 is k, 1 is j, 2 is i.
        index: its number along that axis.
        degrees: the angle between it and what the view shows.
    """

    axis: int
    index: int
    degrees: float = 0.0

    @property
    def oblique(self) -> bool:
        """Whether the view shows parts of other slices, too."""
        return self.degrees > STRAIGHT_DEGREES

    def box(self, shape: tuple[int, ...]) -> Box:
        """Its voxels in an array ``(K, J, I)``."""
        sides = [(0, size) for size in shape]
        sides[self.axis] = (self.index, self.index + 1)
        return sides[0], sides[1], sides[2]


def sliceNodes() -> dict[str, Any]:
    """The slice views that are on the screen, by their names."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSliceNode")
    return {node.GetLayoutName(): node for node in nodes if node.IsMappedInLayout()}


def compositeNode(sliceNode: Any) -> Any:
    """The node that says which volumes a slice view shows; None where there is none."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    return next((node for node in nodes if node.GetLayoutName() == sliceNode.GetLayoutName()), None)


def shownVolume(sliceNode: Any) -> Any:
    """The volume in the background of a slice view; None where there is none."""
    composite = compositeNode(sliceNode)
    volumeId = composite.GetBackgroundVolumeID() if composite is not None else None
    return slicer.mrmlScene.GetNodeByID(volumeId) if volumeId else None


def planeOf(sliceNode: Any, snapshot: VolumeSnapshot) -> Plane:
    """The slice of a scan that a view shows; of a view that is turned, the one that is nearest to its middle.

    Args:
        sliceNode: ``vtkMRMLSliceNode``.
        snapshot: the scan.

    Raises:
        InputError: the view shows a place beside the scan.
    """
    toWorld = matrixArray(sliceNode.GetSliceToRAS())
    toVoxel = np.linalg.inv(RAS_TO_LPS @ snapshot.affine)
    normals = toVoxel[:3, :3] / np.linalg.norm(
        toVoxel[:3, :3], axis=1, keepdims=True
    )  # of slices across i, j, k
    cosines = np.abs(normals @ (toWorld[:3, 2] / np.linalg.norm(toWorld[:3, 2])))
    across = int(np.argmax(cosines))
    axis = 2 - across
    index = int(np.floor((toVoxel @ toWorld[:, 3])[across] + 0.5))
    if not 0 <= index < snapshot.array.shape[axis]:
        raise InputError(
            _("The view {view} shows no slice of {scan}.").format(
                view=sliceNode.GetLayoutName(), scan=snapshot.name
            ),
            _("Scroll it to the scan."),
        )
    return Plane(axis, index, float(np.degrees(np.arccos(min(1.0, cosines[across])))))
