"""A finished case of a batch as the scene: its scan, and its segments as the module's own button makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from MedContextSegmentLib.Batch.SceneViews import SceneViews
from MedContextSegmentLib.Scene.OrientedImage import vtkMatrix
from MedContextSegmentLib.Scene.SegmentationWriter import SegmentationWriter, newSegmentation
from MedContextSegmentLib.Scene.VolumeReader import RAS_TO_LPS, readVolume
from MedContextSegmentLib.Worker.Results import SegmentationResult


@dataclass(frozen=True, eq=False)
class CaseVoxels:
    """What a case consists of.

    Attributes:
        case: its name, which the nodes carry: it says who the patient is only where identifiers are kept.
        channels: name and ``(K, J, I)`` voxels of each channel of the scan.
        affine: ``(4, 4)`` from ``(i, j, k, 1)`` to LPS mm.
        result: the segmentation on the same grid.
        settings: how the batch was run, for the provenance.
    """

    case: str
    channels: Sequence[tuple[str, np.ndarray]]
    affine: np.ndarray
    result: SegmentationResult
    settings: Mapping[str, Any]


class CaseScene:
    """Shows one case after the other in the scene, which it clears before each."""

    def __init__(self) -> None:
        self._views = SceneViews()

    def show(self, voxels: CaseVoxels) -> tuple[Any, Any]:
        """Replace what is in the scene by a case.

        Returns:
            The node of the first channel, and the segmentation node.

        Raises:
            InputError: the axes of the scan do not span a volume.
        """
        self.clear()
        volumes = _addVolumes(voxels)
        snapshot = readVolume(volumes[0])
        segmentation = newSegmentation(snapshot, _("{volume} segmentation").format(volume=voxels.case))
        settings = {"volumes": [volume.GetName() for volume in volumes], **voxels.settings}
        SegmentationWriter(settings=settings).write(voxels.result, snapshot, segmentation)
        self._views.show(volumes[0])
        return volumes[0], segmentation

    def clear(self) -> None:
        """Empty the scene, so that cases need no more memory the more there are."""
        slicer.mrmlScene.Clear(False)

    def close(self) -> None:
        """Empty the scene and let go of it."""
        self.clear()
        self._views.close()


def _addVolumes(voxels: CaseVoxels) -> list[Any]:
    several = len(voxels.channels) > 1
    ijkToRas = vtkMatrix(RAS_TO_LPS @ voxels.affine)
    nodes = []
    for title, array in voxels.channels:
        name = f"{voxels.case} {title}" if several else voxels.case
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        slicer.util.updateVolumeFromArray(node, array)
        node.SetIJKToRASMatrix(ijkToRas)
        node.CreateDefaultDisplayNodes()
        nodes.append(node)
    return nodes
