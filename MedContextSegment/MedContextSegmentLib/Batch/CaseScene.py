"""A finished case of a batch as the scene: its scan, and its segments as the module's own button makes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
        volumes = addVolumes(voxels)
        segmentation = newCaseSegmentation(voxels, volumes[0])
        for _share in fillSegmentation(voxels, volumes, segmentation):
            pass
        self._views.show(volumes[0])
        return volumes[0], segmentation

    def clear(self) -> None:
        """Empty the scene, so that cases need no more memory the more there are."""
        slicer.mrmlScene.Clear(False)

    def close(self) -> None:
        """Empty the scene and let go of it."""
        self.clear()
        self._views.close()


def addVolumes(voxels: CaseVoxels, windows: Sequence[tuple[float, float]] = ()) -> list[Any]:
    """Add a volume node for each channel to the scene.

    Args:
        voxels: the case.
        windows: what is black and what is white of each channel; Slicer looks at all voxels for that when empty.
    """
    several = len(voxels.channels) > 1
    ijkToRas = vtkMatrix(RAS_TO_LPS @ voxels.affine)
    nodes = []
    for number, (title, array) in enumerate(voxels.channels):
        name = f"{voxels.case} {title}" if several else voxels.case
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        slicer.util.updateVolumeFromArray(node, array)
        node.SetIJKToRASMatrix(ijkToRas)
        if windows:
            _addDisplay(node, *windows[number])
        else:
            node.CreateDefaultDisplayNodes()
        nodes.append(node)
    return nodes


def _addDisplay(node: Any, black: float, white: float) -> None:
    display = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(black, white)
    display.SetDefaultColorMap()
    node.SetAndObserveDisplayNodeID(display.GetID())


def newCaseSegmentation(voxels: CaseVoxels, volumeNode: Any) -> Any:
    """Add an empty segmentation node for the case to the scene.

    Args:
        voxels: the case.
        volumeNode: that of the first channel.

    Raises:
        InputError: the axes of the scan do not span a volume.
    """
    return newSegmentation(readVolume(volumeNode), _("{volume} segmentation").format(volume=voxels.case))


def fillSegmentation(voxels: CaseVoxels, volumes: Sequence[Any], segmentation: Any) -> Iterator[float]:
    """Write what the batch found into the segmentation node of the case, in small steps.

    Yields:
        The share that is done.
    """
    settings = {"volumes": [volume.GetName() for volume in volumes], **voxels.settings}
    yield from SegmentationWriter(settings=settings).steps(
        voxels.result, readVolume(volumes[0]), segmentation
    )
