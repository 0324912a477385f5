"""Pictures: PNG, JPEG, TIFF, BMP, GIF and WebP files as images with one slice; masks and labels as PNG.

A pixel counts as 1 mm x 1 mm: the resolution that such a file may state is that of a screen or a printer.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io.atomic import replacing
from medcontext.io.images import check_finite
from medcontext.io.itk import reading
from medcontext.labels import default_palette

PICTURE_FORMATS = "PNG, JPEG, TIFF, BMP, GIF and WebP"
_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp")
_PILLOW_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")

MOST_PIXELS = 178_956_970
"""More (about 13,400 x 13,400) are not read: a small file can claim any size."""

_DAMAGED = (OSError, SyntaxError, ValueError, OverflowError, EOFError, struct.error, zlib.error)
"""What Pillow raises of damaged files."""
_GREY = {"1": "L", "L": "L", "LA": "L", "La": "L"}
_AS_STORED = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_HALF = 127


def is_picture(path: Path) -> bool:
    """Whether a file is a picture, by its ending."""
    return path.name.lower().endswith(_ENDINGS)


def read_picture(path: str | Path, reporter: Reporter | None = None, *, as_stored: bool = False) -> Volume:
    """Read a picture as ``(C, 1, J, I)``; C is 1 for grey, 3 for red, green, blue.

    Values are those of the file (0..255, 0..65535, or any of a TIFF). A colour picture whose three channels are the
    same is grey. A picture that its camera marked as turned is turned.

    Args:
        path: the file.
        reporter: is told what was left out: an alpha channel, further pages, CMYK.
        as_stored: keep uint8 and uint16, which take a quarter and half of the memory, instead of float32.

    Raises:
        InputError: the file is missing, empty, damaged, of another format, larger than :data:`MOST_PIXELS`, or holds
            NaN or infinity.
    """
    path, reporter = Path(path), reporter or Reporter()
    with _opened(path) as picture:
        _tell(path, picture, reporter)
        array = _wide_colour(path, picture)
        if array is None:
            array = _pixels(picture)
    channels = np.moveaxis(array, -1, 0) if array.ndim == 3 else array[None]
    if len(channels) == 3 and _same(channels):
        channels = channels[:1]
    if channels.dtype.kind == "f":
        check_finite(channels, str(path))
    if not as_stored or channels.dtype.itemsize > 2:
        channels = np.ascontiguousarray(channels, np.float32)
    height, width = channels.shape[1:]
    return Volume(channels[:, None], Geometry.from_spacing((1, height, width)))


def read_mask(path: Path, reporter: Reporter | None = None, like: Geometry | None = None) -> Volume:
    """Read a mask or a picture of labels as uint8 ``(1, 1, J, I)``.

    Black and white becomes 0 and 1. Other values are labels as they are; a picture with a palette holds its numbers.

    Args:
        path: the file.
        reporter: as for :func:`read_picture`; also told where a JPEG, which blurs values, had to be cut at the middle.
        like: the grid of the picture that the mask belongs to.

    Raises:
        InputError: as :func:`read_picture`; the mask is coloured, a value is not a whole number from 0 to 255, or it
            has another size than ``like``.
    """
    reporter = reporter or Reporter()
    with _opened(path) as picture:
        lossy = picture.format in ("JPEG", "MPO")
        numbers = np.asarray(picture) if picture.mode == "P" and not _black_and_white(picture) else None
    mask = read_picture(path, reporter, as_stored=True).array if numbers is None else numbers[None, None]
    if len(mask) > 1:
        raise InputError(f"{path} is coloured; a mask holds one number a pixel.", "Save it as a grey PNG.")
    if lossy:
        reporter.warning(
            f"{path} is a JPEG, which blurs values: pixels above {_HALF} were taken for label 1."
        )
        mask = mask > _HALF
    low, high = mask.min(), mask.max()
    if low < 0 or high > 255 or (mask.dtype.kind == "f" and (mask != np.rint(mask)).any()):
        raise InputError(
            f"{path} holds values from {low:.6g} to {high:.6g}; labels are whole numbers from 0 to 255.",
            "Give a mask, not a picture.",
        )
    labels = mask.astype(np.uint8)
    if high == 255 and not ((labels > 0) & (labels < 255)).any():
        labels = (labels > 0).astype(np.uint8)
    volume = Volume(labels, Geometry.from_spacing((1, *labels.shape[2:])))
    return volume if like is None else _fitted(volume, like, path)


def write_labels_picture(path: Path, labels: np.ndarray) -> None:
    """Write labels ``(J, I)`` as a PNG whose values are the labels: uint8 with a palette to look at, else uint16.

    Raises:
        InputError: a label does not lie in 0..65535, or the place cannot be written.
        ResourceError: the disk is full.
    """
    low, high = int(labels.min()), int(labels.max())
    if labels.ndim != 2 or low < 0 or high > 65535:
        raise InputError(f"A picture of labels is (J, I) in 0..65535, not {labels.shape} in {low}..{high}.")
    if high < 256:
        picture = Image.fromarray(np.ascontiguousarray(labels, np.uint8))
        picture.putpalette([level for color in default_palette() for level in color])
    else:
        picture = Image.fromarray(np.ascontiguousarray(labels, np.uint16))
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A picture whose header was read; whatever damage is met while it is open is one sentence."""
    damaged = InputError(f"{path} is truncated or damaged.", "Copy or export it again.")
    with reading(path):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is checked below
                picture = Image.open(path, formats=_PILLOW_FORMATS)
        except Image.DecompressionBombError as error:
            raise _too_large(path) from error
        except UnidentifiedImageError as error:
            raise InputError(
                f"{path} is not a picture that can be read; allowed are {PICTURE_FORMATS}.",
                "Export it again.",
            ) from error
        except (IsADirectoryError, PermissionError):
            raise
        except _DAMAGED as error:
            raise damaged from error
        with picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise _too_large(path)
            try:
                yield picture
            except _DAMAGED as error:
                raise damaged from error


def _too_large(path: Path) -> InputError:
    return InputError(
        f"{path} has more than {MOST_PIXELS // 10**6} million pixels.", "Cut out or reduce what matters."
    )


def _tell(path: Path, picture: Image.Image, reporter: Reporter) -> None:
    """What of a file is not used."""
    pages = getattr(picture, "n_frames", 1)
    if pages > 1:
        reporter.warning(f"{path} holds {pages} pictures: only the first one is read.")
    if picture.mode in _ALPHA or "transparency" in picture.info:
        reporter.warning(f"{path} has an alpha channel (transparency), which is left out.")
    if picture.mode == "CMYK":
        reporter.warning(f"{path} has the colours of a printer (CMYK): they were converted to RGB.")


def _wide_colour(path: Path, picture: Image.Image) -> np.ndarray | None:
    """``(J, I, 3)`` of uint16 where a file has 16 bit a colour, of which Pillow would keep 8; else None."""
    tiles = picture.tile if isinstance(picture, ImageFile.ImageFile) else []
    if picture.mode not in ("RGB", "RGBA") or not tiles or ";16" not in str(tiles[0][3]):
        return None
    try:
        array: np.ndarray = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except RuntimeError as error:
        raise OSError(f"ITK cannot read {path}") from error
    first = array[0] if array.ndim == 4 else array
    return first[..., :3]


def _pixels(picture: Image.Image) -> np.ndarray:
    """``(J, I)`` or ``(J, I, 3)`` as the file has them."""
    turned = ImageOps.exif_transpose(picture)
    if turned.mode in _AS_STORED:
        array = np.asarray(turned)
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    return np.asarray(turned.convert(_GREY.get(turned.mode, "RGB")))


def _same(channels: np.ndarray) -> bool:
    return np.array_equal(channels[0], channels[1]) and np.array_equal(channels[0], channels[2])


def _black_and_white(picture: Image.Image) -> bool:
    """Whether a picture with a palette shows nothing but black and white."""
    colors = picture.convert("RGB").getcolors(2) or []
    return bool(colors) and {color for _, color in colors} <= {(0, 0, 0), (255, 255, 255)}


def _fitted(mask: Volume, like: Geometry, path: Path) -> Volume:
    if mask.shape != like.shape:
        raise InputError(
            f"{path} has {mask.shape[2]} x {mask.shape[1]} pixels, its picture {like.shape[2]} x {like.shape[1]}.",
            "Give the mask of this picture.",
        )
    return Volume(mask.array, like)
