"""How large a patch and a batch may be: as data, network and memory allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from medcontext.errors import ResourceError
from medcontext.networks import NetworkFacts, check_patch, default_kwargs, describe, round_patch
from medcontext.plan import Fingerprint, Size, Spacing

SizeClass = Literal["small", "medium", "large"]

PATCH_VOXELS: dict[str, dict[str, int]] = {
    "cpu": {"small": 48**3, "medium": 80**3, "large": 112**3},
    "accelerator": {"small": 96**3, "medium": 128**3, "large": 160**3},
}
"""Largest patch by size class. What a GPU takes well under a second for takes two CPU cores a minute: smaller
patches there give the optimiser more steps in the same time."""

SMALLEST_PATCH = 8**3
"""Below so many voxels there is nothing left to recognise."""

VIEWS = 2
"""Patches in memory per patch of the batch: MedContext runs a clean and a masked view at once."""

LEAST_BATCH, MOST_BATCH = 2, 8
BATCH_SHARE = 0.05
"""A batch sees at most this share of the data set's voxels (nnU-Net's rule): few cases, small batches."""


@dataclass(frozen=True)
class Room:
    """What patch and batch have to fit into.

    Attributes:
        network: registered name.
        size: class of network width and patch volume.
        spacing: mm along (K, J, I).
        channels: input channels.
        classes: output channels.
        memory: bytes that may be used.
        device_name: ``cpu`` or an accelerator.
    """

    network: str
    size: SizeClass
    spacing: Spacing
    channels: int
    classes: int
    memory: float
    device_name: str

    def choose_patch(
        self, fingerprint: Fingerprint, wish: Size | None, given: dict[str, Any] | None
    ) -> tuple[Size, dict[str, Any]]:
        """The largest patch within the voxel budget that fits into memory, and the network for it."""
        if wish is not None:
            patch, kwargs = self._fit_network(wish, given)
            self._require(self._facts(patch, kwargs), LEAST_BATCH, patch)
            return patch, kwargs
        kind = "cpu" if self.device_name.startswith("cpu") else "accelerator"
        voxels = float(PATCH_VOXELS[kind][self.size])
        while True:
            wanted = physical_patch(fingerprint.median_shape, self.spacing, voxels)
            patch, kwargs = self._fit_network(wanted, given)
            facts = self._facts(patch, kwargs)
            share = (self.memory - facts.state_bytes) / (VIEWS * LEAST_BATCH * facts.activation_bytes)
            if share >= 1:
                return patch, kwargs
            # Activations grow with the voxels, so one more try mostly suffices.
            voxels = min(0.9, share) * min(voxels, float(np.prod(patch)))
            if voxels < SMALLEST_PATCH:
                self._require(facts, LEAST_BATCH, patch)

    def choose_batch(
        self, patch: Size, kwargs: dict[str, Any], fingerprint: Fingerprint, wish: int | None
    ) -> int:
        """2 on a CPU, where more steps beat larger batches; on a GPU up to 8 as data and memory allow."""
        if wish is not None:
            self._require(self._facts(patch, kwargs), wish, patch)
            return wish
        if self.device_name.startswith("cpu"):
            return LEAST_BATCH
        voxels = fingerprint.cases * float(np.prod(fingerprint.median_shape))
        batch = int(np.clip(BATCH_SHARE * voxels / float(np.prod(patch)), LEAST_BATCH, MOST_BATCH))
        facts = self._facts(patch, kwargs)
        while batch > LEAST_BATCH and facts.training_memory(VIEWS * batch) > self.memory:
            batch -= 1
        return batch

    def _fit_network(self, patch: Size, given: dict[str, Any] | None) -> tuple[Size, dict[str, Any]]:
        kwargs = default_kwargs(self.network, patch, self.spacing, self.size) | (given or {})
        rounded = round_patch(self.network, kwargs, patch)
        check_patch(self.network, kwargs, rounded)
        return rounded, kwargs

    def _facts(self, patch: Size, kwargs: dict[str, Any]) -> NetworkFacts:
        return describe(self.network, kwargs, self.channels, self.classes, patch)

    def _require(self, facts: NetworkFacts, batch: int, patch: Size) -> None:
        peak = facts.training_memory(VIEWS * batch)
        if peak > self.memory:
            raise ResourceError(
                f"Training {self.network} ({self.size}) on {batch} patches of {' x '.join(map(str, patch))} "
                f"voxels needs about {peak / 1e9:.1f} GB; {self.memory / 1e9:.1f} GB may be used.",
                "Choose a smaller size, patch or network, or free memory.",
            )


def physical_patch(median_shape: Size, spacing: Spacing, voxels: float) -> Size:
    """The box of at most ``voxels`` voxels that is as close to a cube in mm as the median shape lets it be.

    What an axis cannot use because the image ends goes to the others.
    """
    shape, step = np.array(median_shape, float), np.array(spacing, float)
    if shape.prod() <= voxels:
        return tuple(int(n) for n in median_shape)  # type: ignore[return-value]
    free = np.ones(3, bool)
    patch = shape.copy()
    while free.any():
        edge = (voxels / patch[~free].prod() * step[free].prod()) ** (1 / free.sum())
        patch[free] = edge / step[free]
        over = free & (patch >= shape)
        if not over.any():
            break
        patch[over] = shape[over]
        free &= ~over
    return tuple(max(1, int(n + 1e-6)) for n in patch)  # type: ignore[return-value]
