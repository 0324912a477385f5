"""Gzip files that several threads wrote are ordinary ones for every reader, and whole or not there at all."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from medcontext.errors import CancelledError
from medcontext.geometry import Geometry, Volume
from medcontext.io import packing, read_volume, write_labelmap, write_volume
from medcontext.io.packing import PIECE_BYTES, write_gzip


def packed(*parts: np.ndarray | bytes) -> bytes:
    stream = io.BytesIO()
    write_gzip(stream, parts)
    return stream.getvalue()


def noise(size: int) -> bytes:
    return np.random.default_rng(size).integers(0, 9, size, np.uint8).tobytes()


@pytest.mark.parametrize(
    "size", [0, 1, 5, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 77]
)
def test_what_was_packed_comes_out_as_one_member(size: int) -> None:
    data = noise(size)
    file = packed(b"head", data)
    assert gzip.decompress(file) == b"head" + data
    one = zlib.decompressobj(wbits=31)  # a reader that stops at the end of the first member
    assert one.decompress(file) == b"head" + data
    assert one.eof
    assert one.unused_data == b""


def test_the_file_does_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    data = noise(5 * PIECE_BYTES)
    many = packed(data)
    monkeypatch.setattr(packing.os, "cpu_count", lambda: 1)
    assert packed(data) == many


def test_pieces_refer_to_those_before_them() -> None:
    data = np.random.default_rng(0).bytes(20_000)  # repeats at a distance within deflate's window
    repeated = data * (2 * PIECE_BYTES // len(data))
    assert len(packed(repeated)) < 1.05 * len(zlib.compress(repeated, packing.LEVEL))


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_other_programs_read_large_images(tmp_path: Path, ending: str) -> None:
    array = np.random.default_rng(1).integers(-1000, 3000, (1, 20, 200, 300)).astype(np.int16)
    path = tmp_path / f"image{ending}"
    write_volume(path, Volume(array, Geometry.from_spacing(array.shape[1:])))
    assert path.stat().st_size > PIECE_BYTES
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), array[0])
    assert np.array_equal(read_volume(path).array, array)


def test_damage_in_any_piece_is_noticed() -> None:
    file = bytearray(packed(noise(3 * PIECE_BYTES)))
    file[len(file) // 2] ^= 255
    with pytest.raises((gzip.BadGzipFile, zlib.error, EOFError)):
        gzip.decompress(bytes(file))


@pytest.mark.parametrize("name", ["image.nii.gz", "image.nii"])
def test_writing_can_be_stopped_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    asked = []

    def stop() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise CancelledError("Stopped on request.")

    array = np.zeros((1, 30, 200, 200), np.uint8)
    with pytest.raises(CancelledError):
        write_labelmap(tmp_path / name, Volume(array, Geometry.from_spacing(array.shape[1:])), stop)
    assert list(tmp_path.iterdir()) == []
