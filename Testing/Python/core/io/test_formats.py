"""Images come in with the values and the place their files say; labelmaps go out on exactly that grid."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from medcontext import io
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
OBLIQUE = np.array(
    [[0.468, -0.312, 0.45, -31.2], [0.37, 0.39, -1.9, 44.4], [-0.05, 0.33, 2.2, 12.3], [0, 0, 0, 1.0]]
)
OBLIQUE[:3, :3] = np.linalg.qr(OBLIQUE[:3, :3])[0] * [0.7, 0.7, 3.0]
SHEARED = np.array([[1, 0.2, 0, -10], [0, 1, 0.1, -20], [0, 0, 2, 30], [0, 0, 0, 1.0]])
ODD_FILES = [
    "brain_tumour_brats2013/images/pat0004_1_flair.nii.gz",  # int16 with a slope of 0.005
    "small_lesions_pyradiomics/images/brain1.nii.gz",  # LAS, 0.78 x 0.78 x 6.5 mm
    "brain_anatomy/images/voxelmorph_t1.nii.gz",  # LIA
    "ct_torso/images/cta_aorta_crop.nii.gz",
    "ssl_unlabelled/images/mr_prostatex0000_t2.nii.gz",  # oblique
    "ssl_unlabelled/images/mr_ms_03_t1w.nii.gz",  # oblique, its qform cannot be told exactly in float32
    "hippocampus/images/hippocampus_001.nii.gz",
]
ENDINGS = [".nii.gz", ".nii", ".nrrd", ".mha"]
Warned = tuple[Reporter, list[str]]


def itk_affine(path: Path) -> np.ndarray:
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return affine


def labels_on(geometry: Geometry) -> Volume:
    array = np.random.default_rng(0).integers(0, 4, (1, *geometry.shape)).astype(np.uint8)
    return Volume(array, geometry)


@pytest.mark.parametrize("name", ODD_FILES)
def test_real_files_read_like_nibabel_and_itk(shared_data: Path, name: str) -> None:
    path = shared_data / name
    volume = io.read_volume(path)
    reference = nibabel.load(path)
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array[0], reference.get_fdata(dtype=np.float32).T, rtol=1e-6)
    np.testing.assert_allclose(volume.geometry.affine, RAS @ reference.affine, atol=1e-6)
    np.testing.assert_allclose(volume.geometry.affine, itk_affine(path), atol=1e-6)


@pytest.mark.parametrize("name", ODD_FILES)
def test_labelmaps_leave_on_the_exact_grid_of_a_real_image(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    geometry = io.read_volume(shared_data / name).geometry
    start, small = (1, 1, 1), Geometry((3, 4, 5), geometry.affine)
    labelmap = labels_on(small.cropped(start, small.shape))
    for ending in ENDINGS:
        path = tmp_path / f"out{ending.replace('.', '_')}{ending}"
        io.write_labelmap(path, labelmap)
        again = io.read_labelmap(path, labelmap.geometry)
        np.testing.assert_array_equal(again.array, labelmap.array)
        tolerance = 1e-6 if "nii" not in ending else 1e-6 * max(1, np.abs(labelmap.geometry.origin).max())
        np.testing.assert_allclose(
            io.read_labelmap(path).geometry.affine, labelmap.geometry.affine, atol=tolerance
        )


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "affine", [OBLIQUE, OBLIQUE @ np.diag([1, -1, 1, 1])], ids=["oblique", "left-handed"]
)
def test_other_programs_see_the_same_grid_and_values(tmp_path: Path, ending: str, affine: np.ndarray) -> None:
    affine = affine.astype(np.float32).astype(np.float64)  # what NIfTI can hold
    labelmap = labels_on(Geometry((6, 7, 8), affine))
    path = tmp_path / f"a b ü{ending}"
    io.write_labelmap(path, labelmap)
    np.testing.assert_allclose(io.read_labelmap(path).geometry.affine, affine, atol=1e-6)
    np.testing.assert_allclose(itk_affine(path), affine, atol=1e-6)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), labelmap.array[0])
    if "nii" in ending:
        header = nibabel.load(path).header
        np.testing.assert_allclose(RAS @ header.get_sform(), affine, atol=1e-6)
        np.testing.assert_allclose(RAS @ header.get_qform(), affine, atol=1e-5)
        np.testing.assert_array_equal(np.asarray(nibabel.load(path).dataobj), labelmap.array[0].T)


@pytest.mark.parametrize("ending", ENDINGS)
def test_sheared_axes_are_kept(tmp_path: Path, ending: str) -> None:
    volume = Volume(
        np.random.default_rng(0).normal(size=(1, 4, 5, 6)).astype(np.float32), Geometry((4, 5, 6), SHEARED)
    )
    io.write_volume(tmp_path / f"a{ending}", volume)
    again = io.read_volume(tmp_path / f"a{ending}")
    np.testing.assert_allclose(again.geometry.affine, SHEARED, atol=1e-6)
    np.testing.assert_array_equal(again.array, volume.array)


def test_sheared_nifti_of_another_program_is_read_with_its_true_axes(tmp_path: Path) -> None:
    values = np.arange(120, dtype=np.int16).reshape(6, 5, 4)
    image = nibabel.Nifti1Image(values, RAS @ SHEARED)
    image.set_sform(RAS @ SHEARED, 1)
    image.set_qform(None, 0)
    image.to_filename(tmp_path / "sheared.nii.gz")
    volume = io.read_volume(tmp_path / "sheared.nii.gz")
    np.testing.assert_allclose(volume.geometry.affine, SHEARED, atol=1e-6)
    np.testing.assert_array_equal(volume.array[0], values.T)


@pytest.mark.parametrize("ending", ENDINGS)
def test_several_channels_in_one_file(tmp_path: Path, ending: str) -> None:
    array = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float32)
    io.write_volume(tmp_path / f"a{ending}", Volume(array, Geometry((4, 5, 6), OBLIQUE)))
    again = io.read_volume(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(again.array, array)
    np.testing.assert_allclose(again.geometry.affine, OBLIQUE, atol=1e-5)


@pytest.mark.parametrize("axes", [(6, 5, 4, 2), (6, 5, 4, 1, 2), (6, 5, 4, 1)], ids=["4D", "5D", "one of 4D"])
def test_nifti_axes_beyond_the_third_are_channels(tmp_path: Path, axes: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=axes).astype(np.float32)
    nibabel.Nifti1Image(values, np.eye(4)).to_filename(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(io.read_volume(tmp_path / "a.nii.gz").array, values.T.reshape(-1, 4, 5, 6))


@pytest.mark.parametrize("kind", ["big-endian", "NIfTI-2", "unpacked .nii.gz"])
def test_unusual_nifti_files(tmp_path: Path, kind: str) -> None:
    values = np.arange(120, dtype=np.int16).reshape(6, 5, 4)
    image = (nibabel.Nifti2Image if kind == "NIfTI-2" else nibabel.Nifti1Image)(values, RAS @ OBLIQUE)
    if kind == "big-endian":
        image = nibabel.Nifti1Image(values, RAS @ OBLIQUE, image.header.as_byteswapped(">"))
    image.to_filename(tmp_path / "a.nii")
    path = (tmp_path / "a.nii").rename(tmp_path / "b.nii.gz") if "unpacked" in kind else tmp_path / "a.nii"
    volume = io.read_volume(path)
    np.testing.assert_array_equal(volume.array[0], values.T)
    np.testing.assert_allclose(volume.geometry.affine, OBLIQUE, atol=1e-5)


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((6, 5, 4)), np.eye(4))
    image.header.set_data_dtype(np.int16)
    values = np.linspace(-3, 9, 120).reshape(6, 5, 4)
    nibabel.Nifti1Image(values, np.eye(4), image.header).to_filename(tmp_path / "a.nii.gz")
    assert nibabel.load(tmp_path / "a.nii.gz").dataobj.slope != 1
    np.testing.assert_allclose(io.read_volume(tmp_path / "a.nii.gz").array[0], values.T, atol=1e-3)


def test_unpacked_and_packed_file_of_one_name_are_not_mixed_up(tmp_path: Path) -> None:
    """ITK reads the voxels of ``a.nii`` when asked for ``a.nii.gz`` beside it."""
    geometry = Geometry.from_spacing((4, 4, 4))
    for value, ending in ((1, ".nii"), (2, ".nii.gz")):
        io.write_labelmap(tmp_path / f"a{ending}", Volume(np.full((1, 4, 4, 4), value, np.uint8), geometry))
    assert (io.read_volume(tmp_path / "a.nii").array == 1).all()
    assert (io.read_volume(tmp_path / "a.nii.gz").array == 2).all()


def test_two_placements_that_disagree_are_told(tmp_path: Path, warned: Warned) -> None:
    reporter, messages = warned
    image = nibabel.Nifti1Image(np.zeros((6, 5, 4), np.int16), np.eye(4))
    moved = np.eye(4)
    moved[0, 3] = 7
    image.set_sform(moved, 2)
    image.set_qform(np.eye(4), 1)
    image.to_filename(tmp_path / "a.nii.gz")
    volume = io.read_volume(tmp_path / "a.nii.gz", reporter)
    np.testing.assert_allclose(volume.geometry.affine, itk_affine(tmp_path / "a.nii.gz"))
    assert len(messages) == 1
    assert "differ by up to 7 mm" in messages[0]


def test_an_image_that_does_not_say_how_the_patient_lay_is_told(tmp_path: Path, warned: Warned) -> None:
    reporter, messages = warned
    image = nibabel.Nifti1Image(np.zeros((6, 5, 4), np.int16), None)
    image.to_filename(tmp_path / "a.nii.gz")
    io.read_volume(tmp_path / "a.nii.gz", reporter)
    assert len(messages) == 1
    assert "left and right may be swapped" in messages[0]


def test_nrrd_in_ras_is_turned_to_lps(tmp_path: Path) -> None:
    lines = [
        "NRRD0004", "type: unsigned char", "dimension: 3", "space: right-anterior-superior", "sizes: 2 2 2",
        "space directions: (2,0,0) (0,3,0) (0,0,4)", "kinds: domain domain domain", "encoding: raw",
        "space origin: (1,2,3)", "", "",
    ]  # fmt: skip
    (tmp_path / "a.nrrd").write_bytes("\n".join(lines).encode() + bytes(range(8)))
    volume = io.read_volume(tmp_path / "a.nrrd")
    np.testing.assert_allclose(
        volume.geometry.affine, [[-2, 0, 0, -1], [0, -3, 0, -2], [0, 0, 4, 3], [0, 0, 0, 1]]
    )
    np.testing.assert_array_equal(volume.array.ravel(), range(8))
