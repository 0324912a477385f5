"""From a data set and the memory at hand to a plan, from one case upwards."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from medcontext.config import StrictModel
from medcontext.data.augment.mirror import left_right_axis
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
from medcontext.engine.laterality import flip_pairs, reason_against_flips
from medcontext.engine.memory import memory_at_hand
from medcontext.engine.room import Room, SizeClass
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.plan import Channel, Fingerprint, Intensity, NetworkSpec, Plan, ResamplePlan, Size

ORIENTATION = "LPS"

MEMORY_SHARE = 0.8
"""Share of the free memory that a plan uses: convolution scratch space and the framework need the rest."""

LEAST_STEPS, MOST_STEPS, PASSES = 1_000, 25_000, 200
"""Recommended steps: so many passes over the data within these bounds; below 1,000 nothing has converged."""


class Wishes(StrictModel):
    """What the user fixed; None leaves it to the planner. Tuples are along (K, J, I)."""

    channels: list[Channel] | None = None
    """Names and intensity treatment of the channels."""
    spacing: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    """Voxel size in mm along the network's axes."""
    orientation: str = ORIENTATION
    """What images are turned to."""
    transpose: Size = (0, 1, 2)
    """Array axes of the image after that, in the network's order."""
    patch_size: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    """Voxels seen at once; rounded up to what the network takes."""
    batch_size: PositiveInt | None = None
    """Patches per step."""
    steps: PositiveInt | None = None
    """Recommended steps."""
    flips: list[Annotated[int, Field(ge=0, le=2)]] | None = None
    """Array axes along which training mirrors; an empty list for none. Needed where images stay as stored."""
    network_kwargs: dict[str, Any] | None = None
    """Keyword arguments of the network that replace the default ones."""


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
        cases: the cases to plan from; the labelled training cases when None, or else the unlabelled ones.
            Those without label add to what is known about grids.
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
    grids = read_grids(cases, wishes.orientation, wishes.transpose)
    spacing = wishes.spacing or target_spacing(grids)
    learnt = sum(case.label is not None for case in cases) or len(cases)
    fingerprint = summarise(grids, spacing, learnt)
    facts = _look(store, cases, wishes, reporter)
    channels = wishes.channels if wishes.channels is not None else plan_channels(store, facts)
    if len(channels) != len(store.channels):
        raise InputError(f"{len(channels)} channels were given; the data set has {len(store.channels)}.")
    memory = _memory(memory_gb, device_name)
    room = Room(network, size, spacing, len(channels), len(store.labels) + 1, memory, device_name)
    patch, kwargs = room.choose_patch(fingerprint, wishes.patch_size, wishes.network_kwargs)
    batch = room.choose_batch(patch, kwargs, fingerprint, wishes.batch_size)
    return Plan(
        channels=channels,
        labels=store.labels.to_json(),
        spacing=spacing,
        orientation=wishes.orientation,
        transpose=wishes.transpose,
        patch_size=patch,
        batch_size=batch,
        steps=wishes.steps or plan_steps(fingerprint, patch, batch),
        allowed_flips=plan_flips(store, facts, wishes, reporter),
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


def plan_flips(store: CaseStore, facts: LabelFacts, wishes: Wishes, reporter: Reporter) -> list[int]:
    """The array axes along which mirrored anatomy is still anatomy: left-right or none, or what is wished."""
    if wishes.flips is not None:
        return sorted(set(wishes.flips))
    side = left_right_axis(wishes.orientation, wishes.transpose)
    if side is None:
        return []
    reason = reason_against_flips(store.labels, (store.name, store.description), facts)
    if reason:
        reporter.warning(f"Training does not mirror left and right: {reason}.")
    return [] if reason else [side]


def plan_steps(fingerprint: Fingerprint, patch: Size, batch: int) -> int:
    """200 passes over the data, counted in patches that cover the median case; 1,000 to 25,000 steps."""
    per_case = float(np.prod([max(1.0, n / p) for n, p in zip(fingerprint.median_shape, patch, strict=True)]))
    return int(np.clip(round(PASSES * fingerprint.cases * per_case / batch), LEAST_STEPS, MOST_STEPS))


def _default_cases(store: CaseStore) -> list[Case]:
    labelled = [case for case in store.cases if case.trainable]
    return labelled or [case for case in store.cases if case.split != "test" and not case.held_out]


def _look(store: CaseStore, cases: Sequence[Case], wishes: Wishes, reporter: Reporter) -> LabelFacts:
    """Read labels, and images where Hounsfield statistics are needed; say what is odd about the labels."""
    labelled = [case for case in cases if case.label is not None]
    calibrated = wishes.channels is None and any(is_ct(modality) for _, modality in store.channels)
    facts = look_at_labels(store, labelled or cases, intensities=calibrated, reporter=reporter)
    if labelled and not facts.present:
        raise InputError(
            "No labelled case has a voxel that is not background: there is nothing to learn.",
            "Check the label files with 'medcontext data check'.",
        )
    for label in store.labels:
        if labelled and label.value not in facts.present:
            reporter.warning(f"Label '{label.name}' occurs in none of the {facts.cases} cases looked at.")
    return facts


def _memory(memory_gb: float | None, device_name: str) -> float:
    if memory_gb is None:
        return MEMORY_SHARE * memory_at_hand(device_name)
    if memory_gb <= 0:
        raise InputError(f"Memory must be a positive number of gigabytes, not {memory_gb}.")
    return memory_gb * 1e9
