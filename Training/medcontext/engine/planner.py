"""From a data set and the memory at hand to a plan, from one case upwards."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from medcontext.data.case import Case
from medcontext.data.fingerprint import (
    LabelFacts,
    coarse_axis,
    look_at_labels,
    read_grids,
    summarise,
    target_spacing,
)
from medcontext.data.store import CaseStore
from medcontext.engine.laterality import LEFT_RIGHT_AXIS, flip_pairs, reason_against_flips
from medcontext.engine.memory import memory_at_hand
from medcontext.errors import InputError, ResourceError
from medcontext.events import Reporter
from medcontext.networks import check_patch, default_kwargs, describe, round_patch
from medcontext.plan import Channel, Fingerprint, Intensity, NetworkSpec, Plan, ResamplePlan, Size, Spacing

ORIENTATION = "LPS"

SizeClass = Literal["small", "medium", "large"]

PATCH_VOXELS: dict[str, dict[str, int]] = {
    "cpu": {"small": 48**3, "medium": 80**3, "large": 112**3},
    "accelerator": {"small": 96**3, "medium": 128**3, "large": 160**3},
}
"""Largest patch by size class. What a GPU takes well under a second for takes two CPU cores a minute: smaller
patches there give the optimiser more steps in the same time."""

MEMORY_SHARE = 0.8
"""Share of the free memory that a plan uses: convolution scratch space and the framework need the rest."""

VIEWS = 2
"""Patches in memory per patch of the batch: MedContext runs a clean and a masked view at once."""

LEAST_BATCH, MOST_BATCH = 2, 8
BATCH_SHARE = 0.05
"""A batch sees at most this share of the voxels of the data set (nnU-Net's rule): few cases, small batches."""

LEAST_STEPS, MOST_STEPS, PASSES = 1_000, 25_000, 200
"""Recommended steps: so many passes over the data within these bounds; below 1,000 nothing has converged."""


@dataclass(frozen=True)
class Wishes:
    """What the user fixed instead of leaving it to the planner; None leaves it.

    Attributes:
        channels: names and intensity treatment of the channels.
        spacing: mm along (K, J, I) after reorientation to LPS.
        patch_size: voxels along (K, J, I); rounded up to what the network takes.
        batch_size: patches per step.
        steps: recommended steps.
        flips: array axes along which training mirrors; an empty list for none.
        network_kwargs: keyword arguments of the network that replace the default ones.
    """

    channels: Sequence[Channel] | None = None
    spacing: Spacing | None = None
    patch_size: Size | None = None
    batch_size: int | None = None
    steps: int | None = None
    flips: Sequence[int] | None = None
    network_kwargs: dict[str, Any] | None = None


def make_plan(
    store: CaseStore,
    network: str = "dynunet",
    *,
    size: SizeClass = "medium",
    memory_gb: float | None = None,
    device_name: str = "cpu",
    cases: Sequence[Case] | None = None,
    wishes: Wishes | None = None,
    reporter: Reporter | None = None,
) -> Plan:
    """Decide spacing, intensity, patch, batch, network and flips.

    Args:
        store: the data.
        network: registered name.
        size: class of network width and patch volume.
        memory_gb: memory to stay within, in units of 10^9 bytes; what the device has free when None.
        device_name: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``: decides patch volume and whose memory counts.
        cases: the cases to plan from; the labelled training cases when None, else the unlabelled ones.
        wishes: what is already decided.
        reporter: told of progress and of what the user should know.

    Raises:
        InputError: there is no case, a file is broken, or the network or a wish is impossible.
        ResourceError: not even the smallest patch fits into the memory.
    """
    wishes, reporter = wishes or Wishes(), reporter or Reporter()
    cases = list(cases) if cases is not None else _default_cases(store)
    if not cases:
        raise InputError(f"{store.folder} holds no case to plan from.", "Add one with 'medcontext data add'.")
    if len(cases) == 1:
        reporter.warning("The plan is made from a single case; it fits scans that look like it.")
    grids = read_grids(cases, ORIENTATION)
    spacing = wishes.spacing or target_spacing(grids)
    fingerprint = summarise(grids, spacing)
    labelled = [case for case in cases if case.label is not None]
    calibrated = wishes.channels is None and any(is_ct(modality) for _, modality in store.channels)
    facts = look_at_labels(store, labelled or cases, intensities=calibrated, reporter=reporter)
    _check_labels(store, facts, bool(labelled), reporter)
    channels = list(wishes.channels) if wishes.channels is not None else plan_channels(store, facts)
    if len(channels) != len(store.channels):
        raise InputError(f"{len(channels)} channels were given; the data set has {len(store.channels)}.")
    memory = _memory(memory_gb, device_name)
    room = _Room(network, size, spacing, len(channels), len(store.labels) + 1, memory, device_name)
    patch, kwargs = room.choose_patch(fingerprint, wishes)
    batch = room.choose_batch(patch, kwargs, fingerprint, wishes.batch_size)
    return Plan(
        channels=channels,
        labels=store.labels.to_json(),
        spacing=spacing,
        orientation=ORIENTATION,
        patch_size=patch,
        batch_size=batch,
        steps=wishes.steps or plan_steps(fingerprint, patch, batch),
        allowed_flips=plan_flips(store, facts, wishes.flips, reporter),
        flip_pairs=flip_pairs(store.labels),
        resample=ResamplePlan(separate_z=coarse_axis(spacing)),
        network=NetworkSpec(name=network, kwargs=kwargs),
        fingerprint=fingerprint,
    )


def is_ct(modality: str) -> bool:
    """Whether grey values are Hounsfield units: CT and CT angiography, not cone-beam CT (they drift)."""
    return re.search(r"\bcta?\b|computed tomography", modality.lower().replace("_", " ")) is not None


def plan_channels(store: CaseStore, facts: LabelFacts) -> list[Channel]:
    """CT: clip to the 0.5 and 99.5 percentile of the foreground and scale; all else: z-score per case."""
    channels = []
    for index, (name, modality) in enumerate(store.channels):
        intensity = Intensity()
        if is_ct(modality):
            values = facts.intensities[index]
            if values.size == 0:
                raise InputError(
                    "The CT intensity range cannot be told: no case has a labelled voxel.",
                    "Label at least one structure, or give the channels yourself.",
                )
            low, high = (float(value) for value in np.percentile(values, (0.5, 99.5)))
            clipped = np.clip(values, low, high).astype(np.float64)
            std = max(float(clipped.std()), 1.0)  # 1 HU is below the noise of any scanner
            intensity = Intensity(kind="ct", low=low, high=high, mean=float(clipped.mean()), std=std)
        channels.append(Channel(name=name, modality=modality, intensity=intensity))
    return channels


def plan_flips(
    store: CaseStore, facts: LabelFacts, wish: Sequence[int] | None, reporter: Reporter
) -> list[int]:
    """The array axes along which mirrored anatomy is still anatomy: left-right or none, or what is wished."""
    if wish is not None:
        if any(axis not in (0, 1, 2) for axis in wish):
            raise InputError(f"Flips are array axes 0, 1 and 2 (K, J, I), not {list(wish)}.")
        return sorted(set(wish))
    reason = reason_against_flips(store.labels, (store.name, store.description), facts)
    if reason:
        reporter.warning(f"Training does not mirror left and right: {reason}.")
    return [] if reason else [LEFT_RIGHT_AXIS]


def plan_steps(fingerprint: Fingerprint, patch: Size, batch: int) -> int:
    """200 passes over the data, counted in patches that cover the median case; 1,000 to 25,000 steps."""
    per_case = float(np.prod([max(1.0, n / p) for n, p in zip(fingerprint.median_shape, patch, strict=True)]))
    return int(np.clip(round(PASSES * fingerprint.cases * per_case / batch), LEAST_STEPS, MOST_STEPS))


@dataclass(frozen=True)
class _Room:
    """What patch and batch have to fit into."""

    network: str
    size: SizeClass
    spacing: Spacing
    channels: int
    classes: int
    memory: float
    device_name: str

    def choose_patch(self, fingerprint: Fingerprint, wishes: Wishes) -> tuple[Size, dict[str, Any]]:
        """The largest patch within the voxel budget that fits into memory, and the network for it."""
        if wishes.patch_size is not None:
            patch, kwargs = self._fit_network(wishes.patch_size, wishes.network_kwargs)
            self._require(self._peak(patch, kwargs, LEAST_BATCH), patch)
            return patch, kwargs
        kind = "cpu" if self.device_name.startswith("cpu") else "accelerator"
        voxels = float(PATCH_VOXELS[kind][self.size])
        while True:
            wanted = physical_patch(fingerprint.median_shape, self.spacing, voxels)
            patch, kwargs = self._fit_network(wanted, wishes.network_kwargs)
            peak = self._peak(patch, kwargs, LEAST_BATCH)
            if peak <= self.memory:
                return patch, kwargs
            voxels = 0.8 * min(voxels, float(np.prod(patch)))
            if voxels < 8**3:
                self._require(peak, patch)

    def choose_batch(
        self, patch: Size, kwargs: dict[str, Any], fingerprint: Fingerprint, wish: int | None
    ) -> int:
        """2 on a CPU, where more steps beat larger batches; on a GPU up to 8 as data and memory allow."""
        if wish is not None:
            if wish < 1:
                raise InputError(f"The batch size must be at least 1, not {wish}.")
            self._require(self._peak(patch, kwargs, wish), patch)
            return wish
        if self.device_name.startswith("cpu"):
            return LEAST_BATCH
        voxels = fingerprint.cases * float(np.prod(fingerprint.median_shape))
        batch = int(np.clip(BATCH_SHARE * voxels / float(np.prod(patch)), LEAST_BATCH, MOST_BATCH))
        while batch > LEAST_BATCH and self._peak(patch, kwargs, batch) > self.memory:
            batch -= 1
        return batch

    def _fit_network(self, patch: Size, given: dict[str, Any] | None) -> tuple[Size, dict[str, Any]]:
        kwargs = default_kwargs(self.network, patch, self.spacing, self.size) | (given or {})
        rounded = round_patch(self.network, kwargs, patch)
        check_patch(self.network, kwargs, rounded)
        return rounded, kwargs

    def _peak(self, patch: Size, kwargs: dict[str, Any], batch: int) -> float:
        facts = describe(self.network, kwargs, self.channels, self.classes, patch)
        return float(facts.training_memory(VIEWS * batch))

    def _require(self, peak: float, patch: Size) -> None:
        if peak > self.memory:
            raise ResourceError(
                f"Training {self.network} ({self.size}) on {' x '.join(map(str, patch))} voxels at once needs "
                f"about {peak / 1e9:.1f} GB; {self.memory / 1e9:.1f} GB may be used.",
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
    return tuple(max(1, int(n)) for n in patch)  # type: ignore[return-value]


def _default_cases(store: CaseStore) -> list[Case]:
    labelled = [case for case in store.cases if case.trainable]
    return labelled or [case for case in store.cases if case.split != "test" and not case.held_out]


def _check_labels(store: CaseStore, facts: LabelFacts, labelled: bool, reporter: Reporter) -> None:
    if not labelled:
        return
    if not facts.present:
        raise InputError(
            "No labelled case has a voxel that is not background: there is nothing to learn.",
            "Check the label files with 'medcontext data check'.",
        )
    for label in store.labels:
        if label.value not in facts.present:
            reporter.warning(f"Label '{label.name}' occurs in none of the {facts.cases} cases looked at.")


def _memory(memory_gb: float | None, device_name: str) -> float:
    if memory_gb is None:
        return MEMORY_SHARE * memory_at_hand(device_name)
    if memory_gb <= 0:
        raise InputError(f"Memory must be a positive number of gigabytes, not {memory_gb}.")
    return memory_gb * 1e9
