"""The clusters that a run begins with."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from medcontext.methods.s3net.config import S3NetConfig
from medcontext.regions.grouping import groups

LEAST_DEVIATION = 1e-6
"""A channel that varies less is left as it is."""


def start_clusters(image: Tensor, clusters: int, config: S3NetConfig, seed: int) -> Tensor:
    """Groups of colour in a blurred copy of the image, by k-means.

    Args:
        image: what the network sees, ``(1, C, *spatial)``.
        clusters: groups at most.
        config: ``start_blur``.
        seed: of k-means.

    Returns:
        int64 ``(1, *spatial)`` on the device of the image.
    """
    values = image[0].detach().cpu().double().numpy()
    sigma = config.start_blur * max(values.shape[1:])
    blurred = ndimage.gaussian_filter(values, (0, *[sigma] * (values.ndim - 1)), mode="nearest")
    points = blurred.reshape(len(values), -1).T
    deviation = points.std(0)
    points = (points - points.mean(0)) / np.where(deviation > LEAST_DEVIATION, deviation, 1)
    found = groups(points, clusters, seed).reshape(1, *values.shape[1:])
    return torch.from_numpy(found).to(image.device)
