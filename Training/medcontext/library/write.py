"""Saving a model: weights as safetensors, everything else as JSON and Markdown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from medcontext.card_schema import MaskTokenFile, ModelCard, WeightsFile
from medcontext.cards import MODEL_FILE
from medcontext.errors import InputError
from medcontext.library.folder import (
    MASK_TOKEN,
    PLAN_FILE,
    README_FILE,
    checked_name,
    commit,
    disk_errors,
    staging,
    write_file,
)
from medcontext.library.readme import model_readme
from medcontext.plan import Plan

if TYPE_CHECKING:
    import torch

    from medcontext.masking.network import MaskToken

State = Mapping[str, "torch.Tensor"]
WeightsType = Literal["float32", "float16", "bfloat16"]


def save_model(
    folder: Path,
    card: ModelCard,
    states: Sequence[State],
    plan: Plan | None = None,
    *,
    teacher_state: State | None = None,
    mask_token: MaskToken | None = None,
    readme: str | None = None,
    differences: Sequence[str] = (),
    files: Mapping[str, Path | bytes | str] | None = None,
    dtype: WeightsType = "float32",
    replace: bool = False,
) -> ModelCard:
    """Write a model folder; a crash or a full disk leaves what was there before.

    Args:
        folder: the folder to make. It may exist (a training run's own); its other files stay.
        card: the card; its weights, their hashes and the plan's hash are filled in here.
        states: state dictionaries of the networks; more than one is an ensemble.
        plan: written as ``plan.json`` beside the card.
        teacher_state: the other network of the student and teacher pair, if it is kept.
        mask_token: what the (first) network was taught to take for hidden parts, always kept as float32.
        readme: text of ``README.md``; made from the card when None.
        differences: sentences for the README on how the model differs from what was published.
        files: more files by name inside the folder, such as ``training/curve.png``: a path or the content.
        dtype: number format of floating-point weights on disk; networks run in float32 either way.
        replace: whether a model that is there already may be replaced.

    Returns:
        The card as written.

    Raises:
        InputError: there is a model already, the weights are not finite, or the folder cannot be written.
        ResourceError: the disk is full.
    """
    if not states:
        raise InputError("A model needs at least one set of weights.")
    if (folder / MODEL_FILE).exists() and not replace:
        raise InputError(f"{folder} holds a model already.", "Choose another folder or remove it first.")
    previous = _weights_of(folder)
    contents = {str(checked_name(name)): _content(value) for name, value in (files or {}).items()}
    named = [(f"weights{_suffix(index)}", state) for index, state in enumerate(states)]
    weights = [_pack(name, state, dtype, previous) for name, state in named]
    teacher = _pack("teacher", teacher_state, dtype, previous) if teacher_state is not None else None
    token = _pack_token(mask_token, previous) if mask_token is not None else None
    update = {
        "weights": [entry for entry, _ in weights],
        "teacher_weights": teacher[0] if teacher else None,
        "mask_token": token[0] if token else None,
        "plan": {"hash": plan.hash()} if plan else {},
    }
    card = card.model_copy(update=update)
    packed = [*weights, *([teacher] if teacher else []), *([token] if token else [])]
    contents |= {entry.file: data for entry, data in packed}
    contents[README_FILE] = (readme or model_readme(card, differences)).encode()
    if plan:
        contents[PLAN_FILE] = (plan.model_dump_json(indent=1) + "\n").encode()
    contents[MODEL_FILE] = card_json(card)
    _write(folder, contents)
    for name in previous - set(contents):
        with suppress(OSError):  # an old file that stays is not wrong, only large
            (folder / name).unlink()
    return card


def update_card(folder: Path, card: ModelCard) -> None:
    """Write ``model.json`` and ``README.md`` of a model anew: what is known about it grew, its weights stay.

    Raises:
        InputError: the folder cannot be written.
        ResourceError: the disk is full; the old card stays.
    """
    from medcontext.networks.registry import find

    readme = model_readme(card, find(card.network.name).differences)
    _write(folder, {README_FILE: readme.encode(), MODEL_FILE: card_json(card)})


def card_json(card: ModelCard) -> bytes:
    """``model.json``; numbers that are not finite become null, since JSON has none."""
    return (card.model_dump_json(indent=1) + "\n").encode()


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    with disk_errors(folder), staging(folder) as staged:
        for name, data in contents.items():
            write_file(staged / name, data)
        commit(staged, folder)


def _suffix(index: int) -> str:
    return f"-{index + 1}" if index else ""


def _content(value: Path | bytes | str) -> bytes:
    if isinstance(value, Path):
        try:
            return value.read_bytes()
        except OSError as error:
            raise InputError(f"{value} cannot be read: {error.strerror}.") from error
    return value.encode() if isinstance(value, str) else value


def _weights_of(folder: Path) -> set[str]:
    """Weights files that a card in ``folder`` refers to now."""
    try:
        data = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))
        listed = [*data["weights"], data.get("teacher_weights"), data.get("mask_token")]
        return {str(checked_name(entry["file"])) for entry in listed if entry}
    except (OSError, ValueError, KeyError, TypeError, InputError):  # a broken card protects no file
        return set()


def _pack(name: str, state: State, dtype: WeightsType, taken: set[str]) -> tuple[WeightsFile, bytes]:
    """Weights as bytes and their entry in the card.

    The plain name is avoided while the old card uses it: its weights must stay until the new card is there.
    """
    import torch
    from safetensors.torch import save

    number_type: torch.dtype = getattr(torch, dtype)
    tensors: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        kept = value.detach().to("cpu", number_type if value.is_floating_point() else value.dtype)
        if kept.is_floating_point() and not bool(torch.isfinite(kept).all()):
            reason = "too large for float16" if bool(torch.isfinite(value).all()) else "not finite"
            raise InputError(
                f"The weights '{key}' are {reason}; the model was not saved.", "Save as float32."
            )
        # A copy of its own for each: safetensors refuses tensors that share memory.
        tensors[key] = kept.clone(memory_format=torch.contiguous_format)
    data = save(tensors, {"format": "pt"})
    digest = hashlib.sha256(data).hexdigest()
    file = f"{name}.safetensors"
    if file in taken:
        file = f"{name}-{digest[:8]}.safetensors"
    return WeightsFile(file=file, sha256=digest, dtype=dtype), data


def _pack_token(token: MaskToken, taken: set[str]) -> tuple[MaskTokenFile, bytes]:
    entry, data = _pack("mask_token", {MASK_TOKEN: token.vector}, "float32", taken)
    how = {"before_position": token.before_position, "image_skips": token.image_skips}
    return MaskTokenFile.model_validate(entry.model_dump() | how), data
