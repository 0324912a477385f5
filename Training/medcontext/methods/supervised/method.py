"""Supervised segmentation on the common engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from medcontext.engine.ema import AveragedNetwork
from medcontext.engine.method import Batch, Clock, Stage
from medcontext.losses.dice_cross_entropy import DiceCrossEntropy
from medcontext.masking.network import MaskedNetwork
from medcontext.methods.supervised.config import SupervisedConfig
from medcontext.plan import Plan


class Supervised:
    """Dice and cross-entropy on the clean view; averaged weights are delivered."""

    name = "supervised"

    def __init__(self, config: SupervisedConfig) -> None:
        self.config = config
        self._loss = DiceCrossEntropy(config.segmentation)
        self._averaged: AveragedNetwork | None = None

    def build(self, network: nn.Module, plan: Plan) -> nn.Module:  # noqa: ARG002
        self._averaged = AveragedNetwork(network)
        return MaskedNetwork(network, "input")  # type: ignore[arg-type]

    def stages(self, batch_size: int, unlabelled_cases: int, total: int) -> list[Stage]:  # noqa: ARG002
        return [Stage("supervised", 1.0, 1.0, labelled=batch_size)]

    def loss(self, student: nn.Module, batch: Batch, clock: Clock) -> Mapping[str, Tensor]:  # noqa: ARG002
        views = batch.labelled
        return {"supervised": self._loss.deep(student(views.image), views.labels, views.known)}

    def after_step(self, student: nn.Module, momentum: float) -> None:
        self._average().update(student.network, momentum)  # type: ignore[arg-type]

    def deliver(self) -> nn.Module:
        return self._average().network

    def mask_token(self) -> None:
        return None

    def state_dict(self) -> dict[str, Any]:
        return {"averaged": self._average().state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._average().load_state_dict(state["averaged"])

    def _average(self) -> AveragedNetwork:
        if self._averaged is None:
            raise RuntimeError("build() comes first")
        return self._averaged
