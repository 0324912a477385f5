"""Pictures in, with everything that such files may hold; masks in, labels out."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry
from medcontext.io.pictures import MOST_PIXELS, is_picture, read_mask, read_picture, write_labels_picture

Warned = tuple[Reporter, list[str]]

COLOUR = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "webp"])
def test_a_colour_picture_is_three_channels_of_one_slice(tmp_path: Path, ending: str, warned: Warned) -> None:
    path = tmp_path / f"bild ä.{ending}"
    Image.fromarray(COLOUR).save(path, **({"lossless": True} if ending == "webp" else {}))
    volume = read_picture(path, warned[0])
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array[:, 0], np.moveaxis(COLOUR, -1, 0))
    assert volume.spacing == (1.0, 1.0, 1.0)
    assert is_picture(path)
    assert not warned[1]
    assert not is_picture(Path("scan.nii.gz"))


def test_a_jpeg_is_read(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.jpg")
    assert read_picture(tmp_path / "a.jpg").array.shape == (3, 1, 20, 30)
    assert read_picture(str(tmp_path / "a.jpg")).array.shape == (3, 1, 20, 30)


def test_grey_is_one_channel_also_where_it_is_stored_as_colour(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([GREY] * 3, -1)).save(tmp_path / "three.png")
    for name in ("grey.png", "three.png"):
        np.testing.assert_array_equal(read_picture(tmp_path / name).array[0, 0], GREY)


def test_16_bit_grey_keeps_its_values(tmp_path: Path) -> None:
    wide = GREY.astype(np.uint16) * 257
    for ending in ("png", "tif"):
        Image.fromarray(wide).save(tmp_path / f"wide.{ending}")
        np.testing.assert_array_equal(read_picture(tmp_path / f"wide.{ending}").array[0, 0], wide)
    assert read_picture(tmp_path / "wide.png", as_stored=True).array.dtype == np.uint16


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bit_colour_keeps_its_values(tmp_path: Path, ending: str) -> None:
    wide = COLOUR.astype(np.uint16) * 256 + 3
    sitk.WriteImage(sitk.GetImageFromArray(wide, isVector=True), str(tmp_path / f"wide.{ending}"))
    read = read_picture(tmp_path / f"wide.{ending}")
    np.testing.assert_array_equal(read.array[:, 0], np.moveaxis(wide, -1, 0))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_an_alpha_channel_is_left_out_and_said(tmp_path: Path, mode: str, warned: Warned) -> None:
    picture = Image.fromarray(COLOUR if mode == "RGBA" else GREY).convert(mode)
    picture.putalpha(Image.fromarray(GREY))
    picture.save(tmp_path / "a.png")
    volume = read_picture(tmp_path / "a.png", warned[0])
    expected = np.moveaxis(COLOUR, -1, 0) if mode == "RGBA" else GREY[None]
    np.testing.assert_array_equal(volume.array[:, 0], expected)
    assert len(warned[1]) == 1
    assert "alpha channel" in warned[1][0]


def test_a_palette_becomes_its_colours(tmp_path: Path) -> None:
    picture = Image.fromarray(COLOUR).quantize(16)
    picture.save(tmp_path / "p.png")
    expected = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(read_picture(tmp_path / "p.png").array[:, 0], np.moveaxis(expected, -1, 0))


def test_of_several_pages_the_first_is_read_and_said(tmp_path: Path, warned: Warned) -> None:
    pages = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    for name in ("a.tif", "a.gif"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        np.testing.assert_array_equal(read_picture(tmp_path / name, warned[0]).array[0, 0], GREY)
    assert all("holds 2 pictures: only the first" in text for text in warned[1])
    assert len(warned[1]) == 2


def test_the_colours_of_a_printer_are_converted_and_said(tmp_path: Path, warned: Warned) -> None:
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "a.tif")
    np.testing.assert_array_equal(
        read_picture(tmp_path / "a.tif", warned[0]).array[:, 0], np.moveaxis(COLOUR, -1, 0)
    )
    assert "CMYK" in warned[1][0]


def test_a_picture_that_a_camera_marked_as_turned_is_turned(tmp_path: Path) -> None:
    picture = Image.fromarray(GREY)
    facts = picture.getexif()
    facts[0x0112] = 6  # to be turned by 90 degrees clockwise
    picture.save(tmp_path / "a.png", exif=facts)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").array[0, 0], np.rot90(GREY, -1))


def test_nan_is_one_sentence(tmp_path: Path) -> None:
    values = np.ones((20, 30), np.float32)
    values[3, 4] = np.nan
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="1 voxels that are not finite"):
        read_picture(tmp_path / "a.tif")


def _bomb(path: Path) -> None:
    """A PNG of a few bytes that claims 30,000 x 20,000 pixels."""
    Image.fromarray(GREY).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = (30_000).to_bytes(4, "big") + (20_000).to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    whole = tmp_path / "whole.png"
    Image.fromarray(COLOUR).save(whole)
    data = whole.read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "broken.png").write_bytes(data[:60] + bytes(200) + data[260:])
    (tmp_path / "text.png").write_text("no picture", encoding="utf-8")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    _bomb(tmp_path / "bomb.png")
    sentences = {
        "cut": "truncated or damaged", "broken": "damaged", "text": "not a picture", "empty": "is empty",
        "missing": "does not exist", "folder": "cannot be read", "bomb": f"{MOST_PIXELS // 10**6} million",
    }  # fmt: skip
    for name, sentence in sentences.items():
        with pytest.raises(InputError) as caught:
            read_picture(tmp_path / f"{name}.png")
        assert sentence in caught.value.message, name
        assert f"{name}.png" in caught.value.message


def test_a_mask_in_black_and_white_is_0_and_1(tmp_path: Path) -> None:
    inside = GREY > 100
    black_and_white = Image.fromarray(np.where(inside, 255, 0).astype(np.uint8))
    for name, picture in {
        "grey": black_and_white,
        "bit": black_and_white.convert("1"),
        "colour": black_and_white.convert("RGB"),
        "palette": black_and_white.convert("RGB").quantize(2),
        "labels": Image.fromarray(inside.astype(np.uint8)),
    }.items():
        picture.save(tmp_path / f"{name}.png")
        mask = read_mask(tmp_path / f"{name}.png")
        assert mask.array.dtype == np.uint8
        np.testing.assert_array_equal(mask.array[0, 0], inside, name)


def test_a_jpeg_mask_is_cut_at_the_middle_and_said(tmp_path: Path, warned: Warned) -> None:
    inside = np.zeros((40, 40), bool)
    inside[10:30, 10:30] = True
    Image.fromarray(np.where(inside, 255, 0).astype(np.uint8)).save(tmp_path / "a.jpg", quality=60)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.jpg", warned[0]).array[0, 0], inside)
    assert "JPEG" in warned[1][0]


def test_masks_that_do_not_fit_are_one_sentence(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "colour.png")
    Image.fromarray(GREY.astype(np.uint16) * 9).save(tmp_path / "wide.png")
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    with pytest.raises(InputError, match="coloured"):
        read_mask(tmp_path / "colour.png")
    with pytest.raises(InputError, match="whole numbers from 0 to 255"):
        read_mask(tmp_path / "wide.png")
    with pytest.raises(InputError, match="30 x 20 pixels, its picture 31 x 20"):
        read_mask(tmp_path / "grey.png", like=Geometry.from_spacing((1, 20, 31)))


@pytest.mark.parametrize(("count", "dtype"), [(200, np.uint8), (3000, np.uint16)])
def test_labels_come_back_as_they_were_written(tmp_path: Path, count: int, dtype: type) -> None:
    labels = (np.arange(600).reshape(20, 30) * count // 600).astype(dtype)
    write_labels_picture(tmp_path / "new" / "a.png", labels)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new" / "a.png")), labels)
    if dtype == np.uint8:
        np.testing.assert_array_equal(read_mask(tmp_path / "new" / "a.png").array[0, 0], labels)


def test_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="65536"):
        write_labels_picture(tmp_path / "a.png", np.full((4, 4), 65536))
    assert not list(tmp_path.iterdir())
