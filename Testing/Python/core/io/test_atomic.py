"""A file is whole or not there; what was there before survives every failure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from medcontext.errors import InputError, ResourceError
from medcontext.io import replacing

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".seg.nrrd")

# a limit on file size makes the kernel refuse the write, as a full disk does; it holds for a whole process
FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from medcontext import io
from medcontext.errors import ResourceError
from medcontext.geometry import Geometry, Volume
from medcontext.labels import LabelSet

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
noise = np.random.default_rng(0).integers(0, 3, (1, 100, 100, 100)).astype(np.uint8)
labelmap = Volume(noise, Geometry.from_spacing((100, 100, 100)))
for name in sys.argv[1:]:
    path = Path(name)
    try:
        if name.endswith(".seg.nrrd"):
            io.write_segmentation(path, labelmap, LabelSet.from_names({1: "a", 2: "b"}))
        else:
            io.write_labelmap(path, labelmap)
        print("written", path.name)
    except ResourceError as error:
        print("refused", path.name, "no room" in error.message)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file size")
def test_full_disk_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    paths = [tmp_path / f"out{ending}" for ending in ENDINGS]
    for path in paths:
        path.write_text("older")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, *map(str, paths)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [f"refused {path.name} True" for path in paths]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: "older" for path in paths
    }


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_no_space_left_is_a_lack_of_resources(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("older")

    def fill() -> None:
        with replacing(tmp_path / "a") as temporary:
            temporary.write_text("half")
            Path("/dev/full").write_text("more")

    with pytest.raises(ResourceError, match="no room to write"):
        fill()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "older")]


def test_stopping_in_the_middle_leaves_the_older_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("older")

    def stopped() -> None:
        with replacing(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "older")]


def test_new_file_replaces_the_older_one_and_folders_are_made(tmp_path: Path) -> None:
    for text in ("older", "newer"):
        with replacing(tmp_path / "x" / "y" / "a.txt") as temporary:
            assert temporary.suffix == ".txt"
            temporary.write_text(text)
    assert [p.read_text() for p in (tmp_path / "x" / "y").iterdir()] == ["newer"]


def test_place_that_cannot_be_written_is_wrong_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="cannot be written"), replacing(tmp_path / "file" / "a"):
        pass
