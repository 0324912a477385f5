"""The plan of a training: of the run that goes on, after the parent, or new from the data."""

from __future__ import annotations

from typing import Any

from medcontext import networks
from medcontext.card_schema import ModelCard
from medcontext.data.augment.mirror import left_right_axis
from medcontext.data.modality import kind_of
from medcontext.data.splits import Split
from medcontext.data.store import CaseStore
from medcontext.devices import Device
from medcontext.engine.laterality import flip_pairs, reason_against_any_flips, reason_against_flips
from medcontext.engine.planner import Wishes, make_plan
from medcontext.events import Reporter
from medcontext.plan import NetworkSpec, Plan
from medcontext.workflows.inheritance import Inheritance
from medcontext.workflows.pretrain_request import PretrainRequest
from medcontext.workflows.request import TrainRequest


def plan_for_data(
    request: TrainRequest,
    store: CaseStore,
    split: Split,
    device: Device,
    parent: ModelCard | None,
    reporter: Reporter,
) -> Plan:
    """The plan for all labels of the data set.

    Raises:
        InputError: the data or the settings do not fit.
        ResourceError: not even the smallest patch fits into the memory.
    """
    if parent is not None:
        _warn_of_other_modality(request, store, parent, reporter)
    if request.plan is not None:
        plan = Plan.read(request.plan)
    else:
        plan = make_plan(
            store,
            parent.network.name if parent is not None else request.network or "dynunet",
            size=request.size or "small",
            device_name=str(device.torch_device),
            cases=[*split.train, *split.validation, *split.unlabelled],
            wishes=_wishes(parent) if parent is not None else None,
            reporter=reporter,
        )
    if parent is not None:
        planned, plan = plan, _mirrored_safely(_like_parent(plan, parent), parent, reporter)
        if request.plan is not None and plan.network != planned.network:
            reporter.info(f"The network is that of {request.init_from}, not that of {request.plan}.")
    return with_settings(plan, request)


def plan_for_child(
    plan: Plan, inheritance: Inheritance, parent: ModelCard | None, request: TrainRequest, reporter: Reporter
) -> Plan:
    """The plan for the labels of the child.

    Args:
        plan: for all labels of the data set.
        inheritance: says which labels the child has.
        parent: what it starts from.
        request: its settings have the last word.
        reporter: told where mirrored anatomy is no anatomy any more.
    """
    labels = inheritance.labels
    if not inheritance.kept and labels.to_json() == plan.labels:
        return plan
    flips = list(plan.allowed_flips)
    if parent is not None and inheritance.kept:
        flips = [axis for axis in flips if axis in parent.allowed_flips]
    if flips and _flips(parent) is None and (reason := reason_against_flips(labels)):
        reporter.warning(f"Training does not mirror left and right: {reason}.")
        flips = []
    changes = {"labels": labels.to_json(), "flip_pairs": flip_pairs(labels), "allowed_flips": flips}
    child = plan.model_copy(update=changes)
    return with_settings(_mirrored_safely(child, parent, reporter), request)


def with_settings(plan: Plan, request: TrainRequest | PretrainRequest) -> Plan:
    """The plan with the changes that the request names.

    Raises:
        InputError: one is impossible.
    """
    plan = plan.updated([s.removeprefix("plan.") for s in request.settings if s.startswith("plan.")])
    networks.check_patch(plan.network.name, plan.network.kwargs, plan.patch_size)
    return plan


def _warn_of_other_modality(
    request: TrainRequest, store: CaseStore, parent: ModelCard, reporter: Reporter
) -> None:
    for (name, modality), channel in zip(store.channels, parent.input.channels, strict=True):
        kinds = {kind_of(modality), kind_of(channel.modality)}
        if len(kinds) > 1 and "" not in kinds:
            reporter.warning(
                f"{request.init_from} was made for {channel.modality}; {name} of the data is {modality}. "
                "Training from scratch may do better."
            )


def _wishes(parent: ModelCard) -> Wishes:
    """Batch and steps are planned for the parent's network and patch; of an encoder only the network counts."""
    kwargs = networks.all_kwargs(parent.network)
    if parent.kind == "encoder":
        return Wishes(network_kwargs=kwargs)
    spec = parent.input
    return Wishes(
        channels=spec.channels,
        spacing=spec.spacing,
        orientation=spec.orientation,
        transpose=spec.transpose,
        patch_size=spec.patch_size,
        flips=_flips(parent),
        network_kwargs=kwargs,
    )


def _flips(parent: ModelCard | None) -> list[int] | None:
    """The axes that training mirrors as the parent's did, where that was more than left and right of known sides.

    None where the data say whether left and right are mirrored.
    """
    if parent is None or parent.kind == "encoder":
        return None
    side = left_right_axis(parent.input.orientation, parent.input.transpose)
    if side is not None and {side}.issuperset(parent.allowed_flips):
        return None
    return parent.allowed_flips


def _mirrored_safely(plan: Plan, parent: ModelCard | None, reporter: Reporter) -> Plan:
    """The plan without the parent's mirroring where that would mix up the sides of its labels."""
    if not plan.allowed_flips or _flips(parent) is None:
        return plan
    side = left_right_axis(plan.orientation, plan.transpose)
    reason = reason_against_any_flips(plan.label_set, side)
    if not reason:
        return plan
    reporter.warning(f"Training does not mirror images, as that of the parent did: {reason}.")
    return plan.model_copy(update={"allowed_flips": []})


def _like_parent(plan: Plan, card: ModelCard) -> Plan:
    """Preprocessing and architecture of the parent, labels and batch of the data; of an encoder the architecture."""
    network = NetworkSpec(name=card.network.name, kwargs=card.network.kwargs)
    if card.kind == "encoder":
        return plan.model_copy(update={"network": network})
    changes: dict[str, Any] = {
        "channels": card.input.channels,
        "spacing": card.input.spacing,
        "orientation": card.input.orientation,
        "transpose": card.input.transpose,
        "crop_to_nonzero": card.input.crop_to_nonzero,
        "patch_size": card.input.patch_size,
        "resample": card.inference.resample,
        "network": network,
    }
    if (plan.orientation, plan.transpose) != (card.input.orientation, card.input.transpose):
        changes["allowed_flips"] = card.allowed_flips  # those of a given plan are along other axes
    return plan.model_copy(update=changes)
