"""Masked-volume reconstruction on the common engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from torch import Tensor, nn

from medcontext.engine.ema import AveragedNetwork
from medcontext.engine.method import Clock, Stage
from medcontext.engine.pretext_watch import Look
from medcontext.errors import InputError
from medcontext.methods.mae.autoencoder import MaskedAutoencoder
from medcontext.methods.mae.batch import MaskedCrops, draw_crops
from medcontext.methods.mae.config import MaeConfig
from medcontext.methods.mae.signals import Rebuilding
from medcontext.methods.mae.targets import error_of_hidden, target_of
from medcontext.networks import SegmentationNetwork
from medcontext.networks.sizes import text
from medcontext.plan import Plan


class Mae:
    """Mean squared error of hidden voxels; averaged weights are judged and delivered."""

    name = "mae"

    def __init__(self, config: MaeConfig) -> None:
        self.config = config
        self._averaged: AveragedNetwork | None = None
        self._plan: Plan | None = None

    def build(self, network: nn.Module, plan: Plan) -> nn.Module:
        """Encoder and head.

        Raises:
            InputError: the network does not take crops of this size, or a crop has too few cells to hide some.
        """
        network = cast(SegmentationNetwork, network)
        network.patch_rule.check(network.name, plan.patch_size)
        mask = self.config.mask.on_tokens(network.mask_points().cell)
        cells = int(np.prod(mask.cells(plan.patch_size)))
        if int(mask.ratio * cells) in (0, cells):
            raise InputError(
                f"A crop of {text(plan.patch_size)} voxels has {cells} cell(s) to hide; of those a ratio of "
                f"{mask.ratio:g} hides none.",
                "Take smaller cells (--set mask.cell=4) or larger crops (--set crop_size=64).",
            )
        self.config, self._plan = self.config.model_copy(update={"mask": mask}), plan
        student = MaskedAutoencoder(network, self.config.width, relative=not self.config.normalise_cells)
        student.to(next(network.parameters()).device)
        self._averaged = AveragedNetwork(student)
        return student

    def stages(self, batch_size: int, unlabelled_cases: int, total: int) -> list[Stage]:  # noqa: ARG002
        return [Stage("reconstruction", 1.0, 1.0, labelled=0, unlabelled=batch_size)]

    def make(
        self,
        volumes: Sequence[np.ndarray],
        samples: Sequence[int],  # noqa: ARG002
        generators: Sequence[np.random.Generator],
    ) -> MaskedCrops:
        """Crops of volumes ``(C, K, J, I)`` with hidden cells."""
        return draw_crops(volumes, generators, self._built[1], self.config)

    def loss(self, student: nn.Module, batch: MaskedCrops, clock: Clock) -> Mapping[str, Tensor]:  # noqa: ARG002
        rebuilt = student(batch.image, batch.hidden)
        target = target_of(batch.image, self.config)
        return {"reconstruction": error_of_hidden(rebuilt, target, batch.hidden)}

    def look_at(self, volumes: Sequence[np.ndarray], ids: Sequence[str]) -> Look:
        """Rebuilds crops of these volumes, the same ones at every look."""
        averaged, plan = self._built
        return Rebuilding(cast(MaskedAutoencoder, averaged.network), self.config, plan, volumes, ids)

    def after_step(self, student: nn.Module, momentum: float) -> None:
        self._built[0].update(student, momentum)

    def deliver(self) -> nn.Module:
        return cast(MaskedAutoencoder, self._built[0].network).network

    def mask_token(self) -> None:
        return None

    def state_dict(self) -> dict[str, Any]:
        return {"averaged": self._built[0].state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._built[0].load_state_dict(state["averaged"])

    @property
    def _built(self) -> tuple[AveragedNetwork, Plan]:
        if self._averaged is None or self._plan is None:
            raise RuntimeError("build() comes first")
        return self._averaged, self._plan
