"""What a user relies on: arrays arrive as they were sent, a full disk is said, and nothing stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext.errors import CancelledError, InputError, ResourceError
from medcontext.exchange import (
    OWNER,
    PIECE_BYTES,
    PREFIX,
    ExchangeFolder,
    SharedArray,
    remove_stale_folders,
    write_array,
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[ExchangeFolder]:
    with ExchangeFolder(tmp_path) as made:
        yield made


@contextmanager
def disk_with_room_for(size: int) -> Iterator[None]:
    """The kernel refuses to let a file grow beyond ``size`` bytes, in the middle of a write, as a full disk does."""
    resource = pytest.importorskip("resource", reason="Windows has no limit on file size")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


ARRAYS = {
    "int16": np.arange(60, dtype=np.int16).reshape(3, 4, 5),
    "big endian": np.arange(60, dtype=">u2").reshape(3, 4, 5),
    "float, Fortran order": np.asfortranarray(np.random.default_rng(0).random((3, 4, 5))),
    "transposed": np.arange(60, dtype=np.uint8).reshape(3, 4, 5).transpose(2, 0, 1),
    "backwards": np.arange(60, dtype=np.int32).reshape(3, 4, 5)[::-1, :, ::-1],
    "bool": np.eye(4, dtype=bool),
    "one number": np.float32(3.5),
    "several pieces": np.arange(PIECE_BYTES // 4 * 3, dtype=np.int64).reshape(-1, 512),
    "several pieces, transposed": np.arange(PIECE_BYTES // 4 * 3, dtype=np.int64).reshape(-1, 512).T,
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_comes_back_as_it_was_written(folder: ExchangeFolder, name: str) -> None:
    array = np.atleast_1d(ARRAYS[name])
    sent = folder.write("array", ARRAYS[name])
    received = SharedArray.from_json(sent.to_json()).open()
    assert received.dtype == array.dtype
    np.testing.assert_array_equal(received, array)
    assert isinstance(received, np.memmap)
    assert not received.flags.writeable


def test_the_folder_is_private_and_goes_away(tmp_path: Path) -> None:
    with ExchangeFolder(tmp_path) as folder:
        if os.name == "posix":
            assert folder.path.stat().st_mode & 0o777 == 0o700
        folder.write("a", np.ones(3))
        assert folder.path.parent == tmp_path
    assert list(tmp_path.iterdir()) == []
    folder.close()  # a second time does no harm


def test_the_folder_lies_among_temporary_files_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with ExchangeFolder() as folder:
        assert folder.path.parent == tmp_path


def test_two_arrays_of_one_name_do_not_disturb_each_other(folder: ExchangeFolder) -> None:
    first = folder.write("image", np.zeros(5)).open()
    second = folder.write("image", np.ones(5)).open()
    assert first.sum() == 0
    assert second.sum() == 5


def test_a_full_disk_is_said_and_leaves_no_half_file(folder: ExchangeFolder) -> None:
    with disk_with_room_for(PIECE_BYTES + 1000), pytest.raises(ResourceError) as error:
        folder.write("image", np.ones(PIECE_BYTES // 4, np.int64))
    assert str(folder.path) in error.value.message
    assert "Free some space" in error.value.hint
    assert [path.name for path in folder.path.iterdir()] == [OWNER]
    np.testing.assert_array_equal(folder.write("image", np.ones(4)).open(), np.ones(4))


def test_a_full_disk_leaves_no_folder(tmp_path: Path) -> None:
    with disk_with_room_for(5), pytest.raises((ResourceError, InputError)):
        ExchangeFolder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_writing_stops_when_asked(folder: ExchangeFolder) -> None:
    asked = []

    def check() -> None:
        asked.append(True)
        if len(asked) == 3:
            raise CancelledError("Stopped on request.")

    with pytest.raises(CancelledError):
        folder.write("image", np.zeros(PIECE_BYTES, np.int64), check)
    assert len(asked) == 3
    assert [path.name for path in folder.path.iterdir()] == [OWNER]


@pytest.mark.parametrize("array", [np.zeros((0, 3)), np.array(["a"]), np.array([None]), np.zeros(3, complex)])
def test_what_holds_no_numbers_is_refused(folder: ExchangeFolder, array: np.ndarray) -> None:
    with pytest.raises(InputError, match="holds no numbers"):
        folder.write("image", array)


def test_an_existing_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        write_array(path, np.ones(3))
    assert path.read_text() == "mine"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        write_array(tmp_path / "nowhere" / "a.raw", np.ones(3))
    with pytest.raises(InputError, match="nowhere"):
        ExchangeFolder(tmp_path / "nowhere")


GOOD = {"path": "/tmp/a.raw", "dtype": "<i2", "shape": [3, 4, 5]}


@pytest.mark.parametrize(
    "change",
    [
        {"path": None}, {"path": ""}, {"path": "a\0b"}, {"dtype": "object"}, {"dtype": "nonsense"}, {"dtype": 3},
        {"dtype": "<U4"}, {"dtype": "i2,i2"}, {"shape": []}, {"shape": [3, 0]}, {"shape": [3, -1]}, {"shape": 5},
        {"shape": [2.5]}, {"shape": [True]}, {"shape": "34"},
    ],
)  # fmt: skip
def test_malformed_descriptions_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        SharedArray.from_json(GOOD | change)


@pytest.mark.parametrize("data", [None, [], "a", {}, {"path": "a"}])
def test_what_is_no_description_is_refused(data: Any) -> None:
    with pytest.raises(InputError, match="needs a path"):
        SharedArray.from_json(data)


def test_a_missing_and_a_short_file_are_said(folder: ExchangeFolder) -> None:
    sent = folder.write("image", np.ones((3, 4), np.int16))
    with pytest.raises(InputError, match="holds 24 bytes"):
        SharedArray(sent.path, sent.dtype, (3, 5)).open()
    sent.path.unlink()
    with pytest.raises(InputError, match="cannot be opened"):
        sent.open()


def test_only_folders_of_processes_that_ended_are_removed(tmp_path: Path) -> None:
    script = f"""
        import os, pathlib, numpy
        from medcontext.exchange import ExchangeFolder
        ExchangeFolder(pathlib.Path({str(tmp_path)!r})).write("a", numpy.ones(3))
        os._exit(9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    (left,) = tmp_path.iterdir()
    mine = ExchangeFolder(tmp_path)
    (tmp_path / f"{PREFIX}young").mkdir()
    (tmp_path / f"{PREFIX}old").mkdir()
    os.utime(tmp_path / f"{PREFIX}old", (0, 0))
    (tmp_path / f"{PREFIX}broken").mkdir()
    (tmp_path / f"{PREFIX}broken" / OWNER).write_text("{")
    (tmp_path / "other").mkdir()
    os.utime(tmp_path / "other", (0, 0))
    assert remove_stale_folders(tmp_path) == 2
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {mine.path.name, f"{PREFIX}young", f"{PREFIX}broken", "other"}
    assert left.name not in kept
