"""The task of learning from one image alone, which every step sees whole; nothing is kept but what was learnt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medcontext.devices import Device
from medcontext.engine.config import EngineConfig
from medcontext.engine.keeping import Troubles
from medcontext.engine.method import Method, Stage
from medcontext.engine.run import Run
from medcontext.engine.task import Shard, Unwatched
from medcontext.events import Reporter
from medcontext.plan import Channel, Fingerprint, Intensity, NetworkSpec, Plan


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """What every step sees: ``image`` is ``(1, C, *spatial)``, spatial ``(J, I)`` or ``(K, J, I)``."""

    image: Tensor

    def to(self, device: torch.device) -> ImageBatch:
        """The same on a device; itself where it lies there already."""
        image = self.image.to(device, non_blocking=True)
        return self if image is self.image else ImageBatch(image)


@dataclass(frozen=True)
class _SameBatch:
    """The batches of such a run: always the same one, made by no thread."""

    batch: ImageBatch

    def iterate(self, first: int, total: int, stages: list[Stage]) -> Iterator[ImageBatch]:  # noqa: ARG002
        for _ in range(first, total):
            yield self.batch


@dataclass(frozen=True)
class SingleImageTask:
    """Learning from one image; nothing is validated and nobody watches.

    Attributes:
        plan: what the method's ``build`` is given; see :func:`plan_of`.
        image: ``(1, C, *spatial)``, best on the device already.
    """

    plan: Plan
    image: Tensor
    unlabelled_cases = 0
    chooses = False
    judging_share = 0.0

    def batches(self, seed: int, shard: Shard) -> _SameBatch:  # noqa: ARG002
        """The image, again and again."""
        return _SameBatch(ImageBatch(self.image))

    def validate(self, network: nn.Module) -> dict[str, float]:  # noqa: ARG002
        """Nothing."""
        return {}

    def watcher(self, folder: Path, reporter: Reporter, troubles: Troubles) -> Unwatched:  # noqa: ARG002
        """Nobody."""
        return Unwatched()

    def after_a_quarter(self, network: nn.Module, reporter: Reporter) -> None:
        """Nothing is warned of."""


def plan_of(image: Tensor, network: NetworkSpec, steps: int) -> Plan:
    """The plan of an image ``(1, C, *spatial)`` as the network sees it: one patch, which is all of it, 1 mm voxels."""
    unit = (1.0, 1.0, 1.0)
    shape = (1, *image.shape[2:])[-3:]
    extent = tuple(float(n) for n in shape)
    return Plan(
        channels=[
            Channel(name=f"channel {n}", modality="image", intensity=Intensity(kind="none"))
            for n in range(image.shape[1])
        ],
        labels=[],
        spacing=unit,
        patch_size=shape,
        batch_size=1,
        steps=steps,
        network=network,
        fingerprint=Fingerprint(
            cases=1,
            median_shape=shape,
            median_spacing=unit,
            spacing_range=(unit, unit),
            field_of_view_range=(extent, extent),  # type: ignore[arg-type]
            anisotropy=1.0,
        ),
    )


def single_image_run(
    image: Tensor,
    network: nn.Module,
    method: Method,
    config: EngineConfig,
    device: Device,
    *,
    steps: int,
    seed: int = 0,
    stage: str = "train",
    finished: Callable[[int], bool] = lambda steps: False,  # noqa: ARG005
    facts: Callable[[], Mapping[str, Any]] = dict,
) -> Run:
    """A run that learns from one image in at most ``steps`` steps and keeps no records.

    Args:
        image: ``(1, C, *spatial)`` float32.
        network: initialised, takes ``image``.
        method: how it learns.
        config: settings of the loop.
        device: where it runs; the image is brought there once.
        steps: iterations at most.
        seed: of all draws.
        stage: see :class:`~medcontext.engine.run.Run`, as ``finished`` and ``facts``.
        finished: the stop rule.
        facts: what each progress event carries.
    """
    there = image.to(device.torch_device)
    spec = NetworkSpec(name=type(network).__name__.lower())
    return Run(
        folder=None,
        task=SingleImageTask(plan_of(image, spec, steps), there),
        network=network,
        method=method,
        config=config,
        device=device,
        precision="fp32",
        seed=seed,
        steps=steps,
        finished=finished,
        stage=stage,
        facts=facts,
    )
