"""The weights that did best on the validation cases."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from torch import nn

from medcontext.engine.delivery import Delivery
from medcontext.masking.network import MaskToken


class Best:
    """Keeps the weights with the highest mean Dice; the later ones of two that are equal.

    Attributes:
        record: score, Dice per label, weights and mask token, as a checkpoint holds them; None before the first.
    """

    def __init__(self, record: dict[str, Any] | None = None) -> None:
        self.record = record

    @property
    def dice(self) -> dict[str, float]:
        """Dice per label of what is kept."""
        return {} if self.record is None else dict(self.record["dice"])

    def consider(self, dice: Mapping[str, float], delivery: Delivery) -> None:
        """Keep what would be delivered now if it is as good as what is kept."""
        score = sum(dice.values()) / max(1, len(dice))
        if self.record is not None and score < self.record["score"]:
            return
        weights = {k: v.detach().cpu().clone() for k, v in delivery.network().state_dict().items()}
        token = delivery.mask_token()
        vector = None if token is None else token.vector
        self.record = {"score": score, "dice": dict(dice), "weights": weights, "mask_token": vector}

    def delivered(self, delivery: Delivery) -> tuple[nn.Module, MaskToken | None]:
        """The best network, on the CPU in fp32, and its mask token; the present one where none was validated."""
        network, token = deepcopy(delivery.network()).cpu().float().eval(), delivery.mask_token()
        if self.record is not None:
            network.load_state_dict(self.record["weights"])
            if token is not None:
                token = replace(token, vector=self.record["mask_token"])
        return network, token
