"""Opening a model folder: schema and hash are checked before a weight is used, and nothing is executed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medcontext.card_schema import ModelCard, WeightsFile
from medcontext.cards import MODEL_FILE, READABLE_SCHEMA, newer_schema, resolve
from medcontext.config import read_data
from medcontext.errors import InputError
from medcontext.library.folder import MASK_TOKEN, PLAN_FILE, checked_name, sha256_of
from medcontext.plan import Plan

if TYPE_CHECKING:
    import torch

    from medcontext.masking.network import MaskedNetwork
    from medcontext.networks import SegmentationNetwork

_REPAIR = "Import the model again from where it came."

_CANNOT_BUILD = (
    TypeError, ValueError, RuntimeError, LookupError, AttributeError, AssertionError, ArithmeticError
)  # fmt: skip
"""What network constructors raise for arguments that make no sense."""


@dataclass(frozen=True)
class LoadedModel:
    """A checked model in memory.

    Attributes:
        card: what ``model.json`` says.
        folder: where it lies.
        networks: one network, or several of an ensemble, in evaluation mode.
        masked_network: the first network with a mask input, called with ``(image, mask)``, where the folder keeps
            the token that stands for hidden parts; it shares the weights.
    """

    card: ModelCard
    folder: Path
    networks: list[SegmentationNetwork]
    masked_network: MaskedNetwork | None = None

    @property
    def sha256(self) -> str:
        """Hash of the (first) weights: names this model in reports and as the parent of another."""
        return self.card.weights[0].sha256

    def plan(self) -> Plan | None:
        """The plan the model was trained by, where the folder holds it.

        Raises:
            InputError: the plan is broken or is not the one that the card means.
        """
        return read_plan(self.folder, self.card)


def read_card(folder: Path) -> ModelCard:
    """The strictly checked ``model.json`` of a folder.

    Raises:
        InputError: it is missing, is not valid, was made by a newer version, or names files elsewhere.
    """
    path = folder / MODEL_FILE
    try:
        data = read_data(path)
    except (OSError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    schema = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(schema, int) and schema > READABLE_SCHEMA:
        raise InputError(f"{path}: {newer_schema(schema)}", "Update MedContext to use this model.")
    card = ModelCard.parse(data, str(path))
    _check_labels(card, path)
    for entry in weights_files(card):
        if len(checked_name(entry.file).parts) != 1 or not entry.file.endswith(".safetensors"):
            raise InputError(f"{path}: weights must be .safetensors files beside it, not '{entry.file}'.")
    if not card.weights:
        raise InputError(f"{path} lists no weights.", _REPAIR)
    return card


def weights_files(card: ModelCard) -> list[WeightsFile]:
    """Every weights file that a card refers to."""
    return [*card.weights, *(entry for entry in (card.teacher_weights, card.mask_token) if entry)]


def read_plan(folder: Path, card: ModelCard) -> Plan | None:
    """``plan.json`` of a model folder, or None where the model was saved without one.

    Raises:
        InputError: the plan is missing, broken or is not the one that the card means.
    """
    expected = card.plan.get("hash")
    if expected is None:
        return None
    plan = Plan.read(folder / PLAN_FILE)
    if plan.hash() != expected:
        raise InputError(f"{folder / PLAN_FILE} is not the plan that this model was trained by.", _REPAIR)
    return plan


def load_state(folder: Path, entry: WeightsFile) -> dict[str, torch.Tensor]:
    """The tensors of one weights file, its hash checked first.

    Raises:
        InputError: the file is missing, was changed since it was saved, or is not in the safetensors format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_weights(folder, entry)
    try:
        return load_file(folder / entry.file)
    except SafetensorError as error:
        raise InputError(f"{folder / entry.file} is no safetensors file: {error}.", _REPAIR) from error


def load_states(model: str | Path) -> tuple[ModelCard, list[dict[str, torch.Tensor]]]:
    """The card and the checked weights of a model, without building its networks (to start a training from).

    Raises:
        InputError: there is no such model, or it is broken.
    """
    folder = resolve(model)
    card = read_card(folder)
    return card, [load_state(folder, entry) for entry in card.weights]


def check_weights(folder: Path, entry: WeightsFile) -> None:
    """Compare a weights file with the hash in the card.

    Raises:
        InputError: the file is missing or differs.
    """
    path = folder / entry.file
    if not path.is_file():
        raise InputError(f"The weights {path} are missing.", _REPAIR)
    found = sha256_of(path)
    if found != entry.sha256:
        raise InputError(
            f"The weights {path} are not the ones that {MODEL_FILE} describes: "
            f"their hash is {found[:12]}, not {entry.sha256[:12]}.",
            f"The file is damaged or was exchanged. {_REPAIR}",
        )


def load_model(model: str | Path, device: str | torch.device = "cpu") -> LoadedModel:
    """Open a model given as library id, ``id@version`` or folder.

    Args:
        model: as :func:`medcontext.cards.resolve` takes it.
        device: where the networks are put, in float32 whatever the type on disk.

    Raises:
        InputError: there is no such model; its card is not valid or newer than this program; its weights are
            missing, have another hash or do not fit the network; the network is unknown; or it is an encoder,
            which is no whole network (see :func:`medcontext.library.load_encoder_folder`).
    """
    folder = resolve(model)
    card = read_card(folder)
    if card.kind == "encoder":
        check_segments(card)
    networks = []
    for entry in card.weights:
        state = load_state(folder, entry)
        network = build_network(card)
        check_state(state, network.state_dict(), f"{folder / entry.file} does not fit '{card.network.name}'")
        network.load_state_dict(state)
        networks.append(network.to(device).eval())
    return LoadedModel(card, folder, networks, load_masked(folder, card, networks[0]))


def check_segments(card: ModelCard) -> None:
    """Refuse a model that gives no labels.

    Raises:
        InputError: it is of another kind.
    """
    if card.kind == "segmentation":
        return
    hint = "Choose another with 'medcontext model list'."
    if card.kind == "encoder":
        hint = "Train a model from it with 'medcontext train --init-from ENCODER'."
    raise InputError(f"'{card.title}' is of the kind '{card.kind}' and cannot segment by itself.", hint)


def load_masked(folder: Path, card: ModelCard, network: SegmentationNetwork) -> MaskedNetwork | None:
    """``network`` with the mask input that it was trained with; None where the folder keeps no mask token.

    Raises:
        InputError: the token is missing, was changed, or does not fit the network.
    """
    from medcontext.masking.network import MaskToken

    entry = card.mask_token
    if entry is None:
        return None
    state = load_state(folder, entry)
    try:
        token = MaskToken(state[MASK_TOKEN], entry.before_position, entry.image_skips)
        device = next(network.parameters()).device
        return token.on(network).to(device).eval().requires_grad_(False)
    except (KeyError, ValueError, RuntimeError) as error:
        raise InputError(
            f"The mask token {folder / entry.file} does not fit '{card.network.name}': {error}.", _REPAIR
        ) from error


def build_network(card: ModelCard) -> SegmentationNetwork:
    """The network of a card with fresh weights.

    Raises:
        InputError: the network is unknown or its arguments make no sense.
    """
    from medcontext import networks

    classes = len(card.regions) if card.regions else card.classes
    try:
        return networks.build(card.network, in_channels=len(card.input.channels), classes=classes)
    except _CANNOT_BUILD as error:
        raise InputError(
            f"Model '{card.id}' describes a network '{card.network.name}' that cannot be built: {error}.",
            _REPAIR,
        ) from error


def check_state(
    state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], sentence: str, hint: str = _REPAIR
) -> None:
    """Compare names and shapes of tensors with those of a network.

    Raises:
        InputError: some are missing, unexpected or of another shape; counts and the first few are named.
    """
    shapes = {key: tuple(value.shape) for key, value in expected.items()}
    problems = [
        _some("missing", [key for key in shapes if key not in state]),
        _some("unexpected", [key for key in state if key not in shapes]),
        _some(
            "of another shape",
            [
                f"{key} {tuple(state[key].shape)} instead of {shape}"
                for key, shape in shapes.items()
                if key in state and tuple(state[key].shape) != shape
            ],
        ),
    ]
    found = "; ".join(problem for problem in problems if problem)
    if found:
        raise InputError(f"{sentence}: {found}.", hint)


def _some(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = ", ..." if len(names) > 3 else ""
    return f"{len(names)} tensors {what} ({', '.join(names[:3])}{more})"


def _check_labels(card: ModelCard, path: Path) -> None:
    try:
        card.label_set  # noqa: B018  building it is the check
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: each label needs a value, a name and a colour of three numbers: {error}."
        ) from error
