"""Published networks of the MedContext authors as models of ours: whole, or the part of them that fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcontext.card_schema import InputSpec, ModelCard, TrainingRecord
from medcontext.cards import IMPORTED
from medcontext.errors import InputError
from medcontext.labels import LabelSet
from medcontext.library.building import build_for
from medcontext.library.checkpoint_file import check_storage, state_dicts
from medcontext.library.folder import identifier, sha256_of
from medcontext.library.foreign import Foreign, settled_labels
from medcontext.library.import_options import STORED, ImportOptions
from medcontext.library.published import nnformer, unetr
from medcontext.library.published.nnformer_plans import read_plans
from medcontext.library.published.weights import PublishedWeights

if TYPE_CHECKING:
    from torch import Tensor

    from medcontext.networks import SegmentationNetwork

_NAMED = 3


def convert_published(path: Path, content: Any, options: ImportOptions) -> Foreign | None:
    """A UNETR or an nnFormer in the authors' names: a model where all of a network is there, else an encoder.

    Args:
        path: the file, for sentences; plans of an nnFormer are looked for beside it.
        content: what :func:`medcontext.library.checkpoint_file.read_checkpoint` gave.
        options: orientation of the training images and labels are looked at.

    Returns:
        None where the file holds neither.

    Raises:
        InputError: it holds one that cannot be a network of ours, or too little of one.
    """
    for _, tensors in state_dicts(content):
        try:
            found = unetr.recognise(tensors) or nnformer.recognise(tensors, _plans(path, tensors))
        except InputError as error:
            raise InputError(f"{path} cannot be imported. {error.message}", error.hint) from error
        if found is not None:
            options.refuse("configuration", "folds", "checkpoint", source=f"{path}, a file of weights,")
            check_storage(tensors, path)
            return _converted(path, found, options)
    return None


def _plans(path: Path, tensors: Mapping[str, Tensor]) -> Any:
    return read_plans(path) if any(name.endswith("model_down.norm0.weight") for name in tensors) else None


def _converted(path: Path, found: PublishedWeights, options: ImportOptions) -> Foreign:
    network = build_for(found.network, found.in_channels, found.classes or 1, found.state, str(path))
    expected = network.state_dict()
    missing = [name for name, mine in expected.items() if not _fits(found.state.get(name), mine)]
    over = [(name, "no part of the network") for name in found.state if name not in expected]
    if missing or found.classes is None or found.classes < 2:
        options.refuse("orientation", "labels", source=f"{path}, an encoder,")
        return _encoder(path, found, network)
    left_out = [*found.left_out, *over]
    notes = (*found.notes, _UNNAMED, *([_told(left_out)] if left_out else []))
    values = found.labels or tuple(range(1, found.classes))
    if len(values) != found.classes - 1:
        raise InputError(
            f"{path} has {found.classes} output channels, and its plans list {len(values)} labels."
        )
    labels = settled_labels(LabelSet.from_names({value: f"structure {value}" for value in values}), options)
    card = _card(path, found, notes, options).model_copy(update={"labels": labels.to_json()})
    return Foreign(found.form, card, [{name: found.state[name] for name in expected}], notes)


_UNNAMED = "The file does not name what it finds: structure 1, 2, ... in the order of its channels."


def _fits(given: Tensor | None, mine: Tensor) -> bool:
    return given is not None and given.shape == mine.shape


def _told(left_out: list[tuple[str, str]]) -> str:
    named = "; ".join(f"{name}: {reason}" for name, reason in left_out[:_NAMED])
    more = "; ..." if len(left_out) > _NAMED else ""
    what = "1 tensor of the file was" if len(left_out) == 1 else f"{len(left_out)} tensors of the file were"
    return f"{what} left out ({named}{more})."


def _encoder(path: Path, found: PublishedWeights, network: SegmentationNetwork) -> Foreign:
    """What of the file fits the encoder of our network.

    Raises:
        InputError: less than half does.
    """
    from medcontext.networks.encoder import load_encoder

    report = load_encoder(network, found.state, str(path))
    report = replace(report, unmatched=(*report.unmatched, *found.left_out))
    card = _card(path, found, found.notes, ImportOptions()).model_copy(
        update={"kind": "encoder", "labels": []}
    )
    state = {name: found.state[name] for name in report.matched}
    return Foreign(found.form, card, [state], found.notes, report=report)


def _card(path: Path, found: PublishedWeights, notes: tuple[str, ...], options: ImportOptions) -> ModelCard:
    about = {
        "Source": found.form,
        "File": path.name,
        "SHA-256": sha256_of(path),
        "Notes": " ".join(notes),
    }
    data = {
        "id": identifier(path.stem),
        "title": path.stem,
        "method": IMPORTED,
        "network": found.network,
        "input": _turned(found.input, options.orientation),
        "labels": [],
        "allowed_flips": found.inference.flips,
        "inference": found.inference,
        "training": TrainingRecord(config=about),
    }
    return ModelCard.parse(data, str(path))


def _turned(spec: InputSpec, orientation: str | None) -> InputSpec:
    """The input with the orientation of the training images that a person gave, code of (i, j, k)."""
    if orientation is None:
        return spec
    if spec.orientation == STORED:  # arrays of nnU-Net are (k, j, i)
        return spec.model_copy(update={"orientation": orientation})
    if orientation == STORED:  # arrays of MONAI are (i, j, k)
        return spec.model_copy(update={"orientation": STORED, "transpose": (2, 1, 0)})
    return spec.model_copy(update={"orientation": orientation[::-1]})
