"""A network's encoder that sees part of a crop, and a head that rebuilds the rest."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from medcontext.engine.encoder_student import freeze_decoder
from medcontext.masking.network import MaskedNetwork
from medcontext.methods.mae.head import RebuildingHead
from medcontext.methods.mae.targets import statistics_of_seen
from medcontext.networks import SegmentationNetwork
from medcontext.networks.encoder import tap_channels
from medcontext.plan import Size


class MaskedAutoencoder(nn.Module):
    """Rebuilds hidden voxels (He et al., CVPR 2022; for convolutions as Tian et al., ICLR 2023, SparK, without its
    sparse convolutions).

    Hidden voxels are zero before anything sees them. Where the network looks at tokens, hidden ones are one learnt
    token as well, which tells them from dark ones.

    Args:
        network: only its encoder runs and learns.
        width: channels of the head.
        relative: the head speaks in deviations from the mean of what is seen, which instance norm, the first thing in
            many networks, takes away from the features.
    """

    def __init__(self, network: SegmentationNetwork, width: int, relative: bool) -> None:
        super().__init__()
        self.relative = relative
        tokens = max(network.mask_points().cell) > 1
        self.masked = MaskedNetwork(network, "token" if tokens else "input")
        self.head = RebuildingHead(tap_channels(network), width, network.in_channels)
        freeze_decoder(network)

    @property
    def network(self) -> SegmentationNetwork:
        """The network itself."""
        return self.masked.network

    def forward(self, image: Tensor, hidden: Tensor) -> Tensor:
        """What the image is taken to be, ``(B, C, K, J, I)``.

        Args:
            image: ``(B, C, K, J, I)``; what is hidden changes nothing.
            hidden: bool ``(B, K, J, I)``.
        """
        seen = image.masked_fill(hidden.unsqueeze(1), 0)
        features = self.masked.encode(seen, hidden)
        rebuilt: Tensor = self.head(features, cast(Size, tuple(image.shape[2:])))
        if not self.relative:
            return rebuilt
        mean, deviation = statistics_of_seen(image, hidden)
        return mean + deviation * rebuilt
