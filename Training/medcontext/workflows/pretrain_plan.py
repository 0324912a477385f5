"""The plan of a pre-training: spacing, channels, network, size of a crop and volumes a step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medcontext import networks
from medcontext.data.apart import free_cases
from medcontext.data.fingerprint import coarse_axis, look_at_labels, read_grids, summarise, target_spacing
from medcontext.data.scan_recipe import Recipe
from medcontext.data.scans import Scan
from medcontext.data.store import CaseStore
from medcontext.dataset_form import INDEX
from medcontext.engine.memory import memory_at_hand
from medcontext.engine.planner import (
    LEAST_STEPS,
    MEMORY_SHARE,
    MOST_STEPS,
    ORIENTATION,
    PASSES,
    is_ct,
    plan_channels,
)
from medcontext.engine.pretext_config import PretextConfig
from medcontext.engine.ranks import process_count
from medcontext.engine.room import PATCH_VOXELS, Room, SizeClass, physical_patch
from medcontext.errors import ResourceError
from medcontext.events import Reporter
from medcontext.networks.sizes import text
from medcontext.plan import Channel, Fingerprint, NetworkSpec, Plan, ResamplePlan, Size, Spacing
from medcontext.workflows.pretrain_request import PretrainRequest
from medcontext.workflows.pretrain_start import Start
from medcontext.workflows.training_plan import with_settings

NETWORK = "dynunet"
SIZE: SizeClass = "small"
"""Where nobody names one."""
CROP_VOXELS = {"cpu": 32**3, "accelerator": 64**3}
"""Largest crop where a step needs many of each scan: 64^3 as published; a CPU takes an eighth of that."""
VOLUMES = {"cpu": 2, "accelerator": 4}
"""Scans a step. The similarity to another scan's crops needs two, and norms over the batch like them."""


def plan_pretraining(
    request: PretrainRequest,
    config: PretextConfig,
    start: Start,
    scans: Sequence[Scan],
    channels: Sequence[tuple[str, str]],
    device_name: str,
    reporter: Reporter,
) -> Plan:
    """Decide what the request, its plan and its encoder leave open, from the headers of the scans.

    Args:
        request: its settings have the last word.
        config: of the method.
        start: what is decided already.
        scans: to learn from.
        channels: of the scans, as (name, modality).
        device_name: ``cpu`` or an accelerator: decides sizes and whose memory counts.
        reporter: told of the progress.

    Raises:
        InputError: no scan can be read, or the network does not take the crop that is wished.
        ResourceError: not even two scans a step fit into the memory.
    """
    grids = read_grids([scan.case for scan in scans], ORIENTATION)
    spacing = config.millimetres or start.spacing or target_spacing(grids)
    facts = summarise(grids, spacing, len(scans))
    inputs = _channels(request, config, start, channels, reporter)
    memory = MEMORY_SHARE * memory_at_hand(device_name)
    network = start.network or _network(request, facts, spacing, len(inputs), memory, device_name)
    crop = (
        config.crop
        or start.crop
        or _crop(config, network, facts, spacing, _kind(device_name), request.size or SIZE)
    )
    networks.check_patch(network.name, network.kwargs, crop)
    volumes = _volumes(config, network, len(inputs), crop, memory, _kind(device_name))
    plan = Plan(
        channels=list(inputs),
        labels=[],
        spacing=spacing,
        orientation=ORIENTATION,
        patch_size=crop,
        batch_size=volumes,
        steps=min(MOST_STEPS, max(LEAST_STEPS, round(PASSES * len(scans) / volumes))),
        resample=ResamplePlan(separate_z=coarse_axis(spacing)),
        network=network,
        fingerprint=facts,
    )
    return with_settings(plan, request)


def recipe_of(plan: Plan, config: PretextConfig) -> Recipe:
    """How the scans of a pre-training are prepared."""
    return Recipe(
        channels=tuple(plan.channels),
        spacing=plan.spacing,
        orientation=plan.orientation,
        region=config.region(plan.patch_size),
        fewest=config.fewest,
        foreground=config.foreground,
        resize=config.resize_volume,
        resample=plan.resample,
    )


def _kind(device_name: str) -> str:
    return "cpu" if device_name.startswith("cpu") else "accelerator"


def _channels(
    request: PretrainRequest,
    config: PretextConfig,
    start: Start,
    named: Sequence[tuple[str, str]],
    reporter: Reporter,
) -> Sequence[Channel]:
    """Normalisation: as wished, as of the plan, as a training on a data set of CT has it, else each scan by itself."""
    if start.channels and config.intensity is None:
        return start.channels
    if start.channels:
        named = [(channel.name, channel.modality) for channel in start.channels]
    if config.intensity is not None:
        return [Channel(name=name, modality=kind, intensity=config.intensity) for name, kind in named]
    places = list(request.data)
    if len(places) == 1 and _is_store_of_ct(places[0]):
        store = CaseStore.open(places[0])
        unlabelled = [replace(case, label=None) for case in free_cases(store)]
        return plan_channels(store, look_at_labels(store, unlabelled, intensities=True, reporter=reporter))
    return [Channel(name=name, modality=kind) for name, kind in named]


def _is_store_of_ct(place: Path) -> bool:
    return (place / INDEX).is_file() and all(is_ct(kind) for _, kind in CaseStore.open(place).channels)


def _network(
    request: PretrainRequest,
    facts: Fingerprint,
    spacing: Spacing,
    channels: int,
    memory: float,
    device_name: str,
) -> NetworkSpec:
    """The network that a training on such scans would get, which is what the encoder is for."""
    name = request.network or NETWORK
    room = Room(name, request.size or SIZE, spacing, channels, 2, memory, device_name)
    return NetworkSpec(name=name, kwargs=room.choose_patch(facts, None, None)[1])


def _crop(
    config: PretextConfig,
    network: NetworkSpec,
    facts: Fingerprint,
    spacing: Spacing,
    kind: str,
    size: SizeClass,
) -> Size:
    """As large as scans, device and network let it be: side by side, the crops of a grid fill the median scan."""
    grid = config.region((1, 1, 1)) if config.cell_size is None else (1, 1, 1)
    whole = config.cell_size or config.resize_volume or facts.median_shape
    k, j, i = (max(1, n // g) for n, g in zip(whole, grid, strict=True))
    voxels = CROP_VOXELS[kind] if math.prod(grid) > 1 else PATCH_VOXELS[kind][size]
    return networks.nearest_patch(network.name, network.kwargs, physical_patch((k, j, i), spacing, voxels))


def _volumes(
    config: PretextConfig, network: NetworkSpec, channels: int, crop: Size, memory: float, kind: str
) -> int:
    """Scans a step: as many as fit into the memory of all processes, the same number in each.

    Raises:
        ResourceError: one does not fit.
    """
    facts = networks.describe(network.name, network.kwargs, channels, 1, crop)
    one = config.crops_of_a_scan * networks.encoder_activation_bytes(
        network.name, network.kwargs, channels, crop
    )
    fitting = int((memory - facts.state_bytes) // one)
    if fitting < 1:
        raise ResourceError(
            f"Pre-training {network.name} on {config.crops_of_a_scan} crops of {text(crop)} voxels needs about "
            f"{(facts.state_bytes + one) / 1e9:.1f} GB; {memory / 1e9:.1f} GB may be used.",
            "Choose a smaller network, or smaller crops (--set crop_size=32), or free memory.",
        )
    processes = process_count()
    return processes * min(fitting, math.ceil(VOLUMES[kind] / processes))
