"""The part of a segmentation network that pre-training teaches: its encoder."""

from __future__ import annotations

from medcontext.networks import SegmentationNetwork
from medcontext.networks.encoder import encoder_names


def freeze_decoder(network: SegmentationNetwork) -> None:
    """Let only what ``encode()`` uses learn.

    The decoder is not run while pre-training: parameters without a gradient would stop several processes, and weight
    decay would shrink them.
    """
    learning = set(encoder_names(network))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in learning)
