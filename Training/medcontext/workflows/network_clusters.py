"""Clusters of one image by S3-Net: the image goes in, the cluster of each of its voxels comes out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medcontext.devices import choose_device, tune_cpu
from medcontext.engine.loop import train
from medcontext.engine.single_image import single_image_run
from medcontext.events import Reporter
from medcontext.geometry import Triple, Volume
from medcontext.methods.s3net.config import S3NetConfig
from medcontext.methods.s3net.method import S3NetMethod, make_network
from medcontext.methods.s3net.picture import prepare
from medcontext.workflows.working_copy import STAGE, Clusters, averaged, is_plane

_OBLONG = 1.25
"""A pixel that is so much longer than wide counts: the network then sees the slice in millimetres."""
_BAND_NUMBERS = 2**24
"""Enlarged logits held at a time: 64 MiB, whatever the image."""


def network_clusters(
    image: Volume, config: S3NetConfig, seed: int, device: str, reporter: Reporter
) -> Clusters:
    """Let a new network learn to group the voxels of an image, and group them.

    Args:
        image: float32 ``(C, K, J, I)``; with an axis of length 1 it is a picture, else a volume.
        config: settings of the method.
        seed: of weights and draws.
        device: where to compute, see :func:`medcontext.devices.choose_device`.
        reporter: progress of the stage ``propose``, with ``clusters``; asked between iterations whether to stop.

    Raises:
        InputError: there is no such device.
        CancelledError: someone asked to stop.
    """
    chosen = choose_device(device, reporter)
    if chosen.kind == "cpu":
        tune_cpu()
    seen = prepare(_without_axis(_proportionate(image, config)), config)
    method = S3NetMethod(config)
    run = single_image_run(
        seen,
        make_network(config, seen, seed),
        method,
        config.engine,
        chosen,
        steps=config.most_iterations,
        seed=seed,
        stage=STAGE,
        finished=method.finished,
        facts=lambda: {"clusters": method.clusters_left},
    )
    reporter.progress(STAGE, 0, step=0, total=config.most_iterations)
    outcome = train(run, reporter)
    largest = largest_logits(method.logits().float().cpu(), [n for n in image.shape if n > 1])
    reporter.progress(STAGE, 1, step=outcome.steps, total=outcome.steps, clusters=method.clusters_left)
    return Clusters(largest.reshape(image.shape), outcome.steps, chosen.name)


def largest_logits(logits: Tensor, shape: list[int]) -> np.ndarray:
    """The class with the largest logit at each voxel of a finer grid over the same box.

    Logits are interpolated linearly, band after band along the first axis, so that classes times voxels is never held.

    Args:
        logits: ``(classes, *spatial)``, two axes or three.
        shape: of the finer grid.

    Returns:
        int16 ``(*shape)``.
    """
    classes, *coarse = logits.shape
    mode = "bilinear" if len(shape) == 3 else "linear"
    place = torch.clamp((torch.arange(shape[0]) + 0.5) * coarse[0] / shape[0] - 0.5, 0, coarse[0] - 1)
    low = place.floor().long()
    weight = (place - low).view(-1, 1, *[1] * len(coarse[1:]))
    by_row = logits.transpose(0, 1)
    result = np.empty(shape, np.int16)
    band = max(1, _BAND_NUMBERS // (classes * int(np.prod(shape[1:]))))
    for start in range(0, shape[0], band):
        part = slice(start, start + band)
        upper = by_row[torch.clamp(low[part] + 1, max=coarse[0] - 1)]
        rows = torch.lerp(by_row[low[part]], upper, weight[part])
        fine = functional.interpolate(rows, size=shape[1:], mode=mode, align_corners=False)
        result[part] = fine.argmax(1).numpy()
    return result


def _without_axis(image: Volume) -> np.ndarray:
    """``(C, J, I)`` of a picture, ``(C, K, J, I)`` of a volume."""
    return image.array.reshape(image.channels, *[n for n in image.shape if n > 1])


def _proportionate(image: Volume, config: S3NetConfig) -> Volume:
    """A slice of oblong pixels at the size at which the network sees it, so that a millimetre is about as long in
    both directions; other images as they are."""
    sides = [(n, size) for n, size in zip(image.shape, image.spacing, strict=True) if n > 1]
    sizes = [size for _, size in sides]
    if not is_plane(image.shape) or config.square or max(sizes) < _OBLONG * min(sizes):
        return image
    pixel = max(n * size for n, size in sides) / config.size
    shape: Triple = tuple(  # type: ignore[assignment]
        max(1, min(n, round(n * size / pixel))) for n, size in zip(image.shape, image.spacing, strict=True)
    )
    return Volume(averaged(image.array, shape), image.geometry.resampled(shape))
