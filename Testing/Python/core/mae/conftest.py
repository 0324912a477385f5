"""Small phantoms with structure, as files, and runs that learn from them in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medcontext import networks
from medcontext.data.pool import ScanPool
from medcontext.data.scan_recipe import Recipe
from medcontext.data.scans import Scan
from medcontext.devices import choose_device
from medcontext.engine.pretext_task import PretextTask
from medcontext.engine.run import Run
from medcontext.geometry import Geometry, Volume
from medcontext.io.write import write_volume
from medcontext.methods.mae.config import MaeConfig
from medcontext.methods.mae.method import Mae
from medcontext.networks import registry
from medcontext.plan import Channel, Fingerprint, NetworkSpec, Plan, Size

CROP = (16, 16, 16)
UNIT = (1.0, 1.0, 1.0)


def a_plan(network: str = "dynunet", crop: Size = CROP, channels: int = 1, batch: int = 2) -> Plan:
    """The plan of a small network; the crop is rounded to what the network takes."""
    kwargs = registry.default_kwargs(network, crop, UNIT, "small")
    crop = registry.round_patch(network, kwargs, crop)
    return Plan(
        channels=[Channel(name=f"channel {n}", modality="MRI") for n in range(channels)],
        labels=[],
        spacing=UNIT,
        patch_size=crop,
        batch_size=batch,
        steps=1000,
        network=NetworkSpec(name=network, kwargs=kwargs),
        fingerprint=Fingerprint(
            cases=4,
            median_shape=(24, 24, 24),
            median_spacing=UNIT,
            spacing_range=(UNIT, UNIT),
            field_of_view_range=((24.0,) * 3, (24.0,) * 3),
            anisotropy=1.0,
        ),
    )


def phantom(seed: int, shape: Size = (24, 26, 28)) -> np.ndarray:
    """A body that gets brighter from side to side, with wide stripes; ``(K, J, I)``, different for each seed."""
    generator = np.random.default_rng(seed)
    k, j, i = np.meshgrid(*[np.arange(n, dtype=float) for n in shape], indexing="ij")
    bright = 40 * np.sin(i / 5 + generator.uniform(0, 6)) + 3 * j + generator.uniform(-20, 20)
    return bright + 20 * np.cos(k / 6 + generator.uniform(0, 6)) + generator.standard_normal(shape)


@pytest.fixture
def pool_of(tmp_path: Path) -> Callable[..., ScanPool]:
    """A pool of phantoms with these seeds, as large as the crops of a plan at least."""

    def make(plan: Plan, seeds: range) -> ScanPool:
        scans = []
        for seed in seeds:
            array = np.stack([phantom(seed)] * len(plan.channels))
            path = tmp_path / f"scan{seed}.nii.gz"
            write_volume(path, Volume(array.astype(np.float32), Geometry.from_spacing(array.shape[1:], UNIT)))
            scans.append(Scan(f"scan{seed}", (path,)))
        recipe = Recipe(tuple(plan.channels), plan.spacing, plan.orientation, region=plan.patch_size)
        return ScanPool(scans, recipe)

    return make


@pytest.fixture
def run_of(pool_of: Callable[..., ScanPool]) -> Callable[..., Run]:
    """Makes runs over four phantoms, looking at two others."""

    def make(folder: Path, settings: tuple[str, ...] = (), **changes: Any) -> Run:
        plan = changes.pop("plan", a_plan())
        config = MaeConfig().updated(["crops=2", "width=8", "mask.cell=4", *settings])
        method = Mae(config)
        torch.manual_seed(0)
        task = PretextTask(
            plan=plan,
            pool=pool_of(plan, range(4)),
            watched=pool_of(plan, range(100, 102)),
            held_out=True,
            method=method,
        )
        options = {
            "folder": folder,
            "task": task,
            "network": networks.build(plan.network, len(plan.channels), plan.classes),
            "method": method,
            "config": config.engine,
            "device": choose_device("cpu"),
            "precision": "fp32",
            "steps": 8,
        }
        return Run(**(options | changes))

    return make


@pytest.fixture
def plan_of() -> Callable[..., Plan]:
    """Makes plans; see :func:`a_plan`."""
    return a_plan
