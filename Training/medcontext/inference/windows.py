"""Where sliding windows lie and how much each of their voxels counts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medcontext.errors import InputError
from medcontext.plan import Size

SIGMA = 0.125
"""Standard deviation of the blending Gaussian as a share of the window."""

SMALLEST_WEIGHT = 1e-3
"""Lower bound of the weight along one axis: the product of three stays far above the smallest float32."""


def window_starts(size: int, patch: int, overlap: float) -> list[int]:
    """Starts of the fewest windows, spread evenly, that cover an axis and share at least ``overlap``."""
    if size <= patch:
        return [0]
    count = math.ceil((size - patch) / max(1.0, patch * (1 - overlap))) + 1
    step = (size - patch) / (count - 1)
    return [round(index * step) for index in range(count)]


def gaussian_profile(patch: int) -> Tensor:
    """Weights along one axis of a window, ``(patch,)`` float32, 1 in the middle."""
    offset = torch.arange(patch, dtype=torch.float32) - (patch - 1) / 2
    return torch.exp(-0.5 * (offset / (patch * SIGMA)) ** 2).clamp_(min=SMALLEST_WEIGHT)


def nnunet_profile(patch: int) -> Tensor:
    """The same as nnU-Net lays it: around the voxel ``patch // 2``, cut off at four standard deviations.

    The product over three axes is its ``compute_gaussian`` before that is rounded to half precision.
    """
    offset = torch.arange(patch, dtype=torch.float64) - patch // 2
    reach = int(4 * patch * SIGMA + 0.5)
    profile = torch.exp(-0.5 * (offset / (patch * SIGMA)) ** 2).where(offset.abs() <= reach, 0)
    return profile.clamp_(min=float(profile[profile > 0].min())).float()


PROFILES = {"gaussian": gaussian_profile, "nnunet": nnunet_profile}
"""How much the voxels of a window count, by the name that a card gives it."""


@dataclass(frozen=True)
class WindowGrid:
    """Windows over a volume. A volume smaller than the patch is padded evenly on both sides.

    Attributes:
        inner: shape of the volume, ``(K, J, I)``.
        shape: shape after padding; at least the patch.
        patch: window size.
        starts: window starts along each axis, in padded voxels.
        weight: one of :data:`PROFILES`.
    """

    inner: Size
    shape: Size
    patch: Size
    starts: tuple[list[int], list[int], list[int]]
    weight: str = "gaussian"

    @classmethod
    def cover(
        cls, inner: Sequence[int], patch: Sequence[int], overlap: float = 0.5, weight: str = "gaussian"
    ) -> WindowGrid:
        """The windows of size ``patch`` that cover a volume of shape ``inner``.

        Raises:
            InputError: the overlap is not in 0 <= overlap < 1 or a patch size is not positive.
        """
        if not 0 <= overlap < 1 or min(patch) < 1:
            raise InputError(
                f"Windows of {tuple(patch)} voxels with overlap {overlap} cannot be laid out.",
                "The overlap must be at least 0 and below 1, the patch positive.",
            )
        shape = [max(n, p) for n, p in zip(inner, patch, strict=True)]
        starts = [window_starts(n, p, overlap) for n, p in zip(shape, patch, strict=True)]
        return cls(_size(inner), _size(shape), _size(patch), (starts[0], starts[1], starts[2]), weight)

    @property
    def count(self) -> int:
        """Number of windows."""
        return math.prod(len(starts) for starts in self.starts)

    @property
    def before(self) -> Size:
        """Voxels of padding before the volume on each axis."""
        return _size([(n - m) // 2 for n, m in zip(self.shape, self.inner, strict=True)])

    @property
    def slab_axis(self) -> int:
        """The axis along which a slab one patch deep is smallest; the first unless one saves a quarter."""
        shares = [p / n for p, n in zip(self.patch, self.shape, strict=True)]
        best = min(range(3), key=lambda axis: shares[axis])
        return best if shares[best] < 0.75 * shares[0] else 0

    def rows(self, axis: int) -> Iterator[tuple[int, list[Size]]]:
        """Windows that begin at the same index of ``axis``: ``(index, starts)`` in rising order."""
        others = [a for a in range(3) if a != axis]
        for index in self.starts[axis]:
            row = []
            for first in self.starts[others[0]]:
                for second in self.starts[others[1]]:
                    start = [0, 0, 0]
                    start[axis], start[others[0]], start[others[1]] = index, first, second
                    row.append(_size(start))
            yield index, row

    def pad(self, image: Tensor) -> Tensor:
        """``(C, *inner)`` with zeros around it, ``(C, *shape)``; the same tensor where nothing is missing."""
        if self.inner == self.shape:
            return image
        before = self.before
        after = [n - m - b for n, m, b in zip(self.shape, self.inner, before, strict=True)]
        widths = [w for axis in (2, 1, 0) for w in (before[axis], after[axis])]
        return torch.nn.functional.pad(image, widths)

    def weights(self) -> list[Tensor]:
        """The weight of a window's voxels as three 1-D factors, of the patch's lengths."""
        return [PROFILES[self.weight](p) for p in self.patch]

    def weight_sums(self) -> list[Tensor]:
        """The summed weight of all windows at each voxel as three 1-D factors, of the padded lengths.

        Windows lie on a product grid and their weight is a product, so the sum is one too: no count map.
        """
        sums = []
        for size, profile, starts in zip(self.shape, self.weights(), self.starts, strict=True):
            patch, total = len(profile), torch.zeros(size)
            for start in starts:
                total[start : start + patch] += profile
            sums.append(total)
        return sums


def _size(values: Sequence[int]) -> Size:
    return int(values[0]), int(values[1]), int(values[2])
