"""What learns in VoCo: an encoder with a projector behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from medcontext.engine.encoder_student import freeze_decoder
from medcontext.errors import InputError
from medcontext.methods.voco.config import VoCoConfig
from medcontext.methods.voco.projector import NARROW, WIDE, Projector
from medcontext.networks import SegmentationNetwork
from medcontext.networks.encoder import tap_channels

LEFT_OUT = {"swin_unetr": (4,)}
"""Outputs that "auto" does not look at: Swin UNETR's tokens that feed no block of the encoder (published: 24 times the
feature size in all)."""


class Student(nn.Module):
    """Embeds crops by what the encoder of a segmentation network says of them.

    The mean over space of each of the encoder's outputs, one after the other, goes through the projector. The decoder
    is not run and does not learn.

    Args:
        network: any registered one; the weights are its own.
        config: which outputs are looked at, and the projector.

    Raises:
        InputError: the encoder has no such output.
    """

    def __init__(self, network: SegmentationNetwork, config: VoCoConfig) -> None:
        super().__init__()
        freeze_decoder(network)
        self.network = network
        channels = tap_channels(network)
        self.taps = config.taps if config.taps != "auto" else _all_taps(network.name, len(channels))
        if max(self.taps) >= len(channels):
            raise InputError(
                f"The encoder of {network.name} has {len(channels)} outputs, not one with the number "
                f"{max(self.taps)}.",
                f"Give numbers from 0 to {len(channels) - 1}, or taps=auto.",
            )
        self.features = sum(channels[tap] for tap in self.taps)
        device = next(network.parameters()).device
        self.width = NARROW if device.type == "cpu" else WIDE
        self.projector = Projector(self.features, config.projector, self.width).to(device)

    def forward(self, crops: Tensor, kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Embeddings ``(N, D)`` and pooled features ``(N, F)`` of crops ``(N, C, k, j, i)``.

        Args:
            crops: of the size that the network takes.
            kept: ``(N, 1)`` factors on the features that the projector sees; None: 1.
        """
        maps = self.network.encode(crops)
        pooled = torch.cat([maps[tap].float().mean((2, 3, 4)) for tap in self.taps], dim=1)
        return self.projector(pooled if kept is None else kept * pooled), pooled

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As in any module.

        Raises:
            InputError: the projector has another width.
        """
        for name, value in self.projector.state_dict(prefix="projector.").items():
            if name in state_dict and state_dict[name].shape != value.shape:
                raise InputError(
                    f"The run was begun with a projector of {len(state_dict[name])} numbers, on another kind of "
                    "device or with other settings.",
                    "Continue it there, or give projector.hidden and projector.out by --set.",
                )
        return super().load_state_dict(state_dict, strict, assign)


def _all_taps(name: str, count: int) -> tuple[int, ...]:
    return tuple(tap for tap in range(count) if tap not in LEFT_OUT.get(name, ()))
