"""Which patch is cut where: balanced over the foreground classes, reproducible from (seed, step, sample)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medcontext.data.boxes import cut_box
from medcontext.data.preprocess import PreparedCase
from medcontext.labels import IGNORE
from medcontext.plan import Size

FOREGROUND_SHARE = 2 / 3
"""Share of the patches centred on an annotated structure; the rest lies anywhere (nnU-Net oversamples 1/3)."""


@dataclass(frozen=True)
class Patch:
    """A box cut from a prepared case, before augmentation.

    Attributes:
        image: float32 ``(C, K, J, I)``; zero (the mean, after normalisation) outside the case.
        labels: uint8 ``(K, J, I)``; 255 outside the case and where there are no labels.
        known: bool per class.
    """

    image: np.ndarray
    labels: np.ndarray
    known: np.ndarray


def generator_for(seed: int, step: int, sample: int, stream: int = 0) -> np.random.Generator:
    """The random numbers of one sample: independent of workers, processes and order.

    ``sample`` is the index in the global batch; ``stream`` tells labelled from unlabelled draws.
    """
    return np.random.default_rng([seed, step, sample, stream])


def draw_case(count: int, seed: int, step: int, sample: int, batch: int, stream: int = 0) -> int:
    """Index of the case for one sample: every case once an epoch, in an order of its own each epoch."""
    position = step * batch + sample
    epoch, place = divmod(position, count)
    return int(np.random.default_rng([seed, epoch, stream, 7919]).permutation(count)[place])


def draw_patch(
    case: PreparedCase,
    size: Size,
    generator: np.random.Generator,
    foreground_share: float = FOREGROUND_SHARE,
    margin: Size = (0, 0, 0),
) -> Patch:
    """Cut a box of ``size`` voxels, and ``margin`` voxels around it on each side.

    On an axis where the case is smaller than the box the case is centred, so that it is always whole.
    Elsewhere the box is centred on a voxel of a class drawn uniformly from the classes the case has,
    or lies anywhere inside. The margin may reach beyond the case; the box decides where it lies, so that
    borders are seen as often as the middle.
    """
    shape = case.image.shape[1:]
    present = [c for c in range(1, len(case.locations)) if len(case.locations[c])]
    center = None
    if present and generator.random() < foreground_share:
        locations = case.locations[present[generator.integers(len(present))]]
        center = locations[generator.integers(len(locations))]
    start = [_start(axis, shape[axis], size[axis], center, generator) for axis in range(3)]
    k, j, i = (s - m for s, m in zip(start, margin, strict=True))
    grown = (size[0] + 2 * margin[0], size[1] + 2 * margin[1], size[2] + 2 * margin[2])
    return cut(case, (k, j, i), grown)


def _start(
    axis: int, length: int, width: int, center: np.ndarray | None, generator: np.random.Generator
) -> int:
    if length <= width:
        return -((width - length) // 2)
    if center is None:
        return int(generator.integers(0, length - width + 1))
    jitter = int(generator.integers(-(width // 6), width // 6 + 1))
    return int(np.clip(int(center[axis]) - width // 2 + jitter, 0, length - width))


def cut(case: PreparedCase, start: Size, size: Size) -> Patch:
    """The box of ``size`` voxels from index ``start``, which may lie outside the case."""
    image = cut_box(case.image, start, size, 0, np.float32)
    labels = np.full(size, IGNORE, np.uint8)
    if case.labels is not None:
        labels = cut_box(np.asarray(case.labels), start, size, IGNORE, np.uint8)
    return Patch(image, labels, case.known)


def margin_of(size: Size, share: float) -> Size:
    """Voxels added on each side so that rotated and shrunk patches find image at their corners."""
    k, j, i = (round(n * share / 2) for n in size)
    return k, j, i
