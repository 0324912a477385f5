"""Cases of a store in the scene: beside what is there, named and coloured, where the scan lies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk

from harness.runs import CASE, SAMPLE, sampleLabels, segmentArrays
from medcontext.case_list import CaseSummary, StoreSummary, read_store
from medcontext.data.adding import NewCase
from medcontext.data.case import Annotation
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.labels import Code, Label, LabelSet, Terminology
from MedContextSegmentLib.Learn.AddCase import AddCaseRun, propose
from MedContextSegmentLib.Learn.OpenCase import openAllOfCase, openCase
from MedContextSegmentLib.Scene.Terminology import segmentTerminology

TERMS = Terminology(Code("SCT", "123037004", "Anatomical Structure"), Code("SCT", "5366008", "Hippocampus"))
LABELS = LabelSet((Label(1, "front", (250, 10, 20), TERMS), Label(2, "back", (30, 200, 10))))
IMAGE, LABEL = SAMPLE / "images" / CASE, SAMPLE / "labels" / CASE


@pytest.fixture
def store(tmp_path: Path) -> CaseStore:
    store = CaseStore.create(tmp_path / "störe", LABELS, [("T1", "MR")])
    store.add_case(NewCase([IMAGE], LABEL, case_id="one"))
    return store


def summary(store: CaseStore, case: str) -> tuple[StoreSummary, CaseSummary]:
    found = read_store(store.folder)
    return found, next(one for one in found.cases if one.id == case)


def rasOf(node: Any, kji: tuple[int, int, int]) -> np.ndarray:
    """World RAS of a voxel."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return (slicer.util.arrayFromVTKMatrix(matrix) @ (*kji[::-1], 1))[:3]


def indexOf(node: Any, ras: np.ndarray) -> tuple[int, ...]:
    """Index ``(k, j, i)`` of the voxel at a place."""
    matrix = vtk.vtkMatrix4x4()
    node.GetRASToIJKMatrix(matrix)
    found = (slicer.util.arrayFromVTKMatrix(matrix) @ (*ras, 1))[:3]
    np.testing.assert_allclose(found, np.round(found), atol=1e-3)
    return tuple(np.round(found).astype(int)[::-1].tolist())


def test_image_and_labels_come_with_names_colors_and_codes(store: CaseStore) -> None:
    volume, segmentation = openCase(*summary(store, "one"))
    assert (volume.GetName(), segmentation.GetName()) == ("one", "one segmentation")
    image = sitk.ReadImage(str(IMAGE))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), sitk.GetArrayFromImage(image))
    place = image.TransformIndexToPhysicalPoint((3, 5, 7))
    np.testing.assert_allclose(rasOf(volume, (7, 5, 3)), np.array(place) * [-1, -1, 1], atol=1e-4)
    arrays = segmentArrays(segmentation, volume)
    assert list(arrays) == ["front", "back"]
    np.testing.assert_array_equal(arrays["front"], sampleLabels() == 1)
    np.testing.assert_array_equal(arrays["back"], sampleLabels() == 2)
    first = segmentation.GetSegmentation().GetNthSegment(0)
    np.testing.assert_allclose(first.GetColor(), (250 / 255, 10 / 255, 20 / 255), atol=0.003)
    assert segmentTerminology(first) == TERMS.to_json()


def test_what_is_in_the_scene_stays(store: CaseStore, screen: tuple[Any, Any]) -> None:
    before = {node.GetID() for node in screen}
    openCase(*summary(store, "one"))
    assert all(slicer.mrmlScene.GetNodeByID(name) is not None for name in before)
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 2


def test_the_same_case_again_is_the_one_that_is_there_with_what_the_person_changed(
    store: CaseStore, app: Any
) -> None:
    volume, segmentation = openCase(*summary(store, "one"))
    segmentation.GetSegmentation().AddEmptySegment("", "mine")
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    assert openCase(*summary(store, "one")) == (volume, segmentation)
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    slicer.mrmlScene.RemoveNode(segmentation)
    again, other = openCase(*summary(store, "one"))
    assert again is volume
    assert other.GetSegmentation().GetNumberOfSegments() == 2
    assert app is not None


def test_a_label_that_was_replaced_meanwhile_is_read_anew(store: CaseStore) -> None:
    volume, segmentation = openCase(*summary(store, "one"))
    drawn = sitk.ReadImage(str(LABEL))
    swapped = sitk.GetImageFromArray(np.where(sitk.GetArrayFromImage(drawn) == 1, 1, 0).astype(np.uint8))
    swapped.CopyInformation(drawn)
    sitk.WriteImage(swapped, str(store.folder / "new.nii.gz"))
    case = summary(store, "one")[1]
    assert case.label is not None
    shutil.move(store.folder / "new.nii.gz", case.label)
    again, other = openCase(*summary(store, "one"))
    assert again is volume
    assert other is not segmentation
    assert not segmentArrays(other, volume)["back"].any()


def test_what_nobody_annotated_is_empty(store: CaseStore) -> None:
    case = summary(store, "one")[1]
    shutil.copy(IMAGE, store.folder / "part.nii.gz")
    assert case.label is not None
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(LABEL)))
    array[array == 2] = 0
    array[:10] = 255  # another program's way to say that nobody looked
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(sitk.ReadImage(str(LABEL)))
    sitk.WriteImage(image, str(case.label))
    partial = CaseSummary("one", "annotated", case.images, case.label, labels=(1,))
    volume, segmentation = openCase(read_store(store.folder), partial)
    arrays = segmentArrays(segmentation, volume)
    assert list(arrays) == ["front"]
    np.testing.assert_array_equal(arrays["front"], array == 1)


def test_a_label_that_is_annotated_and_absent_is_an_empty_segment(store: CaseStore) -> None:
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(IMAGE))) + 5
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(sitk.ReadImage(str(IMAGE)))
    sitk.WriteImage(image, str(store.folder / "other.nii.gz"))
    labels = sitk.ReadImage(str(LABEL)) == 1
    sitk.WriteImage(labels, str(store.folder / "labels.nii.gz"))
    new = NewCase(
        [store.folder / "other.nii.gz"],
        store.folder / "labels.nii.gz",
        annotated=Annotation((1, 2)),
        case_id="two",
    )
    store.add_case(new)
    volume, segmentation = openCase(*summary(store, "two"))
    assert not segmentArrays(segmentation, volume)["back"].any()
    assert segmentArrays(segmentation, volume)["front"].any()


def test_an_unlabelled_scan_is_opened_where_it_lies(store: CaseStore) -> None:
    other = SAMPLE / "images" / "hippocampus_011.nii.gz"
    store.link([other])
    (case,) = [one for one in read_store(store.folder).cases if one.kind == "unlabelled"]
    volume, segmentation = openCase(read_store(store.folder), case)
    assert segmentation is None
    assert Path(volume.GetStorageNode().GetFullNameFromFileName()) == other


def test_a_dicom_folder_is_read_as_one_volume(store: CaseStore, tmp_path: Path, shared_data: Path) -> None:
    series = tmp_path / "series"
    source = shared_data / "dicom_oddities" / "mr_hippocrop_study1"
    shutil.copytree(source, series)
    case = CaseSummary("scan", "unlabelled", (_folderWithFiles(series),), linked=True)
    volume, segmentation = openCase(read_store(store.folder), case)
    assert segmentation is None
    slices = sum(1 for path in _folderWithFiles(series).iterdir() if path.is_file())
    assert min(volume.GetImageData().GetDimensions()) > 1
    assert slices in volume.GetImageData().GetDimensions()


def _folderWithFiles(folder: Path) -> Path:
    while not any(path.is_file() and path.suffix != ".json" for path in folder.iterdir()):
        folder = next(path for path in sorted(folder.iterdir()) if path.is_dir())
    return folder


def test_channels_in_several_files_are_several_volumes(tmp_path: Path) -> None:
    store = CaseStore.create(tmp_path / "two", LABELS, [("T1", "MR"), ("FLAIR", "MR")])
    second = tmp_path / "b.nii.gz"
    image = sitk.ReadImage(str(IMAGE))
    sitk.WriteImage(sitk.Cast(image, sitk.sitkFloat32) * 2, str(second))
    store.add_case(NewCase([IMAGE, second], LABEL, case_id="pair"))
    opened = openAllOfCase(*summary(store, "pair"))
    assert [node.GetName() for node in opened.volumes] == ["pair T1", "pair FLAIR"]
    assert openCase(*summary(store, "pair")) == (opened.volumes[0], opened.segmentation)


@pytest.mark.parametrize("side", [1, -1], ids=["right-handed", "left-handed"])
def test_channels_in_one_file_are_several_volumes(tmp_path: Path, side: int) -> None:
    store = CaseStore.create(tmp_path / "two", LABELS, [("T1", "MR"), ("FLAIR", "MR")])
    rng = np.random.default_rng(3)
    arrays = [rng.integers(0, 500, (6, 7, 8)).astype(np.int16) for _channel in range(2)]
    parts = [sitk.GetImageFromArray(array) for array in arrays]
    for part in parts:
        part.SetSpacing((1.5, 2.0, 3.0))
        part.SetOrigin((-10, 20, 5))
        part.SetDirection((0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, side))
    sitk.WriteImage(sitk.JoinSeries(parts), str(store.folder / "both.nii.gz"))
    case = CaseSummary("both", "unlabelled", (store.folder / "both.nii.gz",))
    opened = openAllOfCase(read_store(store.folder), case)
    for node, array in zip(opened.volumes, arrays, strict=True):
        for kji in ((2, 5, 3), (0, 0, 0), (5, 6, 7)):
            place = np.array(parts[0].TransformIndexToPhysicalPoint(kji[::-1])) * [-1, -1, 1]
            assert slicer.util.arrayFromVolume(node)[indexOf(node, place)] == array[kji]
    assert openAllOfCase(read_store(store.folder), case).volumes == opened.volumes


@pytest.mark.parametrize("gone", ["image", "label"])
def test_a_file_that_is_gone_is_one_sentence_and_the_scene_is_as_it_was(store: CaseStore, gone: str) -> None:
    found, case = summary(store, "one")
    path = case.images[0] if gone == "image" else case.label
    assert path is not None
    path.unlink()
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(InputError, match="is not there") as error:
        openCase(found, case)
    assert str(path) in error.value.message
    assert error.value.hint
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes


@pytest.mark.parametrize("broken", ["image", "label"])
def test_a_broken_file_is_one_sentence_and_the_scene_is_as_it_was(store: CaseStore, broken: str) -> None:
    found, case = summary(store, "one")
    path = case.images[0] if broken == "image" else case.label
    assert path is not None
    path.write_bytes(b"no image")
    with pytest.raises(InputError, match="cannot be read"):
        openCase(found, case)
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


def test_a_case_added_from_the_screen_comes_back_as_it_was(
    worker: Any, root: Path, tmp_path: Path, finish: Callable[[Any], Any], screen: tuple[Any, Any]
) -> None:
    volume, segmentation = screen
    finish(AddCaseRun(worker, propose([volume], segmentation, None), tmp_path / "new", None, root))
    before = segmentArrays(segmentation, volume)
    ras = rasOf(volume, (3, 4, 5))
    slicer.mrmlScene.Clear(0)
    store = read_store(tmp_path / "new")
    volume, segmentation = openCase(store, store.cases[0])
    np.testing.assert_allclose(rasOf(volume, (3, 4, 5)), ras, atol=1e-3)
    after = segmentArrays(segmentation, volume)
    assert list(after) == list(before)
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)
