"""Everything that is wrong with a model folder, at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medcontext.card_schema import ModelCard
from medcontext.cards import IMPORTED, resolve
from medcontext.errors import InputError
from medcontext.library.folder import ALLOWED_SUFFIXES, PLAN_FILE, README_FILE
from medcontext.library.read import (
    build_network,
    check_state,
    load_masked,
    load_state,
    read_card,
    read_plan,
    weights_files,
)

if TYPE_CHECKING:
    from torch import Tensor

    from medcontext.networks import SegmentationNetwork


@dataclass(frozen=True)
class Finding:
    """One thing about a model folder: an error makes it unusable, a warning does not."""

    severity: Literal["error", "warning"]
    message: str


def verify(model: str | Path) -> list[Finding]:
    """Check a model given as library id or folder; an empty list means that it can be used and is complete.

    Checked are the card, the hash of each weights file, whether the weights fit the network, the plan, the
    README, the licence and what else lies in the folder.

    Raises:
        InputError: there is no such model or folder.
    """
    folder = model if isinstance(model, Path) and model.is_dir() else resolve(model)
    findings: list[Finding] = []
    card = _attempt(findings, read_card, folder)
    if card is None:
        return findings
    network = _attempt(findings, build_network, card)
    for entry in (entry for entry in weights_files(card) if entry is not card.mask_token):
        state = _attempt(findings, load_state, folder, entry)
        if state is not None and network is not None:
            sentence = f"{entry.file} does not fit '{card.network.name}'"
            if card.kind == "encoder":
                _attempt(findings, check_encoder, state, network, sentence)
            else:
                _attempt(findings, check_state, state, network.state_dict(), sentence)
    if network is not None:
        _attempt(findings, load_masked, folder, card, network)
    _attempt(findings, read_plan, folder, card)
    return findings + [Finding("warning", message) for message in _remarks(folder, card)]


def check_encoder(state: Mapping[str, Tensor], network: SegmentationNetwork, sentence: str) -> None:
    """Compare the tensors of an encoder with those of a network.

    Imported weights may lack some: what is missing starts anew and is told where a training starts from them.

    Raises:
        InputError: there are others, or fewer than a training starts from.
    """
    from medcontext.networks.encoder import LEAST_SHARE, compare

    report = compare(network, state)
    if report.unmatched:
        name, reason = report.unmatched[0]
        raise InputError(
            f"{sentence}: {len(report.unmatched)} tensors do not belong there ({name}: {reason})."
        )
    if report.share < LEAST_SHARE:
        raise InputError(
            f"{sentence}: it holds {len(report.matched)} of {report.tensors} tensors of the encoder."
        )


def _attempt(findings: list[Finding], check: Callable[..., Any], *arguments: Any) -> Any:
    """The answer of a check, or None and one more finding."""
    try:
        return check(*arguments)
    except InputError as error:
        findings.append(Finding("error", str(error)))
        return None


def _remarks(folder: Path, card: ModelCard) -> list[str]:
    remarks = []
    encoder = card.kind == "encoder"
    if not card.plan and not encoder and card.method != IMPORTED:  # that card says all a plan would
        remarks.append(
            f"There is no {PLAN_FILE}: training cannot go on from this model with the same preprocessing."
        )
    if not (folder / README_FILE).is_file():
        remarks.append(f"There is no {README_FILE}.")
    if card.license == "unspecified":
        remarks.append("The licence is not specified.")
    if not card.training.metrics and not encoder:
        remarks.append("It was not evaluated: there are no metrics.")
    strange = [f.name for f in folder.iterdir() if f.is_file() and f.suffix.lower() not in ALLOWED_SUFFIXES]
    if strange:
        remarks.append(f"Files of other kinds lie in the folder: {', '.join(sorted(strange)[:5])}.")
    return remarks
