"""Handing a model to people who work with nnU-Net: a results folder that its predictor loads."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcontext.card_schema import ModelCard
from medcontext.cards import resolve
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.library.folder import README_FILE, commit, disk_errors, staging, write_file
from medcontext.library.handing_on import licence_text, own_readme
from medcontext.library.nnunet.export_notes import differences, export_readme, mirrored_axes
from medcontext.library.nnunet.export_plans import TRAINER, configuration_name, dataset, plans
from medcontext.library.read import load_model, read_card

if TYPE_CHECKING:
    from medcontext.networks.nnunet import NNUNet

CHECKPOINT = "checkpoint_final.pth"


def export_nnunet(model: str | Path, folder: Path, reporter: Reporter | None = None) -> tuple[str, ...]:
    """Write a folder as nnU-Net v2 makes it by training, for ``nnUNetv2_predict_from_modelfolder``.

    Networks ``nnunet`` and ``dynunet`` (without residual blocks) are the same function there; the members of an
    ensemble become folds.

    Args:
        model: library id or folder.
        folder: to make; it must not exist or be empty.
        reporter: hears of progress and is asked whether to go on.

    Returns:
        What nnU-Net does otherwise than ``medcontext segment``, in sentences; the README holds them too.

    Raises:
        InputError: the model is broken or no segmentation, nnU-Net has no such network or outputs, or the folder
            holds something.
        ResourceError: the disk is full.
        CancelledError: someone asked to stop.
    """
    from medcontext.networks.nnunet_twin import as_nnunet, widened_stages

    _check_exportable(read_card(resolve(model)))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} holds something already.", "Choose another folder.")
    loaded = load_model(model)
    card = loaded.card
    twins = [as_nnunet(network) for network in loaded.networks]
    options: Any = loaded.networks[0].options
    widened = widened_stages(options) if card.network.name == "dynunet" else []
    notes = differences(card, widened)
    twin_options: Any = twins[0].options
    contents = {
        "plans.json": _json(plans(card, twin_options)),
        "dataset.json": _json(dataset(card)),
        README_FILE: (export_readme(card, notes) + own_readme(loaded)).encode(),
        "LICENSE": licence_text(loaded).encode(),
    }
    _write(folder, contents, card, twins, reporter or Reporter())
    return notes


def _write(
    folder: Path, contents: Mapping[str, bytes], card: ModelCard, folds: list[NNUNet], reporter: Reporter
) -> None:
    """The whole folder, or nothing."""
    with disk_errors(folder), staging(folder) as staged:
        for name, data in contents.items():
            write_file(staged / name, data)
        for fold, network in enumerate(folds):
            reporter.check_cancelled()
            reporter.progress("export", fold / len(folds))
            write_file(staged / f"fold_{fold}" / CHECKPOINT, _checkpoint(card, network, fold))
        reporter.progress("export", 1)
        commit(staged, folder)


def _check_exportable(card: ModelCard) -> None:
    if card.kind != "segmentation":
        raise InputError(
            f"Model '{card.id}' is of the kind '{card.kind}'; nnU-Net has only models that segment by themselves."
        )


def _json(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=4) + "\n").encode()


def _checkpoint(card: ModelCard, network: NNUNet, fold: int) -> bytes:
    """What ``nnUNetPredictor`` reads of a checkpoint."""
    import torch

    first = 3 - card.input.dims
    axes = tuple(axis - first for axis in mirrored_axes(card) if axis >= first)
    stream = io.BytesIO()
    torch.save(
        {
            "network_weights": {name: value.cpu() for name, value in network.nnunet_state().items()},
            "trainer_name": TRAINER,
            "init_args": {"configuration": configuration_name(card), "fold": fold},
            "inference_allowed_mirroring_axes": axes or None,
        },
        stream,
    )
    return stream.getvalue()
