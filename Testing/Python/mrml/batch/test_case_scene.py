"""One case after the other in the scene, with nothing left of the one before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import slicer

from harness.runs import segmentArrays
from MedContextSegmentLib.Batch.CaseScene import CaseScene, CaseVoxels
from MedContextSegmentLib.Worker.Results import SegmentationResult, SegmentLabel

SHAPE = (6, 8, 10)
BOX = ((1, 3), (2, 5), (4, 6))
MODEL = {"id": "m", "version": "1", "title": "M", "sha256": "ab", "license": ""}


@pytest.fixture
def cases() -> Iterator[CaseScene]:
    case = CaseScene()
    yield case
    case.close()


def voxels(case: str, *titles: str, extent: object = BOX) -> CaseVoxels:
    """A case with a box of *Liver* and no *Spleen*."""
    labelmap = np.zeros(SHAPE, np.uint8)
    if extent is not None:
        labelmap[1:3, 2:5, 4:6] = 1
    liver = SegmentLabel(1, "Liver", (200, 0, 0), None, BOX if extent else None, int(labelmap.sum()), 1.0)
    spleen = SegmentLabel(2, "Spleen", (0, 200, 0), None, None, 0, 0.0)
    result = SegmentationResult(labelmap, None, (liver, spleen), MODEL, "CPU", "fp32", {}, {}, True)
    affine = np.diag([-1.0, -1.0, 3.0, 1.0])
    affine[:3, 3] = 500, -300, 20  # far from the middle of the room
    channels = [(title, np.full(SHAPE, number, np.int16)) for number, title in enumerate(titles)]
    return CaseVoxels(case, channels, affine, result, {"certainty": "entropy"})


def test_each_channel_is_a_volume(cases: CaseScene) -> None:
    first, segmentation = cases.show(voxels("patient 1", "FLAIR", "T1c"))
    names = [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")]
    assert names == ["patient 1 FLAIR", "patient 1 T1c"]
    assert first.GetName() == names[0]
    assert segmentation.GetName() == "patient 1 segmentation"


def test_a_structure_that_was_not_found_is_an_empty_segment(cases: CaseScene) -> None:
    volume, segmentation = cases.show(voxels("a", "T1"))
    found = segmentArrays(segmentation, volume)
    assert [name for name, mask in found.items() if mask.any()] == ["Liver"]
    assert list(found) == ["Liver", "Spleen"]
    volume, segmentation = cases.show(voxels("nothing", "T1", extent=None))
    assert not any(mask.any() for mask in segmentArrays(segmentation, volume).values())


def test_nothing_stays_of_the_case_before(cases: CaseScene) -> None:
    counts = set()
    for number in range(5):
        cases.show(voxels(f"case {number}", "T1"))
        counts.add(slicer.mrmlScene.GetNumberOfNodes())
        (volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        assert volume.GetName() == f"case {number}"
    assert len(counts) == 1


def test_views_show_all_of_the_scan_wherever_it_lies(cases: CaseScene) -> None:
    volume, _segmentation = cases.show(voxels("far away", "T1"))
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    middle = [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
    for name in ("Red", "Green", "Yellow"):
        node = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode")
        composite = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode")
        assert composite.GetBackgroundVolumeID() == volume.GetID()
        place = [node.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
        assert np.abs(np.subtract(place, middle)).max() < 5
        assert max(node.GetFieldOfView()) < 50
    directions = {
        name: slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode").GetOrientation()
        for name in ("Red", "Green", "Yellow")
    }
    assert directions == {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
