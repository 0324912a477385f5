"""Weights that other programs trained become an encoder in the library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from medcontext.card_schema import InputRange, InputSpec, ModelCard, TrainingRecord
from medcontext.cards import IMPORTED, user_models
from medcontext.errors import InputError
from medcontext.library.archive import place_in_library
from medcontext.library.checkpoint_file import check_storage, read_checkpoint, state_dicts
from medcontext.library.folder import disk_errors, identifier, sha256_of, staging
from medcontext.library.published.swin_unetr import Published, recognise
from medcontext.library.write import save_model
from medcontext.plan import Channel, Size, Spacing

if TYPE_CHECKING:
    from torch import Tensor

    from medcontext.networks.encoder import TransferReport

REPORT_FILE = "training/import.json"

PATCH: Size = (96, 96, 96)
SPACING: Spacing = (1.5, 1.5, 1.5)
"""Published Swin UNETRs were trained on about these; the files do not say. A training from them asks its own data."""


@dataclass(frozen=True)
class ImportedEncoder:
    """An encoder that came into the library.

    Attributes:
        folder: of the encoder.
        report: which tensors of the file fitted; names of the network where they did, of the file where not.
    """

    folder: Path
    report: TransferReport


def import_encoder(path: Path, id: str | None = None, title: str | None = None) -> ImportedEncoder:
    """Bring a file of Swin UNETR weights (see :mod:`medcontext.library.published.swin_unetr`) into the user's library.

    Args:
        path: a PyTorch or safetensors file. Nothing in it is executed.
        id: library id; made from the file's name when None.
        title: title in lists; likewise.

    Raises:
        InputError: the file is no such file, is damaged, would run code, holds another network or less than half of
            an encoder; or another model has this id.
        ResourceError: the disk is full.
    """
    tensors, found = _found(path)
    report, state = _fitting(path, tensors, found)
    card = _card(path, found, report, id, title)
    library = user_models()
    with disk_errors(library / card.id), staging(library / "import") as staged:
        files: dict[str, Path | bytes | str] = {REPORT_FILE: json.dumps(report.to_json(), indent=1) + "\n"}
        card = save_model(staged / "model", card, [state], files=files)
        return ImportedEncoder(place_in_library(staged / "model", card), report)


def _found(path: Path) -> tuple[dict[str, Tensor], Published]:
    """The tensors of a file and what they are.

    Raises:
        InputError: they are nothing that is known.
    """
    names: list[str] = []
    for _, tensors in state_dicts(read_checkpoint(path)):
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
        "Known are Swin UNETRs: of VoCo, of MONAI's self-supervision, and of MONAI in general.",
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


def _card(
    path: Path, found: Published, report: TransferReport, id: str | None, title: str | None
) -> ModelCard:
    channels = [Channel(name=f"image {n + 1}", modality="unknown") for n in range(found.in_channels)]
    extent: Spacing = (PATCH[0] * SPACING[0], PATCH[1] * SPACING[1], PATCH[2] * SPACING[2])
    about = {
        "File": path.name,
        "SHA-256": sha256_of(path),
        "Form": found.form,
        "Tensors": f"{len(report.matched)} of the {report.tensors} of the network's encoder",
    }
    data = {
        "id": id or identifier(path.stem),
        "title": title or path.stem,
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
    return ModelCard.parse(data, "The id or title")
