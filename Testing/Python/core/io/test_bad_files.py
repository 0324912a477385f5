"""A file that cannot be used is refused with one sentence that names it, whatever is wrong with it."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from medcontext import io
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume

ENDINGS = [".nii.gz", ".nii", ".nrrd", ".mha"]


def refused(path: Path) -> str:
    """The sentence with which reading ``path`` is refused."""
    with pytest.raises(InputError) as caught:
        io.read_volume(path)
    message = caught.value.message
    assert str(path) in message
    assert "\n" not in message
    assert "ITK" not in message
    return message


def test_a_missing_segmentation_is_refused_alike(tmp_path: Path) -> None:
    for read in (io.read_segmentation, io.read_labelmap):
        with pytest.raises(InputError, match="does not exist"):
            read(tmp_path / "a.seg.nrrd")


@pytest.fixture(params=ENDINGS)
def good(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An image of noise in each format."""
    path = tmp_path / f"image{request.param}"
    noise = np.random.default_rng(0).integers(0, 2000, (1, 12, 13, 14)).astype(np.int16)
    io.write_volume(path, Volume(noise, Geometry.from_spacing((12, 13, 14), (2, 1, 1))))
    io.read_volume(path)
    return path


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.99])
def test_truncated(good: Path, share: float) -> None:
    content = good.read_bytes()
    good.write_bytes(content[: max(1, int(len(content) * share))])
    refused(good)


def test_without_its_last_bytes(good: Path) -> None:
    good.write_bytes(good.read_bytes()[:-3])
    assert "truncated" in refused(good)


def test_empty(good: Path) -> None:
    good.write_bytes(b"")
    assert "empty (0 bytes)" in refused(good)


def test_text_with_the_name_of_an_image(good: Path) -> None:
    good.write_text("patient 17: see the other folder\n" * 50)
    refused(good)


def test_packed_text_with_the_name_of_an_image(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(b"patient 17\n" * 90))
    assert "not a NIfTI file" in refused(path)


NRRD = (
    "NRRD0004\ntype: float\ndimension: 3\nspace: left-posterior-superior\nsizes: 99999 99999 99999\n"
    "space directions: (1,0,0) (0,1,0) (0,0,1)\nkinds: domain domain domain\nendian: little\n"
    "encoding: {}\nspace origin: (0,0,0)\n\n"
)
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = {}\nDimSize = 99999 99999 99999\n"
    "ElementType = MET_FLOAT\nElementDataFile = LOCAL\n"
)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("raw.nrrd", NRRD.format("raw")),
        ("packed.nrrd", NRRD.format("gzip")),
        ("raw.mha", META.format("False")),
        ("packed.mha", META.format("True")),
    ],
)
def test_a_header_that_claims_more_than_its_file_can_hold_costs_no_memory(
    tmp_path: Path, name: str, header: str
) -> None:
    (tmp_path / name).write_bytes(header.encode() + gzip.compress(bytes(1000)))
    assert "truncated, damaged" in refused(tmp_path / name)


def test_missing(good: Path) -> None:
    good.unlink()
    assert "does not exist" in refused(good)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_damaged_in_the_middle(tmp_path: Path, ending: str) -> None:
    """ITK unpacks such files to wrong voxels without a word."""
    path = tmp_path / f"a{ending}"
    noise = np.random.default_rng(0).integers(0, 50, (1, 19, 19, 19)).astype(np.uint8)
    io.write_volume(path, Volume(noise, Geometry.from_spacing((19, 19, 19))))
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 0x55
    path.write_bytes(content)
    assert "damaged" in refused(path)


def test_header_that_claims_more_than_the_file_can_hold(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_shape((30000, 30000, 30000))
    header.set_data_dtype(np.float64)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(header.binaryblock + bytes(2000)))
    assert "damaged" in refused(path)


@pytest.mark.parametrize("offset", [np.nan, np.inf, -1e30])
def test_header_that_does_not_say_where_the_voxels_begin(tmp_path: Path, offset: float) -> None:
    path = tmp_path / "a.nii"
    io.write_volume(path, Volume(np.ones((1, 4, 4, 4), np.uint8), Geometry.from_spacing((4, 4, 4))))
    content = path.read_bytes()
    path.write_bytes(content[:108] + np.float32(offset).tobytes() + content[112:])
    assert "damaged" in refused(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("ending", ENDINGS)
def test_voxels_that_are_no_numbers(tmp_path: Path, ending: str, value: float) -> None:
    array = np.zeros((1, 4, 4, 4), np.float32)
    array[0, 1, 2] = value
    path = tmp_path / f"a{ending}"
    io.write_volume(path, Volume(array, Geometry.from_spacing((4, 4, 4))))
    assert "4 voxels that are not finite" in refused(path)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("shape", [(8, 9), (1, 8, 9)], ids=["two axes", "one slice"])
def test_2d_image(tmp_path: Path, ending: str, shape: tuple[int, ...]) -> None:
    path = tmp_path / f"a{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros(shape, np.uint8)), str(path))
    assert "2D" in refused(path)


def test_colour_image(tmp_path: Path) -> None:
    rgb = np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.Nifti1Image(rgb, np.eye(4)).to_filename(tmp_path / "a.nii.gz")
    assert "colour" in refused(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("name", ["a.png", "a.docx", "noending"])
def test_other_kinds_of_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x89PNG" * 100)
    assert "allowed are NIfTI" in refused(tmp_path / name)


def test_empty_folder(tmp_path: Path) -> None:
    assert "no DICOM image" in refused(tmp_path)


def test_no_image_at_all() -> None:
    with pytest.raises(InputError, match="No image was given"):
        io.read_image([])


def test_flat_axes(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), None)
    image.header["sform_code"] = 1
    image.header["srow_x"], image.header["srow_y"], image.header["srow_z"] = (
        (1, 0, 0, 0),
        (0, 1, 0, 0),
        (1, 1, 0, 0),
    )
    image.to_filename(tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match="axes that do not span a volume"):
        io.read_volume(tmp_path / "a.nii.gz")
