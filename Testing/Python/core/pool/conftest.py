"""Folders of small scans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext.data.pool import ScanPool
from medcontext.data.scan_recipe import Recipe
from medcontext.data.scans import Scan
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_volume
from medcontext.plan import Channel, Size, Spacing

Listener = tuple[Reporter, list[tuple[str, str]]]


def noise(seed: int, shape: Size = (8, 10, 12)) -> np.ndarray:
    """``(1, *shape)`` whole numbers that differ from seed to seed."""
    return np.random.default_rng(seed).integers(0, 1000, (1, *shape)).astype(np.float32)


def write_scan(path: Path, array: np.ndarray | int, spacing: Spacing = (1.0, 1.0, 1.0)) -> Path:
    """Write an array ``(C, K, J, I)``, or the noise of a seed."""
    voxels = noise(array) if isinstance(array, int) else array
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, Volume(voxels, Geometry.from_spacing(voxels.shape[1:], spacing)))
    return path


@pytest.fixture
def scan() -> Callable[..., Path]:
    """``scan(path, array or seed, spacing)`` writes a scan; see :func:`write_scan`."""
    return write_scan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six scans ``s0.nii.gz`` to ``s5.nii.gz``."""
    for seed in range(6):
        write_scan(tmp_path / "scans" / f"s{seed}.nii.gz", seed)
    return tmp_path / "scans"


@pytest.fixture
def recipe() -> Callable[..., Recipe]:
    """``recipe(**changes)``: voxels of 1 mm, regions of 8 x 8 x 8."""

    def make(**changes: Any) -> Recipe:
        plain = {"channels": (Channel(name="image", modality="unknown"),), "spacing": (1.0, 1.0, 1.0)}
        return Recipe(**(plain | {"orientation": "LPS", "region": (8, 8, 8)} | changes))

    return make


@pytest.fixture
def heard() -> Listener:
    """A reporter and what it says, as (kind, message)."""
    said: list[tuple[str, str]] = []
    return Reporter(lambda e: said.append((e["event"], e["message"])) if "message" in e else None), said


@pytest.fixture
def pool_of(recipe: Callable[..., Recipe]) -> Callable[..., ScanPool]:
    """``pool_of(*paths, reporter=..., in_use=..., **changes of the recipe)``: a pool of these files."""

    def make(*paths: Path, **changes: Any) -> ScanPool:
        kept = {name: changes.pop(name) for name in ("reporter", "in_use", "root") if name in changes}
        scans = [Scan(path.name.split(".")[0], (path,)) for path in paths]
        return ScanPool(scans, recipe(**changes), **kept)

    return make
