"""One door for what others hand on: models of ours, and models and weights of other programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcontext.card_schema import ModelCard
from medcontext.cards import user_models
from medcontext.errors import InputError
from medcontext.library.archive import import_archive, look_at_archive, place_in_library
from medcontext.library.folder import disk_errors, staging
from medcontext.library.foreign import Foreign
from medcontext.library.import_options import ImportOptions
from medcontext.library.sources import is_own_model, opened, weights_in
from medcontext.library.write import save_model

if TYPE_CHECKING:
    from medcontext.networks.encoder import TransferReport

OWN = "MedContext model"
EVERYTHING = ("configuration", "folds", "checkpoint", "orientation", "labels")
REPORT_FILE = "training/import.json"
"""Which tensors of a file of weights fitted, where not all must."""


@dataclass(frozen=True)
class Imported:
    """A model that came into the library.

    Attributes:
        folder: of the model.
        report: of weights of another program, which of their tensors fitted; None where all must.
        form: what it was, such as "nnU-Net v2".
        notes: sentences on what was chosen, is not the same here, or was left out.
    """

    folder: Path
    report: TransferReport | None = None
    form: str = OWN
    notes: tuple[str, ...] = ()


def import_model(
    source: Path,
    id: str | None = None,
    title: str | None = None,
    options: ImportOptions = ImportOptions(),  # noqa: B008 - frozen
    version: str | None = None,
) -> Imported:
    """Bring a model into the user's library; what it is, its content says. Nothing in it is executed.

    Args:
        source: a model of ours (:func:`import_archive`), a folder of nnU-Net v2, a MONAI bundle, each as a folder or
            a zip; a file of weights of another program, or a folder that holds one.
        id: the library id to give it; its own, or one made from its name, when None.
        title: the title to give it; likewise.
        options: choices where the source leaves some.
        version: of a model of another program, whose files do not say it; a model of ours has its own.

    Raises:
        InputError: it is none of these, or cannot be used, or another model has its id.
        ResourceError: the disk is full.
    """
    if is_own_model(source):
        options.refuse(*EVERYTHING, source=f"{source}, a model of MedContext,")
        return Imported(import_archive(source, id, title))
    with opened(source) as place, _told_of(source, place):
        found = convert(place, options)
        said = {"id": id, "title": title, "version": version}
        names = {key: value for key, value in said.items() if value is not None}
        card = ModelCard.parse(found.card.model_dump(mode="json") | names, "The id or title")
        return Imported(_save(found, card), found.report, found.form, found.notes)


def inspect_model(source: Path, options: ImportOptions = ImportOptions()) -> dict[str, Any]:  # noqa: B008
    """What :func:`import_model` would bring in, as JSON; the library stays as it is.

    Returns:
        ``form``, ``kind``, ``id``, ``title``, ``labels`` (a list of ``{value, name, color, terminology}``),
        ``channels`` (names), ``modality``, ``spacing`` (mm along the network's axes), ``orientation``, ``dims``,
        ``network``, ``license``, ``notes``, ``choices`` (what there is to choose from, by option), ``chosen`` (of
        these, by option) and ``bytes`` that the weights take.

    Raises:
        InputError: as :func:`import_model`.
        ResourceError: a zip was to be unpacked for a look, and the disk is full.
    """
    if is_own_model(source):
        card, size = look_at_archive(source)
        return _summary(Foreign(OWN, card, []), size)
    with opened(source) as place, _told_of(source, place):
        found = convert(place, options)
        size = sum(v.numel() * v.element_size() for state in found.states for v in state.values())
        return _summary(found, size)


def convert(place: Path, options: ImportOptions) -> Foreign:
    """A folder or file of another program as a model of ours, by its content.

    Raises:
        InputError: it is none that is known, or cannot be used.
    """
    from medcontext.library.monai_import import convert_bundle, is_bundle
    from medcontext.library.nnunet import convert_nnunet, is_nnunet
    from medcontext.library.weights_file import convert_weights

    if place.is_dir():
        if is_nnunet(place):
            return convert_nnunet(place, options)
        if is_bundle(place):
            return convert_bundle(place, options)
        place = weights_in(place)
    return convert_weights(place, options)


def _save(found: Foreign, card: ModelCard) -> Path:
    library = user_models()
    with disk_errors(library / card.id), staging(library / "import") as staged:
        files: dict[str, Path | bytes | str] = {}
        if found.report is not None:
            files[REPORT_FILE] = json.dumps(found.report.to_json(), indent=1) + "\n"
        card = save_model(staged / "model", card, found.states, files=files)
        return place_in_library(staged / "model", card)


def _summary(found: Foreign, size: int) -> dict[str, Any]:
    card = found.card
    spec = card.input
    return {
        "form": found.form,
        "kind": card.kind,
        "id": card.id,
        "title": card.title,
        "labels": card.labels,
        "channels": [channel.name for channel in spec.channels],
        "modality": ", ".join(dict.fromkeys(channel.modality for channel in spec.channels)),
        "spacing": list(spec.spacing),
        "orientation": spec.orientation,
        "dims": spec.dims,
        "network": card.network.name,
        "license": card.license,
        "notes": list(found.notes),
        "choices": found.choices,
        "chosen": found.chosen,
        "bytes": size,
    }


@contextmanager
def _told_of(source: Path, place: Path) -> Iterator[None]:
    """Sentences name what the person gave, not where it was unpacked to."""
    try:
        yield
    except InputError as error:
        if place == source or str(place) not in error.message + error.hint:
            raise
        message, hint = (text.replace(str(place), str(source)) for text in (error.message, error.hint))
        raise InputError(message, hint) from error
