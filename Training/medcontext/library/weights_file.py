"""Files of weights that other programs trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcontext.card_schema import InputRange, InputSpec, ModelCard, TrainingRecord
from medcontext.cards import IMPORTED
from medcontext.errors import InputError
from medcontext.library.checkpoint_file import check_storage, read_checkpoint, state_dicts
from medcontext.library.folder import identifier, sha256_of
from medcontext.library.foreign import Foreign
from medcontext.library.import_options import ImportOptions
from medcontext.library.published.checkpoint import convert_published
from medcontext.library.published.swin_unetr import Published, recognise
from medcontext.plan import Channel, Size, Spacing

if TYPE_CHECKING:
    from torch import Tensor

    from medcontext.networks.encoder import TransferReport

WEIGHTS = "network_weights"
"""Name of the weights in a checkpoint of nnU-Net."""

PATCH: Size = (96, 96, 96)
SPACING: Spacing = (1.5, 1.5, 1.5)
"""Published Swin UNETRs were trained on about these; the files do not say. A training from them asks its own data."""


def convert_weights(path: Path, options: ImportOptions) -> Foreign:
    """A file of weights: a UNETR or nnFormer of MedContext as a model, a Swin UNETR as an encoder.

    See :mod:`medcontext.library.published` for the names that are known.

    Args:
        path: a PyTorch or safetensors file. Nothing in it is executed.
        options: labels and orientation of whole models; encoders leave nothing to choose.

    Raises:
        InputError: the file is no such file, is damaged, would run code, or holds another network or less than half
            of an encoder; or something was chosen.
    """
    content = read_checkpoint(path)
    if isinstance(content, Mapping) and WEIGHTS in content and "init_args" in content:
        raise InputError(
            f"{path} is one fold of an nnU-Net: without its plans it is not known what the network looks like.",
            "Give the folder that holds plans.json, or the zip of it.",
        )
    if (published := convert_published(path, content, options)) is not None:
        return published
    tensors, found = _found(path, content)
    options.refuse(
        "configuration", "folds", "checkpoint", "orientation", "labels", source=f"{path}, an encoder,"
    )
    report, state = _fitting(path, tensors, found)
    form = f"weights of a Swin UNETR ({found.form})"
    return Foreign(form, _card(path, found, report), [state], found.notes, report=report)


def _found(path: Path, content: Any) -> tuple[dict[str, Tensor], Published]:
    """The tensors of a file and what they are.

    Raises:
        InputError: they are nothing that is known.
    """
    names: list[str] = []
    for _, tensors in state_dicts(content):
        try:
            found = recognise(tensors)
        except InputError as error:
            raise InputError(f"{path} cannot be imported. {error.message}", error.hint) from error
        if found is not None:
            check_storage({name: tensors[name] for name in found.names}, path)
            return tensors, found
        names += tensors
    told = f"its tensors are called {', '.join(names[:3])}, ..." if names else "there are no tensors in it"
    raise InputError(
        f"{path} holds no weights that are known here: {told}.",
        "Known are Swin UNETRs (of VoCo, of MONAI's self-supervision, of MONAI in general), UNETRs and nnFormers of "
        "MedContext.",
    )


def _fitting(
    path: Path, tensors: Mapping[str, Tensor], found: Published
) -> tuple[TransferReport, dict[str, Tensor]]:
    """What of the file fits the encoder, by the names of our network.

    Raises:
        InputError: less than half does.
    """
    from medcontext import networks
    from medcontext.networks.encoder import load_encoder

    network = networks.build(found.network, found.in_channels, 1)
    state = {ours: tensors[name] for name, ours in found.names.items()}
    report = load_encoder(network, state, str(path))
    theirs = {ours: name for name, ours in found.names.items()}
    unmatched = [(theirs[name], reason) for name, reason in report.unmatched]
    unmatched += [(name, "no part of the network") for name in tensors if name not in found.names]
    return replace(report, unmatched=tuple(unmatched)), {name: state[name] for name in report.matched}


def _card(path: Path, found: Published, report: TransferReport) -> ModelCard:
    channels = [Channel(name=f"image {n + 1}", modality="unknown") for n in range(found.in_channels)]
    extent: Spacing = (PATCH[0] * SPACING[0], PATCH[1] * SPACING[1], PATCH[2] * SPACING[2])
    about = {
        "File": path.name,
        "SHA-256": sha256_of(path),
        "Form": found.form,
        "Tensors": f"{len(report.matched)} of the {report.tensors} of the network's encoder",
    }
    data = {
        "id": identifier(path.stem),
        "title": path.stem,
        "kind": "encoder",
        "method": IMPORTED,
        "network": found.network,
        "input": InputSpec(
            channels=channels,
            spacing=SPACING,
            orientation="LPS",
            patch_size=PATCH,
            range=InputRange(spacing=(SPACING, SPACING), field_of_view=(extent, extent)),
        ),
        "labels": [],
        "training": TrainingRecord(config=about | ({"Notes": " ".join(found.notes)} if found.notes else {})),
    }
    return ModelCard.parse(data, str(path))
