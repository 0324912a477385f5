"""``.seg.nrrd`` files carry names, colours and codes, for 3D Slicer and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicerio

from medcontext import io
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.io.nrrd import save_nrrd
from medcontext.labels import IGNORE, Code, Label, LabelSet, Terminology

STRUCTURE = Code("SCT", "123037004", "Anatomical Structure")
LABELS = LabelSet(
    (
        Label(
            1,
            "Left kidney",
            (185, 102, 83),
            Terminology(STRUCTURE, Code("SCT", "64033007", "Kidney"), Code("SCT", "7771000", "Left")),
        ),
        Label(
            4,
            "Mass",
            (255, 0, 128),
            Terminology(
                Code("SCT", "49755003", "Morphologically Altered Structure"),
                Code("SCT", "4147007", "Mass"),
                region=Code("SCT", "23451007", "Adrenal gland"),
            ),
        ),
        Label(7, "Niere, rechts (größer) 肾", (1, 2, 3)),
    )
)
OBLIQUE = np.array([[0.6, -0.8, 0, 10.1], [0.8, 0.6, 0, -20.2], [0, 0, -3.5, 1 / 3], [0, 0, 0, 1]])


@pytest.fixture
def labelmap() -> Volume:
    array = np.random.default_rng(0).choice(np.array([0, 1, 4, 7], np.uint8), (1, 5, 6, 7))
    return Volume(array, Geometry((5, 6, 7), OBLIQUE))


def test_slicerio_reads_what_was_written(tmp_path: Path, labelmap: Volume) -> None:
    path = tmp_path / "case.seg.nrrd"
    io.write_segmentation(path, labelmap, LABELS, {"MedContext_Model": "kidneys 1.0"})
    read = slicerio.read_segmentation(str(path))
    np.testing.assert_array_equal(read["voxels"], labelmap.array[0].T)
    np.testing.assert_allclose(read["ijkToLPS"], OBLIQUE, atol=1e-12)
    assert read["MedContext_Model"] == "kidneys 1.0"
    assert [s["labelValue"] for s in read["segments"]] == [1, 4, 7]
    assert len({s["id"] for s in read["segments"]}) == 3
    kidney, mass, plain = read["segments"]
    assert kidney["name"] == "Left kidney"
    np.testing.assert_allclose(kidney["color"], np.array([185, 102, 83]) / 255, atol=1e-5)
    assert kidney["terminology"]["type"] == ["SCT", "64033007", "Kidney"]
    assert kidney["terminology"]["category"] == ["SCT", "123037004", "Anatomical Structure"]
    assert kidney["terminology"]["typeModifier"] == ["SCT", "7771000", "Left"]
    assert mass["terminology"]["anatomicRegion"] == ["SCT", "23451007", "Adrenal gland"]
    assert plain["terminology"]["type"] == ["SCT", "85756007", "Tissue"]


def test_terminology_is_spelled_as_3d_slicer_spells_it(tmp_path: Path, labelmap: Volume) -> None:
    path = tmp_path / "case.seg.nrrd"
    io.write_segmentation(path, labelmap, LABELS)
    header = path.read_bytes().split(b"\n\n")[0].decode("utf-8")
    assert (
        "Segment0_Tags:=TerminologyEntry:Segmentation category and type - 3D Slicer General Anatomy list"
        "~SCT^123037004^Anatomical Structure~SCT^64033007^Kidney~SCT^7771000^Left"
        "~Anatomic codes - DICOM master list~^^~^^|" in header
    )


def test_labels_come_back(tmp_path: Path, labelmap: Volume) -> None:
    path = tmp_path / "case.seg.nrrd"
    io.write_segmentation(path, labelmap, LABELS)
    again, labels = io.read_segmentation(path)
    np.testing.assert_array_equal(again.array, labelmap.array)
    np.testing.assert_allclose(again.geometry.affine, OBLIQUE, atol=1e-12)
    assert labels.labels[:2] == LABELS.labels[:2]
    assert labels.labels[2].name == "Niere, rechts (größer) 肾"


def test_ignored_voxels_become_background(tmp_path: Path, labelmap: Volume) -> None:
    array = labelmap.array.copy()
    array[0, 0] = IGNORE
    io.write_segmentation(tmp_path / "a.seg.nrrd", Volume(array, labelmap.geometry), LABELS)
    assert (io.read_labelmap(tmp_path / "a.seg.nrrd").array[0, 0] == 0).all()


def test_values_without_a_label_are_refused(tmp_path: Path, labelmap: Volume) -> None:
    with pytest.raises(InputError, match=r"values without a label: \[7\]"):
        io.write_segmentation(tmp_path / "a.seg.nrrd", labelmap, LabelSet(LABELS.labels[:2]))
    with pytest.raises(InputError, match=r"does not end in \.seg\.nrrd"):
        io.write_segmentation(tmp_path / "a.nrrd", labelmap, LABELS)
    assert list(tmp_path.iterdir()) == []


def test_a_segmentation_cropped_by_3d_slicer_fits_its_image(tmp_path: Path, labelmap: Volume) -> None:
    """3D Slicer stores the box around what was painted, often a single slice."""
    painted = labelmap.array.copy()
    painted[0, :2] = 0
    painted[0, 3:] = 0
    box = Volume(painted, labelmap.geometry).crop((2, 0, 0), (1, 6, 7))
    io.write_segmentation(tmp_path / "a.seg.nrrd", box, LABELS)
    whole = io.read_labelmap(tmp_path / "a.seg.nrrd", labelmap.geometry)
    np.testing.assert_array_equal(whole.array, painted)
    np.testing.assert_array_equal(whole.geometry.affine, OBLIQUE)
    with pytest.raises(InputError, match="outside of its image"):
        io.read_labelmap(tmp_path / "a.seg.nrrd", labelmap.geometry.cropped((0, 0, 0), (2, 6, 7)))
    with pytest.raises(InputError, match="is not that of its image"):
        io.read_labelmap(tmp_path / "a.seg.nrrd", labelmap.geometry.resampled((10, 12, 14)))


def layered(path: Path, overlap: bool) -> None:
    """Two segments of value 1 in two layers, as 3D Slicer stores segments that overlap or once did."""
    voxels = np.zeros((2, 5, 4, 3), np.uint8)
    voxels[0, ..., 0], voxels[1, ..., 0 if overlap else 1] = 1, 1
    segments = [
        {"id": name, "name": name, "labelValue": 1, "layer": layer, "color": [1.0, 0.5, 0.0]}
        for layer, name in enumerate(("liver", "vessel"))
    ]
    slicerio.write_segmentation(str(path), {"voxels": voxels, "ijkToLPS": OBLIQUE, "segments": segments})


def test_layers_are_numbered_anew(tmp_path: Path) -> None:
    layered(tmp_path / "a.seg.nrrd", overlap=False)
    labelmap, labels = io.read_segmentation(tmp_path / "a.seg.nrrd")
    assert {label.value: label.name for label in labels} == {1: "liver", 2: "vessel"}
    np.testing.assert_array_equal(labelmap.array[0, :, 0, 0], [1, 2, 0])
    np.testing.assert_allclose(labelmap.geometry.affine, OBLIQUE, atol=1e-12)


def test_overlapping_segments_are_refused(tmp_path: Path) -> None:
    layered(tmp_path / "a.seg.nrrd", overlap=True)
    with pytest.raises(InputError, match="segment 'vessel' overlaps"):
        io.read_labelmap(tmp_path / "a.seg.nrrd")


def test_a_volume_is_no_segmentation(tmp_path: Path, labelmap: Volume) -> None:
    save_nrrd(tmp_path / "a.seg.nrrd", labelmap)
    with pytest.raises(InputError, match="no segments"):
        io.read_labelmap(tmp_path / "a.seg.nrrd")
