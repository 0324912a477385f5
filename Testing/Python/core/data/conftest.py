"""Small case stores made of real files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medcontext.data.adding import NewCase
from medcontext.data.store import CaseStore
from medcontext.geometry import Geometry, Volume
from medcontext.labels import LabelSet

LABELS = LabelSet.from_names({1: "head", 2: "tail"})


def make_scan(seed: int, shape: tuple[int, int, int] = (8, 10, 12)) -> Volume:
    """Whole-numbered noise, different for each seed."""
    noise = np.random.default_rng(seed).integers(0, 1000, (1, *shape))
    return Volume(noise.astype(np.float32), Geometry.from_spacing(shape, (2.0, 1.0, 1.0)))


def make_painted(shape: tuple[int, int, int] = (8, 10, 12)) -> Volume:
    """Two boxes: label 1 in slices 2 to 3, label 2 in slices 4 to 5."""
    array = np.zeros((1, *shape), np.uint8)
    array[0, 2:4, 3:7, 3:7] = 1
    array[0, 4:6, 3:7, 3:7] = 2
    return Volume(array, Geometry.from_spacing(shape, (2.0, 1.0, 1.0)))


@pytest.fixture
def scan() -> Callable[..., Volume]:
    return make_scan


@pytest.fixture
def painted() -> Callable[..., Volume]:
    return make_painted


@pytest.fixture
def empty_store(tmp_path: Path) -> CaseStore:
    return CaseStore.create(tmp_path / "store", LABELS, [("T1", "MRI")], name="Toy")


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[[int], CaseStore]:
    """A store of so many labelled cases ``c00``, ``c01`` ..."""

    def make(labelled: int) -> CaseStore:
        store = CaseStore.create(tmp_path / "cases", LABELS, [("T1", "MRI")])
        for seed in range(labelled):
            store.add_case(NewCase([make_scan(seed)], make_painted(), case_id=f"c{seed:02d}"))
        return store

    return make
