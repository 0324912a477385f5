"""Handing a model to people who work with MONAI: a bundle that runs without this package."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcontext.card_schema import ModelCard
from medcontext.cards import resolve
from medcontext.errors import InputError
from medcontext.library.folder import README_FILE, commit, disk_errors, staging, write_file
from medcontext.library.handing_on import licence_text, own_readme
from medcontext.library.monai_config import inference, metadata
from medcontext.library.monai_readme import bundle_readme, differences
from medcontext.library.read import LoadedModel, load_model, read_card
from medcontext.plan import STORED

if TYPE_CHECKING:
    from medcontext.networks import SegmentationNetwork

_AS_MONAI = (2, 1, 0)
"""Order of axes of an image that stays as it is stored: MONAI's arrays are (i, j, k)."""

_TORCHSCRIPT = "$torch.jit.load(os.path.join(@bundle_root, 'models', 'model.ts'), map_location=@device)"


def export_monai_bundle(
    model: str | Path, folder: Path, *, member: int | None = None, torchscript: bool = False
) -> Path:
    """Write a MONAI bundle that ``monai.bundle.load`` and ``python -m monai.bundle run`` take.

    A network that MONAI has becomes its configuration and ``models/model.pt``; another becomes TorchScript,
    ``models/model.ts``, which knows only the model's patch size.

    Args:
        model: library id or folder.
        folder: the bundle to make; it must not exist or be empty.
        member: which network of an ensemble (from 0); a bundle holds one.
        torchscript: whether to write ``models/model.ts`` beside ``models/model.pt`` as well.

    Returns:
        ``folder``.

    Raises:
        InputError: the model is broken, is no 3D segmentation with one label a voxel, is an ensemble and no
            member is chosen, or the folder holds something.
        ResourceError: the disk is full.
    """
    _check_exportable(read_card(resolve(model)))
    loaded = load_model(model)
    network = loaded.networks[_chosen(loaded, member)]
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} holds something already.", "Choose another folder.")
    contents = _contents(loaded, network, folder.name, torchscript)
    with disk_errors(folder), staging(folder) as staged:
        for name, data in contents.items():
            write_file(staged / name, data)
        commit(staged, folder)
    return folder


def _check_exportable(card: ModelCard) -> None:
    if card.kind != "segmentation" or card.input.dims != 3:
        raise InputError(
            f"Model '{card.id}' is a {card.input.dims}D {card.kind} model; "
            "only 3D segmentation models can be written as a MONAI bundle."
        )
    if card.activation != "softmax" or card.regions:
        raise InputError(
            f"Model '{card.id}' predicts regions that overlap; "
            "only models with one label a voxel can be written as a MONAI bundle."
        )
    spec = card.input
    if (
        spec.orientation == STORED and spec.transpose != _AS_MONAI
    ) or card.inference.resample.kept_axis is not None:
        raise InputError(
            f"Model '{card.id}' takes the axes of an image in another order, or one of them at any spacing; "
            "a MONAI bundle cannot say that.",
            "Hand it on as a zip file.",
        )


def _chosen(loaded: LoadedModel, member: int | None) -> int:
    count = len(loaded.networks)
    if member is None and count > 1:
        raise InputError(
            f"Model '{loaded.card.id}' is an ensemble of {count} networks and a MONAI bundle holds one.",
            f"Choose a member from 0 to {count - 1}.",
        )
    if not 0 <= (member or 0) < count:
        raise InputError(
            f"Model '{loaded.card.id}' has no member {member}: there are {count}, counted from 0."
        )
    return member or 0


def _contents(
    loaded: LoadedModel, network: SegmentationNetwork, name: str, torchscript: bool
) -> dict[str, bytes]:
    """The files of the bundle, whose folder is called ``name``."""
    card, facts = loaded.card, metadata(loaded.card)
    equivalent = network.monai_equivalent()
    contents, sentences = {"configs/metadata.json": _json(facts)}, differences(card)
    if equivalent is None or torchscript:
        contents["models/model.ts"], fixed = _scripted(network, card, facts)
        if fixed:
            sentences.append("`model.ts` runs on the CPU only: TorchScript fixes where its masks are made.")
    if equivalent is None:
        contents["configs/inference.json"] = _json(inference(card, _TORCHSCRIPT, cpu_only=fixed))
    else:
        definition = {"_target_": equivalent.class_name, **equivalent.kwargs}
        contents["configs/inference.json"] = _json(inference(card, definition))
        contents["models/model.pt"] = _saved(equivalent.state)
    about = bundle_readme(card, name, sentences, torchscript=equivalent is None)
    contents[f"docs/{README_FILE}"] = (about + own_readme(loaded)).encode()
    contents["LICENSE"] = licence_text(loaded).encode()
    return contents


def _json(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=4) + "\n").encode()


def _saved(state: Mapping[str, Any]) -> bytes:
    import torch

    stream = io.BytesIO()
    torch.save({key: value.detach().cpu().clone() for key, value in state.items()}, stream)
    return stream.getvalue()


def _scripted(network: SegmentationNetwork, card: ModelCard, facts: Mapping[str, Any]) -> tuple[bytes, bool]:
    """The network traced at the model's patch size, with the metadata inside as MONAI keeps it.

    Returns:
        The file, and whether a device became a constant, so that it runs on no other.
    """
    import torch
    from monai.data import save_net_with_metadata

    class Unchecked(torch.nn.Module):
        """The network without its check of the patch: sizes are tensors while tracing."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.network._decode(self.network._encode(x), deep=False)[0]

    example = torch.zeros(1, network.in_channels, *card.input.patch_size)
    with torch.no_grad(), warnings.catch_warnings():
        # Sizes become constants, as they should: windows always have the patch size.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(Unchecked().eval(), example, check_trace=False)
    stream = io.BytesIO()
    save_net_with_metadata(traced, stream, meta_values=dict(facts))
    return stream.getvalue(), 'value="cpu"' in str(traced.inlined_graph)
