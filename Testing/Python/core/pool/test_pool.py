"""What a user relies on: scans of any kind in one pool, kept on disk; what cannot be used is left out and told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from medcontext.data.entries import SCRATCH
from medcontext.data.pool import ScanPool
from medcontext.errors import ResourceError
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_volume
from medcontext.plan import Channel, Intensity

from .conftest import Listener, noise

Pools = Callable[..., ScanPool]
Scans = Callable[..., Path]
PACKAGE = Path(__file__).resolve().parents[4] / "Training"


def shape_of(pool: ScanPool, index: int = 0) -> tuple[int, ...]:
    array = pool.get(index)
    assert array is not None, pool.left_out
    return array.shape


def test_scans_of_any_size_spacing_and_orientation_become_maps_of_one_spacing(
    tmp_path: Path, scan: Scans, pool_of: Pools
) -> None:
    coarse = scan(tmp_path / "coarse.nii.gz", noise(0, (10, 20, 12)), (2.0, 1.0, 1.0))
    fine = scan(tmp_path / "fine.nrrd", noise(1, (16, 32, 40)), (1.0, 0.5, 0.5))
    turned = tmp_path / "turned.mha"
    whole = Volume(noise(2, (10, 12, 14)), Geometry.from_spacing((10, 12, 14)))
    write_volume(turned, whole.permute((2, 0, 1)).flip((1,)))
    pool = pool_of(coarse, fine, turned)
    assert [shape_of(pool, n) for n in range(3)] == [(1, 20, 20, 12), (1, 16, 16, 20), (1, 10, 12, 14)]
    for index in range(3):
        array = pool.get(index)
        assert isinstance(array, np.memmap)
        assert array.dtype == np.float16
        assert abs(float(array.mean())) < 0.1
        assert 0.3 < float(array.std()) < 1.1  # each scan by itself, whatever its unit
    upright = pool.get(2)
    assert upright is not None
    expected = whole.array[0] - whole.array.mean()
    assert np.corrcoef(upright[0].ravel().astype(float), expected.ravel())[0, 1] > 0.999


def test_a_scan_smaller_than_the_region_is_enlarged_alike_along_all_axes(
    tmp_path: Path, scan: Scans, pool_of: Pools, heard: Listener
) -> None:
    reporter, said = heard
    small = scan(tmp_path / "small.nii.gz", noise(0, (8, 10, 12)))
    large = scan(tmp_path / "large.nii.gz", noise(1, (20, 24, 24)))
    pool = pool_of(small, large, region=(10, 20, 20), fewest=(8, 8, 8), reporter=reporter)
    assert shape_of(pool) == (1, 16, 20, 24)
    assert shape_of(pool, 1) == (1, 20, 24, 24)
    pool.tell()
    assert len(said) == 1
    assert "1 scans are smaller than the region" in said[0][1]
    assert "were enlarged: small" in said[0][1]


def test_rounding_never_leaves_a_voxel_short_of_the_region(
    tmp_path: Path, scan: Scans, pool_of: Pools
) -> None:
    for number, mm in enumerate((0.96, 0.99, 1.004, 1.03)):
        path = scan(tmp_path / f"{number}.nii.gz", noise(number, (19, 20, 21)), (mm, mm, mm))
        shape = shape_of(pool_of(path, region=(20, 20, 20)))
        assert min(shape[1:]) == 20


def test_a_whole_scan_can_be_brought_to_one_size(tmp_path: Path, scan: Scans, pool_of: Pools) -> None:
    path = scan(tmp_path / "a.nii.gz", noise(0, (9, 20, 30)), (5.0, 1.0, 0.7))
    assert shape_of(pool_of(path, resize=(8, 24, 24))) == (1, 8, 24, 24)


def test_only_the_foreground_is_kept_and_never_less_than_a_region(
    tmp_path: Path, scan: Scans, pool_of: Pools
) -> None:
    array = np.full((1, 30, 40, 50), -1000, np.float32)
    array += np.random.default_rng(0).normal(0, 10, array.shape)
    array[:, 10:20, 8:30, 12:40] += 1000
    array[:, 0, 0, :5] = 3000  # a few bright voxels are none
    path = scan(tmp_path / "a.nii.gz", array)
    assert shape_of(pool_of(path, foreground=0.3)) == (1, 10, 22, 28)
    assert shape_of(pool_of(path, foreground=0.3, region=(16, 16, 40))) == (1, 16, 22, 40)
    assert shape_of(pool_of(path)) == (1, 30, 40, 50)


def test_channels_stay_together(tmp_path: Path, scan: Scans, pool_of: Pools) -> None:
    path = scan(tmp_path / "a.nii.gz", np.concatenate([noise(0), 10 * noise(1)]))
    channels = tuple(Channel(name=name, modality="MRI") for name in ("T1", "T2"))
    assert shape_of(pool_of(path, channels=channels)) == (2, 8, 10, 12)


def bad(kind: str) -> np.ndarray:
    """An image that nobody can learn from."""
    if kind == "constant":
        return np.full((1, 8, 10, 12), 7, np.float32)
    if kind == "one bright voxel":
        array = np.zeros((1, 16, 20, 24), np.float32)
        array[0, 8, 10, 12] = 1.5
        return array
    if kind == "not finite":
        array = noise(0)
        array[0, 0, 0, 0] = np.nan
        return array
    if kind == "label map":
        return np.kron(np.random.default_rng(0).integers(0, 60, (1, 4, 5, 6)), np.ones((1, 4, 4, 4)))
    if kind == "thin":
        return noise(0, (3, 30, 30))
    if kind == "mask":
        return (noise(0) > 500).astype(np.uint8)
    raise ValueError(kind)


SENTENCES = {
    "constant": "All its voxels have the same value.",
    "one bright voxel": "All its voxels have the same value.",
    "not finite": "1 voxels that are not finite numbers",
    "label map": "It looks like a label map: few whole numbers, in patches.",
    "mask": "It looks like a label map: few whole numbers, in patches.",
    "thin": "It has 3 x 30 x 30 voxels (K, J, I); at least 4 x 4 x 4 are needed.",
}


@pytest.mark.parametrize("kind", SENTENCES)
def test_what_cannot_be_learnt_from_is_left_out_with_a_sentence(
    folder: Path, scan: Scans, pool_of: Pools, kind: str
) -> None:
    path = scan(folder / "bad.nii.gz", np.asarray(bad(kind)))
    for _ in range(2):  # an earlier run may have noted it
        pool = pool_of(folder / "s0.nii.gz", path, fewest=(4, 4, 4))
        assert pool.ready() == [0]
        assert SENTENCES[kind] in pool.left_out["bad"]
        assert pool.left_out["bad"].count(". ") == 0
        assert pool.get(1) is None


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"no image at all", "is not a NIfTI file"),
        (None, "does not exist"),
    ],
)
def test_a_broken_or_vanished_file_is_left_out_and_tried_again_by_the_next_run(
    folder: Path, scan: Scans, pool_of: Pools, content: bytes | None, sentence: str
) -> None:
    path = folder / "x.nii.gz"
    if content is not None:
        path.write_bytes(content)
    pool = pool_of(path)
    assert pool.get(0) is None
    assert sentence in pool.left_out["x"]
    scan(path, 30)
    assert pool.get(0) is None  # a run stays with what it found
    assert shape_of(pool_of(path)) == (1, 8, 10, 12)


@pytest.mark.parametrize(("sizes", "millimetres"), [("100000 100000 1000", 1), ("9 9 9", 100_000)])
def test_a_header_that_claims_too_much_does_not_fill_the_memory(
    folder: Path, pool_of: Pools, sizes: str, millimetres: int
) -> None:
    path, mm = folder / "x.nrrd", millimetres
    path.write_bytes(
        f"NRRD0004\ntype: short\ndimension: 3\nsizes: {sizes}\nspace: left-posterior-superior\nencoding: raw\n"
        f"endian: little\nspace directions: ({mm},0,0) (0,{mm},0) (0,0,{mm})\n\n".encode()
        + noise(0, (9, 9, 9)).astype("<i2").tobytes()
    )
    pool = pool_of(path)
    assert pool.get(0) is None
    assert any(word in pool.left_out["x"] for word in ("memory", "too much", "damaged"))


def test_a_scan_that_vanishes_while_it_is_learnt_from_is_still_there(folder: Path, pool_of: Pools) -> None:
    pool = pool_of(folder / "s0.nii.gz")
    shape_of(pool)
    (folder / "s0.nii.gz").unlink()
    assert shape_of(pool) == (1, 8, 10, 12)


def test_the_same_image_in_two_files_is_told(
    folder: Path, scan: Scans, pool_of: Pools, heard: Listener
) -> None:
    reporter, said = heard
    pool = pool_of(
        folder / "s0.nii.gz", folder / "s1.nii.gz", scan(folder / "other.mha", 1), reporter=reporter
    )
    pool.ready()
    pool.tell()
    assert said == [("info", "1 scans show the same image as others: other (as s1).")]


def test_nothing_is_learnt_from_a_copy_of_what_is_watched(folder: Path, scan: Scans, pool_of: Pools) -> None:
    watched = pool_of(folder / "s1.nii.gz")
    watched.ready()
    pool = pool_of(folder / "s0.nii.gz", scan(folder / "other.mha", 1), in_use=watched.voxels)
    assert pool.ready() == [0]


def test_what_does_not_look_like_ct_is_told_where_it_is_scaled_as_ct(
    folder: Path, pool_of: Pools, heard: Listener
) -> None:
    reporter, said = heard
    ct = Intensity(kind="ct", low=-900, high=900, mean=0, std=300)
    for intensity in (Intensity(), ct):
        channel = Channel(name="image", modality="CT", intensity=intensity)
        pool = pool_of(folder / "s0.nii.gz", channels=(channel,), reporter=reporter)
        pool.ready()
        pool.tell()
    assert len(said) == 1
    assert "1 scans may be of another kind: s0 (Channel image does not look like a CT" in said[0][1]


def test_values_that_half_precision_cannot_hold_are_refused_not_stored_as_infinite(
    tmp_path: Path, scan: Scans, pool_of: Pools
) -> None:
    path = scan(tmp_path / "a.nii.gz", 1000 * noise(0))
    plain = Channel(name="image", modality="MRI", intensity=Intensity(kind="none"))
    pool = pool_of(path, channels=(plain,))
    assert pool.get(0) is None
    assert "too far without normalisation" in pool.left_out["a"]


def entries(home: Path) -> dict[str, int]:
    """The prepared arrays, and when each was written; not what is being written, or was when someone killed it."""
    arrays = (home / "cache" / "pool-1").glob("*/scan.npy")
    return {str(p): p.stat().st_mtime_ns for p in arrays if not p.parent.name.startswith(SCRATCH)}


def test_a_second_run_finds_what_the_first_prepared(folder: Path, pool_of: Pools, own_home: Path) -> None:
    paths = sorted(folder.iterdir())
    first = pool_of(*paths)
    assert len(first.ready()) == 6
    written = entries(own_home)
    again = pool_of(*reversed(paths))
    assert again.hashes() == first.hashes()[::-1] or sorted(again.hashes()) == sorted(first.hashes())
    assert len(again.ready()) == 6
    assert entries(own_home) == written
    other = pool_of(*paths, spacing=(2.0, 1.0, 1.0), region=(4, 4, 4))
    assert shape_of(other) == (1, 4, 10, 12)  # another recipe has entries of its own
    assert len(entries(own_home)) == 7


@pytest.mark.parametrize("damage", ["scan.npy", "facts.json"])
def test_a_damaged_entry_is_made_anew_also_in_the_middle_of_a_run(
    folder: Path, pool_of: Pools, own_home: Path, damage: str
) -> None:
    pool = pool_of(folder / "s0.nii.gz")
    whole = np.array(pool.get(0))
    [entry] = (own_home / "cache" / "pool-1").glob("*/")
    (entry / damage).write_bytes((entry / damage).read_bytes()[:20])
    assert np.array_equal(pool_of(folder / "s0.nii.gz").get(0), whole)
    assert np.array_equal(pool.get(0), whole)
    (entry / "scan.npy").unlink()
    assert np.array_equal(pool.get(0), whole)


def test_a_full_disk_is_said_in_one_sentence(folder: Path, pool_of: Pools, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(ResourceError, match="could not be written"):
        pool_of(folder / "s0.nii.gz", root=tmp_path / "cache").get(0)


def test_open_files_and_memory_do_not_grow_with_the_pool(folder: Path, scan: Scans, pool_of: Pools) -> None:
    paths = [scan(folder / f"t{seed}.nii", seed) for seed in range(40)]
    pool = pool_of(*paths)
    shape_of(pool)
    before = psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0
    assert len(pool.ready()) == 40
    after = psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0
    assert after - before < 5


SCRIPT = """
import sys
from pathlib import Path
from medcontext.data.pool import ScanPool
from medcontext.data.scan_recipe import Recipe
from medcontext.data.scans import pooled_scans
from medcontext.plan import Channel
recipe = Recipe((Channel(name="image", modality="unknown"),), (1.0, 1.0, 1.0), "LPS", (64, 64, 64))
pool = ScanPool(pooled_scans([Path(sys.argv[1])]).scans, recipe)
print("begun", flush=True)
print(len(pool.ready()), flush=True)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(PACKAGE), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", SCRIPT, str(folder)]
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_processes_share_the_cache_and_one_that_is_killed_leaves_nothing_half_done(
    folder: Path, scan: Scans, pool_of: Pools, own_home: Path
) -> None:
    for seed in range(30):
        scan(folder / f"t{seed}.nii", seed)
    killed, other = start(folder), start(folder)
    assert killed.stdout is not None
    assert other.stdout is not None
    killed.stdout.readline()
    while not entries(own_home):
        assert killed.poll() is None or entries(own_home)
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    told, _ = other.communicate(timeout=120)
    assert other.returncode == 0
    assert told.split() == ["begun", "36"]
    written = entries(own_home)
    assert len(written) == 36
    pool = pool_of(*sorted(folder.iterdir()), region=(64, 64, 64))
    assert len(pool.ready()) == 36
    assert entries(own_home) == written


def test_what_a_killed_process_left_is_removed_a_day_later(
    folder: Path, pool_of: Pools, own_home: Path
) -> None:
    root = own_home / "cache" / "pool-1"
    for name, hours in ((".new-old", 25), (".new-young", 1)):
        (root / name).mkdir(parents=True)
        (root / name / "scan.npy").write_bytes(b"half")
        os.utime(root / name, (time.time() - 3600 * hours,) * 2)
    pool_of(folder / "s0.nii.gz")
    assert [path.name for path in root.iterdir()] == [".new-young"]
