"""Model folders of the kind ``encoder``: the part of a network that a training starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medcontext.card_schema import ModelCard
from medcontext.cards import resolve
from medcontext.errors import InputError
from medcontext.library.read import load_state, read_card
from medcontext.library.write import save_model
from medcontext.plan import Plan

if TYPE_CHECKING:
    import torch

    from medcontext.networks import SegmentationNetwork


@dataclass(frozen=True)
class LoadedEncoder:
    """A checked encoder in memory.

    Attributes:
        card: what ``model.json`` says.
        folder: where it lies.
        state: tensors by their names in a network of ``card.network``; nothing of a decoder.
    """

    card: ModelCard
    folder: Path
    state: dict[str, torch.Tensor]

    @property
    def sha256(self) -> str:
        """Hash of the weights: names this encoder as the parent of a model."""
        return self.card.weights[0].sha256

    @property
    def source(self) -> str:
        """Title and network, for sentences."""
        return f"'{self.card.title}' (a {self.card.network.name})"


def save_encoder(
    folder: Path,
    card: ModelCard,
    network: SegmentationNetwork,
    plan: Plan | None = None,
    *,
    files: Mapping[str, Path | bytes | str] | None = None,
    replace: bool = False,
) -> ModelCard:
    """Write the encoder of a network as a model folder; see :func:`medcontext.library.save_model`.

    Args:
        folder: the folder to make. It may exist (a training run's own); its other files stay.
        card: the card; its kind becomes ``encoder`` and its labels go.
        network: its encoder's tensors are written, its decoder is not.
        plan: written as ``plan.json`` beside the card.
        files: more files by name inside the folder, such as ``training/preview.png``: a path or the content.
        replace: whether a model that is there already may be replaced.

    Returns:
        The card as written.

    Raises:
        InputError: there is a model already, the weights are not finite, or the folder cannot be written.
        ResourceError: the disk is full.
    """
    from medcontext.networks.encoder import encoder_state

    card = card.model_copy(update={"kind": "encoder", "labels": []})
    states = [encoder_state(network)]
    return save_model(
        folder, card, states, plan, files=files, differences=network.differences, replace=replace
    )


def load_encoder_folder(model: str | Path) -> LoadedEncoder:
    """Open an encoder given as library id, ``id@version`` or folder.

    Raises:
        InputError: there is no such model, it is no encoder, or its weights are missing or were changed.
    """
    folder = resolve(model)
    card = read_card(folder)
    if card.kind != "encoder":
        raise InputError(f"'{card.title}' is of the kind '{card.kind}' and no encoder.")
    return LoadedEncoder(card, folder, load_state(folder, card.weights[0]))
