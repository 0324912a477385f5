"""What a user relies on: batches of a pre-training are the same however it is split, resumed or hit."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from medcontext.data.pool import ScanPool
from medcontext.engine import pretext
from medcontext.engine.method import Stage
from medcontext.engine.pretext import PretextBatches, Waiting
from medcontext.engine.task import Shard
from medcontext.errors import InputError

from .conftest import Listener, noise

Pools = Callable[..., ScanPool]
Scans = Callable[..., Path]
Seen = tuple[int, str, float]
STAGE = Stage("pretrain", 1.0, 1.0, labelled=0, unlabelled=4)
PATIENCE = 60


class Volumes:
    """Makes batches of what they were made from: (sample, hash of the volume, a random number)."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(
        self,
        volumes: Sequence[np.ndarray],
        samples: Sequence[int],
        generators: Sequence[np.random.Generator],
    ) -> list[Seen]:
        self.made += 1
        parts = zip(samples, volumes, generators, strict=True)
        return [(n, sha256(v.tobytes()).hexdigest(), float(g.random())) for n, v, g in parts]


@pytest.fixture
def some_bad(folder: Path, scan: Scans) -> list[Path]:
    """Nine scans, three of which cannot be used."""
    scan(folder / "constant.nii.gz", np.ones((1, 8, 8, 8), np.float32))
    (folder / "broken.nii.gz").write_bytes(b"broken")
    return [*sorted(folder.iterdir()), folder / "vanished.nii.gz"]


def batches(
    pool: ScanPool, first: int, total: int, shard: Shard | None = None, seed: int = 0
) -> list[list[Seen]]:
    return list(PretextBatches(pool, Volumes(), seed, shard or Shard()).iterate(first, total, [STAGE]))


def test_a_batch_depends_on_seed_step_and_sample_only(some_bad: list[Path], pool_of: Pools) -> None:
    whole = batches(pool_of(*some_bad), 0, 12)
    assert len(whole) == 12
    prepared = pool_of(*some_bad)
    prepared.ready()
    assert batches(prepared, 0, 12) == whole
    assert batches(pool_of(*some_bad), 5, 12) == whole[5:]
    alone = PretextBatches(pool_of(*some_bad), Volumes(), 0, Shard())
    assert [alone.make(step, STAGE) for step in (11, 3)] == [whole[11], whole[3]]
    assert batches(pool_of(*some_bad), 0, 12, seed=1) != whole


@pytest.mark.parametrize("processes", [2, 4])
def test_the_shares_of_several_processes_together_are_the_batch_of_one(
    some_bad: list[Path], pool_of: Pools, processes: int
) -> None:
    whole = batches(pool_of(*some_bad), 0, 8)
    parts = [batches(pool_of(*some_bad), 0, 8, Shard(rank, processes)) for rank in range(processes)]
    together = [[seen for share in shares for seen in share] for shares in zip(*parts, strict=True)]
    assert together == whole
    assert all(len(batch) == 4 // processes for part in parts for batch in part)


def test_every_scan_is_drawn_once_an_epoch(folder: Path, pool_of: Pools) -> None:
    pool = pool_of(*sorted(folder.iterdir()))
    seen = [volume for batch in batches(pool, 0, 3) for _, volume, _ in batch]
    assert Counter(Counter(seen[:6]).values()) == Counter({1: 6})
    assert Counter(seen).most_common(1)[0][1] == 2
    assert len({number for batch in batches(pool, 0, 3) for _, _, number in batch}) == 12


def test_one_broken_file_among_500_is_left_out_and_listed_and_the_run_goes_on(
    tmp_path: Path, scan: Scans, pool_of: Pools, heard: Listener
) -> None:
    reporter, said = heard
    small = scan(tmp_path / "s000.nii", noise(0, (4, 4, 4)))
    header = small.read_bytes()[:352]
    voxels = np.random.default_rng(0).integers(0, 1000, (500, 64)).astype("<f4")
    paths = [tmp_path / f"s{number:03d}.nii" for number in range(500)]
    for path, values in zip(paths, voxels, strict=True):
        path.write_bytes(header + values.tobytes())
    paths[123].write_bytes(header[:100])
    pool = pool_of(*paths, region=(4, 4, 4), reporter=reporter)
    whole = batches(pool, 0, 125)
    assert len(whole) == 125
    seen = Counter(volume for batch in whole for _, volume, _ in batch)
    assert len(seen) == 499  # one is seen twice, in the place of the broken one
    assert said == [
        (
            "warning",
            f"Left out: s123 ({paths[123]} is truncated or damaged). The end of the run lists all of them.",
        )
    ]
    pool.tell()
    assert said[1:] == [
        ("warning", f"1 of 500 scans were left out: s123 ({paths[123]} is truncated or damaged).")
    ]


def test_where_all_are_broken_the_first_is_named(folder: Path, pool_of: Pools) -> None:
    paths = [folder / f"x{number}.nii.gz" for number in range(3)]
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(InputError) as caught:
        batches(pool_of(*paths), 0, 3)
    assert caught.value.message.startswith("None of the 3 scans can be learnt from; of x0: ")
    assert "is empty (0 bytes)" in caught.value.message
    with pytest.raises(InputError, match="None of the 0 scans"):
        batches(pool_of(), 0, 3)


def until(condition: Callable[[], bool]) -> bool:
    """Wait for what happens in another thread."""
    end = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def test_batches_are_made_and_scans_are_read_while_the_network_works(folder: Path, pool_of: Pools) -> None:
    pool, make = pool_of(*sorted(folder.iterdir())), Volumes()
    ahead = PretextBatches(pool, make, 0, Shard()).iterate(0, 100, [Stage("one", 1.0, 1.0, 0, 1)])
    next(ahead)
    assert until(lambda: make.made >= 3)
    assert until(lambda: not pool.unread)  # six scans, although three batches need three
    assert make.made < 10
    ahead.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("batches", "scans"))]


def test_the_time_the_network_waits_is_counted(
    folder: Path, pool_of: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, waiting = [100.0], Waiting()
    monkeypatch.setattr(pretext.time, "monotonic", lambda: now[0])

    def slow(*_: object) -> None:
        now[0] += 1.0

    source = PretextBatches(pool_of(folder / "s0.nii.gz"), slow, 0, Shard(), waiting)
    for _ in source.iterate(0, 1, [STAGE]):
        now[0] += 3.0
    assert (waiting.waited_s, waiting.worked_s) == (1.0, 3.0)
    assert waiting.sentence == "The network waited for data 25.0 % of the time (1.0 s)."
