"""Which patch is cut where: balanced over the foreground classes, reproducible from (seed, step, sample)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
    case: PreparedCase, size: Size, generator: np.random.Generator, foreground_share: float = FOREGROUND_SHARE
) -> Patch:
    """Cut a box of ``size`` voxels.

    On an axis where the case is smaller than the box the case is centred, so that it is always whole.
    Elsewhere the box is centred on a voxel of a class drawn uniformly from the classes the case has,
    or lies anywhere inside.
    """
    shape = case.image.shape[1:]
    present = [c for c in range(1, len(case.locations)) if len(case.locations[c])]
    center = None
    if present and generator.random() < foreground_share:
        locations = case.locations[present[generator.integers(len(present))]]
        center = locations[generator.integers(len(locations))]
    start = [_start(axis, shape[axis], size[axis], center, generator) for axis in range(3)]
    return cut(case, (start[0], start[1], start[2]), size)


def _start(axis: int, length: int, width: int, center: np.ndarray | None, generator: np.random.Generator) -> int:
    if length <= width:
        return -((width - length) // 2)
    if center is None:
        return int(generator.integers(0, length - width + 1))
    jitter = int(generator.integers(-(width // 6), width // 6 + 1))
    return int(np.clip(int(center[axis]) - width // 2 + jitter, 0, length - width))


def cut(case: PreparedCase, start: Size, size: Size) -> Patch:
    """The box of ``size`` voxels from index ``start``, which may lie outside the case."""
    shape = case.image.shape[1:]
    image = np.zeros((case.image.shape[0], *size), np.float32)
    labels = np.full(size, IGNORE, np.uint8)
    source = tuple(slice(max(0, s), min(n, s + w)) for s, w, n in zip(start, size, shape, strict=True))
    if all(r.start < r.stop for r in source):
        target = tuple(slice(r.start - s, r.stop - s) for r, s in zip(source, start, strict=True))
        image[(slice(None), *target)] = case.image[(slice(None), *source)]
        if case.labels is not None:
            labels[target] = case.labels[source]
    return Patch(image, labels, case.known)


def with_margin(size: Size, share: float) -> Size:
    """``size`` grown so that rotated and shrunk patches find image at their corners; even growth a side."""
    k, j, i = (n + 2 * round(n * share / 2) for n in size)
    return k, j, i


def balanced_counts(cases: Sequence[PreparedCase]) -> np.ndarray:
    """Annotated voxels per class over all cases (up to the stored locations), background first."""
    classes = max(len(case.locations) for case in cases)
    return np.array([sum(len(c.locations[k]) for c in cases if len(c.locations) > k) for k in range(classes)])
