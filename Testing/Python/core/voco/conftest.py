"""Small plans, phantoms as files, and runs that learn from them in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medcontext import networks
from medcontext.data.pool import ScanPool
from medcontext.data.sampling import generator_for
from medcontext.data.scan_recipe import Recipe
from medcontext.data.scans import Scan
from medcontext.devices import choose_device
from medcontext.engine.method import Clock, Stage
from medcontext.engine.pretext_task import PretextTask
from medcontext.engine.run import Run
from medcontext.geometry import Geometry, Volume
from medcontext.io.write import write_volume
from medcontext.methods.voco.config import VoCoConfig
from medcontext.methods.voco.crops import CropBatch
from medcontext.methods.voco.method import VoCo
from medcontext.methods.voco.presets import preset
from medcontext.networks import SegmentationNetwork, registry
from medcontext.plan import Channel, Fingerprint, NetworkSpec, Plan, Size

UNIT = (1.0, 1.0, 1.0)
TINY = {
    "dynunet": {"filters": [4, 8, 8], "strides": [[1] * 3, [2] * 3, [2] * 3], "kernels": [[3] * 3] * 3},
    "swin_unetr": {"feature_size": 12, "depths": [1] * 4, "num_heads": [2] * 4, "window_size": 4},
}
NARROW = ("projector.hidden=16", "projector.out=16", "resize_volume=null", "cell=null", "crop_size=null")
"""Settings that make any preset small."""


def a_plan(network: str = "dynunet", crop: Size = (8, 8, 8), channels: int = 1, batch: int = 2) -> Plan:
    """The plan of a small network; the crop is rounded to what the network takes."""
    kwargs = TINY.get(network) or registry.default_kwargs(network, crop, UNIT, "small")
    return Plan(
        channels=[Channel(name=f"channel {n}", modality="MRI") for n in range(channels)],
        labels=[],
        spacing=UNIT,
        patch_size=registry.round_patch(network, kwargs, crop),
        batch_size=batch,
        steps=1000,
        network=NetworkSpec(name=network, kwargs=kwargs),
        fingerprint=Fingerprint(
            cases=4,
            median_shape=(10, 26, 28),
            median_spacing=UNIT,
            spacing_range=(UNIT, UNIT),
            field_of_view_range=(UNIT, UNIT),
            anisotropy=1.0,
        ),
    )


def phantom(seed: int, shape: Size = (10, 26, 28)) -> np.ndarray:
    """Stripes of two kinds, one stronger along J and one along I, in noise; ``(K, J, I)``.

    Texture tells the place, brightness does not: most encoders normalise every crop.
    """
    generator = np.random.default_rng(seed)
    k, j, i = np.meshgrid(*[np.arange(n, dtype=float) for n in shape], indexing="ij")
    first, second = generator.uniform(0, 6, 2)
    flat = 3 * j / shape[1] * np.sin(1.5 * k + first)
    upright = 3 * i / shape[2] * np.sin(1.1 * (i + j) + second)
    return flat + upright + 0.2 * generator.standard_normal(shape)


class Built:
    """A method with a small network, and crops for it.

    Attributes:
        method, network, plan, student: as the engine would have them.
    """

    def __init__(self, config: VoCoConfig, plan: Plan, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.plan = plan
        self.network: SegmentationNetwork = networks.build(plan.network, len(plan.channels), plan.classes)
        self.method = VoCo(config)
        self.student: Any = self.method.build(self.network, plan)

    @property
    def teacher(self) -> Any:
        """The module that the student is compared with."""
        averaged = self.method._teacher
        return None if averaged is None else averaged.network

    def batch(self, volumes: int = 2, seed: int = 0) -> CropBatch:
        """Crops of so many noisy scans."""
        region = self.method.config.region(self.plan.patch_size)
        shape = (len(self.plan.channels), *(n + 3 for n in region))
        scans = [np.random.default_rng(n).standard_normal(shape).astype(np.float16) for n in range(volumes)]
        generators = [generator_for(seed, 0, n) for n in range(volumes)]
        return self.method.make(scans, list(range(volumes)), generators)

    def clock(self, step: int = 0, total: int = 100) -> Clock:
        """Where in a run of ``total`` steps."""
        return Clock(step, total, Stage("voco", 1.0, 1.0, 0, 2), 0, step / total, 0)

    def loss(self, batch: CropBatch, step: int = 0) -> dict[str, torch.Tensor]:
        """Terms of a step."""
        return dict(self.method.loss(self.student, batch, self.clock(step)))


@pytest.fixture
def built() -> Callable[..., Built]:
    """``built("repo", "grid=[1,2,2]", plan=...)``: a small method of a preset with settings; see :class:`Built`."""

    def make(name: str = "default", *settings: str, plan: Plan | None = None, seed: int = 0) -> Built:
        return Built(preset(name).updated([*NARROW, *settings]), plan or a_plan(), seed)

    return make


@pytest.fixture
def plan_of() -> Callable[..., Plan]:
    """Makes plans; see :func:`a_plan`."""
    return a_plan


@pytest.fixture
def pool_of(tmp_path: Path) -> Callable[..., ScanPool]:
    """A pool of phantoms with these seeds."""

    def make(plan: Plan, region: Size, seeds: range) -> ScanPool:
        scans, (_, j, i) = [], region
        for seed in seeds:
            array = phantom(seed, (10, j + 2, i + 4))[None].astype(np.float32)
            path = tmp_path / f"scan{seed}.nii.gz"
            write_volume(path, Volume(array, Geometry.from_spacing(array.shape[1:], UNIT)))
            scans.append(Scan(f"scan{seed}", (path,)))
        return ScanPool(scans, Recipe(tuple(plan.channels), plan.spacing, plan.orientation, region))

    return make


@pytest.fixture
def run_of(pool_of: Callable[..., ScanPool]) -> Callable[..., Run]:
    """``run_of(folder, "repo", ("grid=[1,2,2]",), scans=9)``: a run over so many phantoms, looking at two others."""

    def make(folder: Path, name: str = "default", settings: tuple[str, ...] = (), **changes: Any) -> Run:
        plan = changes.pop("plan", a_plan())
        config = preset(name).updated([*NARROW, *settings])
        method, region = VoCo(config), config.region(plan.patch_size)
        torch.manual_seed(0)
        options = {
            "folder": folder,
            "task": PretextTask(
                plan=plan,
                pool=pool_of(plan, region, range(changes.pop("scans", 4))),
                watched=pool_of(plan, region, range(100, 102)),
                held_out=True,
                method=method,
            ),
            "network": networks.build(plan.network, len(plan.channels), plan.classes),
            "method": method,
            "config": config.engine,
            "device": choose_device("cpu"),
            "precision": "fp32",
            "steps": 5,
        }
        return Run(**(options | changes))

    return make
