"""Prediction of an array that is already on the model's grid, for validation during training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from medcontext.events import Reporter
from medcontext.inference.accumulate import predict_planes
from medcontext.inference.forward import mirrored_forward, network_forward
from medcontext.inference.windows import WindowGrid


@torch.inference_mode()
def predict_classes(
    network: nn.Module,
    image: np.ndarray | Tensor,
    patch_size: Sequence[int],
    overlap: float = 0.5,
    flips: Sequence[int] = (),
    precision: str = "fp32",
    *,
    left_right: int = 2,
    channel_order: Sequence[int] | None = None,
    batch: int = 1,
    reporter: Reporter | None = None,
) -> np.ndarray:
    """The strongest class of each voxel by sliding windows on the device the network is on.

    Args:
        network: from ``(B, C, *patch_size)`` to logits; its training mode is put back afterwards.
        image: ``(C, K, J, I)`` preprocessed.
        patch_size: window size; smaller images are padded with zeros.
        overlap: share of a window that the next one repeats.
        flips: array axes over which mirrored predictions are averaged.
        precision: fp32, bf16 or fp16.
        left_right: array axis from left to right, where ``channel_order`` applies.
        channel_order: channels of the logits after mirroring along ``left_right``; None keeps them.
        batch: windows in one call.
        reporter: asked between windows whether to stop.

    Returns:
        uint8 class indices ``(K, J, I)``.
    """
    tensor = torch.as_tensor(image if isinstance(image, Tensor) else np.ascontiguousarray(image)).float()
    grid = WindowGrid.cover(tensor.shape[1:], patch_size, overlap)
    device = next((p.device for p in network.parameters()), tensor.device)
    forward = mirrored_forward(network_forward(network, precision), flips, left_right, channel_order)
    axis = grid.slab_axis
    classes = np.zeros(grid.inner, np.uint8)
    planes_first = np.moveaxis(classes, axis, 0)
    training = network.training

    def before_call(_share: float) -> None:
        if reporter is not None:
            reporter.check_cancelled()

    network.eval()
    try:
        planes = predict_planes(
            forward, tensor, grid, axis=axis, device=device, batch=batch, before_call=before_call
        )
        for index, sums, _weight in planes:
            # The blending weight is positive and common to all classes: it does not change the largest.
            planes_first[index] = sums.max(0).indices.to(torch.uint8).cpu().numpy()
    finally:
        network.train(training)
    return classes
