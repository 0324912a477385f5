"""What a training method gives to the loop: its losses and its state, never a loop of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from medcontext.data.sampling import generator_for
from medcontext.masking.network import MaskToken
from medcontext.plan import Plan


@dataclass(frozen=True)
class Stage:
    """A part of the run with a learning-rate cycle of its own.

    Attributes:
        name: shown in the log.
        share: share of all steps.
        learning_rate: factor on the configured learning rate.
        labelled: labelled patches per step, over all processes.
        unlabelled: unlabelled patches per step.
        weak_view: whether batches also carry a weakly changed view for a teacher.
    """

    name: str
    share: float
    learning_rate: float
    labelled: int
    unlabelled: int = 0
    weak_view: bool = False


@dataclass(frozen=True)
class Clock:
    """Where in the run a step is.

    Attributes:
        step: steps done before this one.
        total: steps of the run.
        stage: the stage it belongs to.
        stage_index: its index.
        stage_progress: share of the stage that is done, 0..1.
        seed: seed of the run.
    """

    step: int
    total: int
    stage: Stage
    stage_index: int
    stage_progress: float
    seed: int

    def generators(self, samples: Tensor, stream: int) -> list[np.random.Generator]:
        """Random numbers for each global sample index, the same however the batch is split."""
        return [generator_for(self.seed, self.step, int(sample), stream) for sample in samples]


@dataclass
class Views:
    """Patches of one stream.

    Attributes:
        image: ``(B, C, K, J, I)`` float32, augmented as the student sees it.
        weak: the same geometry with weak intensity changes, for a teacher; None when not asked for.
        labels: class indices ``(B, K, J, I)`` int64-compatible, 255 ignored.
        known: bool ``(B, classes)``.
        samples: global sample indices ``(B,)``.
    """

    image: Tensor
    weak: Tensor | None
    labels: Tensor
    known: Tensor
    samples: Tensor

    def to(self, device: torch.device) -> Views:
        """The same on a device, without waiting for it; the indices stay."""
        return Views(
            self.image.to(device, non_blocking=True),
            None if self.weak is None else self.weak.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
            self.known.to(device, non_blocking=True),
            self.samples,
        )


@dataclass
class Batch:
    """What one step of learning to segment sees on one process."""

    labelled: Views
    unlabelled: Views | None

    def to(self, device: torch.device) -> Batch:
        """The same on a device, without waiting for it."""
        return Batch(
            self.labelled.to(device), None if self.unlabelled is None else self.unlabelled.to(device)
        )


class Method(Protocol):
    """A way to learn. The loop calls ``build`` once, then ``loss`` and ``after_step`` each step."""

    name: str

    def build(self, network: nn.Module, plan: Plan) -> nn.Module:
        """Wrap the network; what is returned is optimised, its ``forward`` is what processes synchronise."""
        ...

    def stages(self, batch_size: int, unlabelled_cases: int, total: int) -> list[Stage]:
        """The stages of a run of ``total`` steps; shares sum to one."""
        ...

    def loss(self, student: nn.Module, batch: Any, clock: Clock) -> Mapping[str, Tensor]:
        """Named, weighted loss terms; their sum is minimised. Called under mixed precision.

        Args:
            student: what ``build`` gave.
            batch: what the task makes, such as :class:`Batch`.
            clock: where in the run this step is.
        """
        ...

    def after_step(self, student: nn.Module, momentum: float) -> None:
        """Called after each optimiser step; ``momentum`` is the engine's averaging momentum."""
        ...

    def deliver(self) -> nn.Module:
        """The network a user gets: evaluated on held-out cases and saved."""
        ...

    def mask_token(self) -> MaskToken | None:
        """What the network was taught to take for hidden parts; None where it was not, or voxels are hidden."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything beside the student that a resumed run needs."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        ...
