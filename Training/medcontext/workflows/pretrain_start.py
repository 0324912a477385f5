"""What a pre-training starts from: a plan, another encoder, both or neither."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medcontext.card_schema import ModelCard
from medcontext.cards import IMPORTED, resolve
from medcontext.errors import InputError
from medcontext.library.folder import PLAN_FILE
from medcontext.library.read import read_card, read_plan
from medcontext.plan import Channel, NetworkSpec, Plan, Size, Spacing
from medcontext.workflows.pretrain_request import PretrainRequest


@dataclass(frozen=True)
class Start:
    """What is decided before the scans are looked at; None or empty leaves it to them.

    Attributes:
        network: with its keyword arguments.
        inputs: number of channels.
        channels: their names and normalisation.
        spacing: mm along (K, J, I).
        crop: voxels of a crop, of the encoder to go on from.
        encoder: card of that encoder.
    """

    network: NetworkSpec | None = None
    inputs: int | None = None
    channels: tuple[Channel, ...] = ()
    spacing: Spacing | None = None
    crop: Size | None = None
    encoder: ModelCard | None = None


def start_of(request: PretrainRequest) -> Start:
    """What a request names to start from.

    Raises:
        InputError: there is no such plan or encoder, or they are of different networks.
    """
    plan = None if request.plan is None else read_given_plan(request.plan)
    card = None if request.init_from is None else encoder_card(request.init_from)
    for name, source in (
        (plan and plan.network.name, f"The plan of {request.plan}"),
        (card and card.network.name, str(request.init_from)),
    ):
        if name and request.network not in (None, name):
            raise InputError(f"{source} is of a {name}, not a {request.network}.", "Leave --network out.")
    if request.size is not None and (plan is not None or card is not None):
        named = request.init_from if plan is None else request.plan
        raise InputError(f"The network of {named} has its own size.", "Leave --size out.")
    if plan is not None and card is not None and plan.network.name != card.network.name:
        raise InputError(
            f"{request.init_from} is of a {card.network.name}, the plan of {request.plan} of a "
            f"{plan.network.name}.",
            "Leave --plan or --init-from out.",
        )
    if plan is not None:
        return Start(plan.network, len(plan.channels), tuple(plan.channels), plan.spacing, None, card)
    if card is None:
        return Start()
    spec = card.input
    if card.method == IMPORTED:  # nobody knows what images it saw
        return Start(card.network, len(spec.channels), encoder=card)
    return Start(card.network, len(spec.channels), tuple(spec.channels), spec.spacing, spec.patch_size, card)


def read_given_plan(path: Path) -> Plan:
    """A plan: a file, or that of a model given as folder or id.

    Raises:
        InputError: there is none, or it is broken.
    """
    if path.is_file():
        return Plan.read(path)
    try:
        folder = resolve(str(path))
    except InputError as error:
        raise InputError(
            f"{path} is neither a plan nor a model.", f"'medcontext plan' makes a plan. {error.hint}".rstrip()
        ) from error
    plan = read_plan(folder, read_card(folder))
    if plan is None:
        raise InputError(f"The model {path} holds no {PLAN_FILE}.", "Give a plan made by 'medcontext plan'.")
    return plan


def encoder_card(model: str) -> ModelCard:
    """The card of an encoder given as library id or folder.

    Raises:
        InputError: there is no such model, or it is no encoder.
    """
    card = read_card(resolve(model))
    if card.kind != "encoder":
        raise InputError(
            f"{model} is a {card.kind} model; a pre-training goes on from an encoder.",
            "Choose an encoder, or leave --init-from out.",
        )
    return card
