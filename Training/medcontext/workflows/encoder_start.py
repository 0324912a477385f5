"""A training that starts from an encoder: what it may ask for, what is taken over, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcontext.card_schema import ModelCard
from medcontext.cards import resolve
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.io.atomic import replacing
from medcontext.library import LoadedEncoder, LoadedModel, load_encoder_folder, load_model, read_card
from medcontext.plan import Plan
from medcontext.workflows.request import TrainRequest

if TYPE_CHECKING:
    from medcontext.networks import SegmentationNetwork
    from medcontext.networks.encoder import TransferReport

Origin = LoadedModel | LoadedEncoder
"""What a training starts from: a whole model, or an encoder."""

TRANSFER_FILE = "transfer.json"
"""In the folder ``training`` of a model: which tensors it took over from its encoder."""


def is_encoder(model: str | Path) -> bool:
    """Whether a model, given as library id or folder, is an encoder.

    Raises:
        InputError: there is no such model.
    """
    return read_card(resolve(model)).kind == "encoder"


def open_origin(model: str | Path) -> Origin:
    """A model or an encoder to start from.

    Raises:
        InputError: there is none, or it is broken.
    """
    return load_encoder_folder(model) if is_encoder(model) else load_model(model)


def model_to_compare(request: TrainRequest) -> str | None:
    """The model that a new one is compared with: none where it started from an encoder, which cannot segment.

    Raises:
        InputError: what it started from is no longer there.
    """
    return None if request.init_from is None or is_encoder(request.init_from) else request.init_from


def check_encoder_start(request: TrainRequest, encoder: ModelCard) -> None:
    """Refuse options that mean nothing where a training starts from an encoder.

    Raises:
        InputError: one of them was given.
    """
    name = encoder.network.name
    if request.size is not None:
        raise InputError(
            f"{request.init_from} is an encoder, which has its own size; another one cannot be chosen.",
            "Leave --size out.",
        )
    if request.keep != "auto":
        raise InputError(
            f"{request.init_from} is an encoder: it knows no structures that could be kept or given up.",
            "Leave --keep out.",
        )
    if request.plan is not None and (planned := Plan.read(request.plan).network.name) != name:
        raise InputError(
            f"{request.init_from} is the encoder of a {name}; {request.plan} is a plan for a {planned}.",
            f"Make one with 'medcontext plan --network {name}', or leave --plan out.",
        )


def take_over(
    network: SegmentationNetwork, encoder: LoadedEncoder, folder: Path, reporter: Reporter
) -> TransferReport:
    """Copy an encoder into a network that has not learnt yet, and write down what fitted.

    Args:
        network: is changed; its decoder stays.
        encoder: what to start from.
        folder: of the run, for :data:`TRANSFER_FILE`.
        reporter: told in a sentence, and of all names.

    Raises:
        InputError: less than half of the network's encoder is there; nothing is changed.
    """
    from medcontext.networks.encoder import load_encoder

    report = load_encoder(network, encoder.state, encoder.source)
    facts = {"encoder": encoder.card.id, "sha256": encoder.sha256} | report.to_json()
    with replacing(folder / TRANSFER_FILE) as scratch:
        scratch.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    told = report.sentence(f"'{encoder.card.title}'")
    reporter.info(f"{told} The decoder starts anew.", transfer=facts)
    return report


def read_transfer(model: Path) -> dict[str, Any] | None:
    """What a model took over from its encoder, as plain data; None where it did not start from one.

    Args:
        model: its folder.
    """
    try:
        facts: dict[str, Any] = json.loads((model / "training" / TRANSFER_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return facts
