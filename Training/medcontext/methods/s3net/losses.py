"""What S3-Net minimises, as pure functions of logits ``(1, K, *spatial)`` and labels ``(1, *spatial)``, 2D and 3D."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100
"""Label of voxels that a loss does not look at."""
GREY = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in a grey value (ITU-R BT.601)."""
SMOOTH, DERIVE = (1.0, 2.0, 1.0), (-1.0, 0.0, 1.0)
"""Sobel's kernels along one axis."""


def self_labelling(logits: Tensor, labels: Tensor | None = None) -> Tensor:
    """Cross-entropy to the largest logit of each voxel (Kim et al. 2020, arXiv 2007.09990, equation 3).

    Args:
        logits: of the network.
        labels: int64, instead of the largest logits.
    """
    return functional.cross_entropy(logits, logits.argmax(1) if labels is None else labels)


def nearest_clusters(logits: Tensor) -> Tensor:
    """The cluster, int64 ``(1, *spatial)``, whose mean logits are nearest to those of a voxel (one step of Lloyd's).

    The means are those of the clusters by largest logit; a cluster without a voxel stays without.
    """
    points = logits.flatten(2)[0].T
    largest = points.argmax(1)
    counts = torch.bincount(largest, minlength=points.shape[1])
    sums = torch.zeros(points.shape[1], points.shape[1], dtype=points.dtype, device=points.device)
    means = sums.index_add(0, largest, points) / counts.clamp_min(1)[:, None]
    # |p - m|^2 without what is the same for all clusters
    distance = (means**2).sum(1) - 2 * points @ means.T
    return (
        distance.masked_fill(counts == 0, float("inf")).argmin(1).reshape(logits.shape[0], *logits.shape[2:])
    )


def affine(aux: Tensor, labels: Tensor, valid: Tensor | None = None) -> Tensor:
    """Cross-entropy of the other head to labels of the same view.

    Args:
        aux: logits.
        labels: int64.
        valid: bool ``(1, *spatial)``; voxels of the view that lie in the image.
    """
    return functional.cross_entropy(aux, labels if valid is None else labels.masked_fill(~valid, IGNORED))


def affine_output(aux: Tensor, labels: Tensor) -> Tensor:
    """The published term: logits and labels turned by 90 degrees in the plane (J, I).

    Turning both alike moves the voxels and changes no sum over them, so that this is :func:`affine` to the labels of
    the unturned image.
    """
    return affine(aux.rot90(-1, (-2, -1)), labels.rot90(-1, (-2, -1)))


def total_variation(logits: Tensor) -> Tensor:
    """``mean |o_(i+1,j) - o_(i,j)| + mean |o_(i,j+1) - o_(i,j)|`` (Kim et al. 2020, equation 4), over all axes.

    An axis of one voxel adds nothing.
    """
    axes = [axis for axis in range(2, logits.ndim) if logits.shape[axis] > 1]
    return sum((logits.diff(dim=axis).abs().mean() for axis in axes), start=logits.new_zeros(()))


def soft_sobel(probabilities: Tensor) -> Tensor:
    """The published spatial term, of probabilities ``(1, K, *spatial)`` instead of labels: it has a gradient.

    The mean over voxels of ``sum_c |S_b - S_a| + |S_ab - S_a| + |S_ab - S_b|``, over all pairs of axes (a, b).
    """
    return _sobel_terms(probabilities.flatten(0, 1).unsqueeze(1)) * probabilities.shape[1]


@torch.no_grad()
def sobel_labels(labels: Tensor, generator: np.random.Generator) -> Tensor:
    """The published spatial term: of grey values that the labels have in a random palette; there is no gradient.

    ``mean |S_b - S_a| + mean |S_ab - S_a| + mean |S_ab - S_b|`` with S Sobel's derivatives along J (a), I (b) and
    both; in 3D the sum over the three pairs of axes. It depends on the palette, and so on how labels are numbered.

    Args:
        labels: int64 ``(1, *spatial)``.
        generator: draws the palette, 0..254 for each colour.
    """
    colours = generator.integers(0, 255, (int(labels.max()) + 1, 3))
    grey = torch.from_numpy((colours @ GREY).round() / 255).float().to(labels.device)
    return _sobel_terms(grey[labels].unsqueeze(1))


def _sobel_terms(x: Tensor) -> Tensor:
    """Mean of the three differences over ``(N, 1, *spatial)``, summed over pairs of axes."""
    total = x.new_zeros(())
    for a, b in combinations(range(2, x.ndim), 2):
        along_a, along_b, both = sobel(x, (a,)), sobel(x, (b,)), sobel(x, (a, b))
        for one, other in ((along_b, along_a), (both, along_a), (both, along_b)):
            total = total + (one - other).abs().mean()
    return total


def sobel(x: Tensor, along: tuple[int, ...]) -> Tensor:
    """Sobel's derivative of ``(N, 1, *spatial)`` along some axes, smoothed along the others; borders are mirrored."""
    dims = x.ndim - 2
    convolve = functional.conv3d if dims == 3 else functional.conv2d
    for axis in range(2, x.ndim):
        kernel = x.new_tensor(DERIVE if axis in along else SMOOTH)
        pad = [0, 0] * dims
        pad[2 * (x.ndim - 1 - axis)] = pad[2 * (x.ndim - 1 - axis) + 1] = 1
        shape = [3 if n == axis else 1 for n in range(2, x.ndim)]
        x = convolve(functional.pad(x, pad, mode="reflect"), kernel.view(1, 1, *shape))
    return x
