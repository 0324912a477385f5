"""Which patch sizes a network takes, and how deep a patch can be pooled. Values are ``(K, J, I)``."""

from __future__ import annotations

import math
from dataclasses import dataclass

from medcontext.errors import InputError
from medcontext.plan import Size, Spacing

SMALLEST_SIDE = 4
"""No axis is pooled below this many voxels (nnU-Net's rule): deeper there is padding, not context."""


def text(size: tuple[int, ...]) -> str:
    """``(40, 56, 40)`` as ``"40 x 56 x 40"``."""
    return " x ".join(str(n) for n in size)


@dataclass(frozen=True)
class PatchRule:
    """The patch sizes that fit one network.

    Args:
        multiple: each side must be a multiple of this, and the sides must not all equal it: a bottleneck of
            one voxel has no variance to normalise by and no context.
        exact: the only size that fits, for networks with a fixed position embedding.
        flat: the first side must be 1, for networks of slices.
    """

    multiple: Size
    exact: Size | None = None
    flat: bool = False

    def fits(self, patch_size: Size) -> bool:
        """Whether the network takes this patch."""
        if self.exact is not None:
            return tuple(patch_size) == self.exact
        if self.flat and patch_size[0] != 1:
            return False
        cells = [divmod(n, m) for n, m in zip(patch_size, self.multiple, strict=True)]
        return all(rest == 0 and count > 0 for count, rest in cells) and math.prod(c for c, _ in cells) > 1

    def check(self, network: str, patch_size: Size) -> None:
        """Raise a sentence when the patch does not fit.

        Raises:
            InputError: names the patch, what is allowed and the next size that fits.
        """
        if self.fits(patch_size):
            return
        allowed = (
            f"it was built for {text(self.exact)} and takes nothing else"
            if self.exact is not None
            else f"its sides must be multiples of {text(self.multiple)}, one of them at least twice that"
        )
        allowed += "; it works on single slices" if self.flat else ""
        given = text(tuple(patch_size))
        raise InputError(
            f"The network {network} cannot take a patch of {given} voxels (K x J x I): {allowed}.",
            f"Use {text(self.round_up(patch_size))}.",
        )

    def round_up(self, patch_size: Size) -> Size:
        """The smallest size that fits and is not smaller on any axis but that of slices (or the exact size)."""
        if self.exact is not None:
            return self.exact
        size = [max(1, math.ceil(n / m)) * m for n, m in zip(patch_size, self.multiple, strict=True)]
        size[0] = 1 if self.flat else size[0]
        if size == list(self.multiple):
            longest = max(range(int(self.flat), 3), key=lambda axis: patch_size[axis])
            size[longest] *= 2
        k, j, i = size
        return k, j, i

    def nearest(self, patch_size: Size) -> Size:
        """The size that fits and is closest on each axis, larger or smaller (or the exact size)."""
        if self.exact is not None:
            return self.exact
        k, j, i = (max(1, round(n / m)) * m for n, m in zip(patch_size, self.multiple, strict=True))
        return self.round_up((k, j, i))


def plan_pooling(patch_size: Size, spacing: Spacing) -> tuple[list[Size], list[Size]]:
    """Strides and kernels of the stages of a U-Net, as nnU-Net chooses them.

    Each stage halves every axis that still has 8 voxels and whose spacing is less than twice the finest among
    those, so that voxels become isotropic first; a kernel spans one voxel on an axis until its spacing is
    less than twice the finest. A single remaining axis is halved only while it has 12 voxels.

    Args:
        patch_size: voxels.
        spacing: mm.

    Returns:
        ``(strides, kernels)``, one entry a stage; the first stride is 1.
    """
    size, mm = list(patch_size), list(spacing)
    kernel = [1, 1, 1]
    strides: list[Size] = [(1, 1, 1)]
    kernels: list[Size] = []
    while True:
        kernel = [3 if done == 3 or step < 2 * min(mm) else 1 for done, step in zip(kernel, mm, strict=True)]
        kernels.append((kernel[0], kernel[1], kernel[2]))
        open_axes = [axis for axis in range(3) if size[axis] >= 2 * SMALLEST_SIDE]
        if not open_axes:
            break
        finest = min(mm[axis] for axis in open_axes)
        halved = [axis for axis in open_axes if mm[axis] < 2 * finest]
        if len(halved) == 1 and size[halved[0]] < 3 * SMALLEST_SIDE:
            break
        stride = [2 if axis in halved else 1 for axis in range(3)]
        strides.append((stride[0], stride[1], stride[2]))
        size = [n // s for n, s in zip(size, stride, strict=True)]
        mm = [m * s for m, s in zip(mm, stride, strict=True)]
    return strides, kernels


def product(strides: list[Size] | tuple[Size, ...]) -> Size:
    """Total stride on each axis."""
    k, j, i = (math.prod(stride[axis] for stride in strides) for axis in range(3))
    return k, j, i
