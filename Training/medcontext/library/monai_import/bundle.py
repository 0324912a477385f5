"""A MONAI bundle as a model of ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcontext.card_schema import InferenceSpec, InputSpec, ModelCard, TrainingRecord
from medcontext.cards import IMPORTED
from medcontext.errors import InputError
from medcontext.library.building import build_for
from medcontext.library.folder import identifier, sha256_of
from medcontext.library.foreign import Foreign, settled_labels
from medcontext.library.import_options import ImportOptions
from medcontext.library.monai_extras import KEY, Extras
from medcontext.library.monai_import.application import form_of, inference_spec, input_spec, window_of
from medcontext.library.monai_import.config import SUFFIXES, TARGET, Part, first, read_config, read_configs
from medcontext.library.monai_import.definition import Definition, read_definition
from medcontext.library.monai_import.outputs import Outputs, read_outputs
from medcontext.library.monai_import.preprocessing import read_preprocessing
from medcontext.library.monai_import.state import fitting, our_state
from medcontext.library.monai_import.weights import read_weights, weights_file

if TYPE_CHECKING:
    from torch import Tensor

FORM = "MONAI bundle"
CONFIGS = "configs"

_LICENCE = "licence of the weights: "
_TEXT = 500


def is_bundle(folder: Path) -> bool:
    """Whether a folder is a MONAI bundle, or holds one: there is ``configs/metadata.json``."""
    return _bundle_in(folder) is not None


def _bundle_in(folder: Path) -> Path | None:
    """The bundle in a folder or in one of its own folders, as archives have it."""
    places = [folder, *sorted(place for place in folder.iterdir() if place.is_dir())]
    return next((place for place in places if _metadata_file(place) is not None), None)


def _metadata_file(folder: Path) -> Path | None:
    files = (folder / CONFIGS / f"metadata{suffix}" for suffix in SUFFIXES)
    return next((file for file in files if file.is_file()), None)


def convert_bundle(folder: Path, options: ImportOptions | None = None) -> Foreign:
    """A bundle as a model of ours; its configuration is read as data and nothing of it is executed.

    Args:
        folder: of the bundle, with ``configs`` and ``models``, or a folder that holds it.
        options: choices of a person.

    Raises:
        InputError: it is damaged, its network is none of ours, its weights do not fit, what it does to images is not
            known here, or a value that is needed stands there as an expression.
    """
    options = options or ImportOptions()
    options.refuse("configuration", "folds", "checkpoint", source=f"{folder}, a MONAI bundle,")
    folder = _bundle_in(folder) or folder
    metadata = _metadata(folder)
    configs = read_configs(folder / CONFIGS)
    extras = Extras.parse(metadata[KEY], f"'{KEY}' of the metadata") if KEY in metadata else None
    definition = _definition(configs, metadata, extras, folder)
    path = weights_file(folder, configs)
    state, notes = _weights(path, definition)
    before = read_preprocessing(_transforms(configs), definition.in_channels)
    after = first(configs, "postprocessing", "validate#postprocessing")
    outputs = read_outputs(metadata, after, definition.out_channels)
    inferer = first(configs, "inferer", "validate#inferer")
    spacing, resample = before.grid()
    window = window_of(inferer, metadata, definition)
    spec = input_spec(before, spacing, metadata, window, options.orientation)
    inference, told = inference_spec(inferer, resample, outputs.postprocess)
    every = tuple(dict.fromkeys([*notes, *before.notes, *told, *outputs.notes]))
    card = _card(folder, metadata, definition, spec, inference, outputs, options)
    card = card if extras is None else extras.on(card)
    record = TrainingRecord(config=_record(metadata, path, every), metrics=_metrics(metadata))
    return Foreign(FORM, card.model_copy(update={"training": record}), [state], every)


def _metadata(folder: Path) -> Mapping[str, Any]:
    file = _metadata_file(folder)
    if file is None:
        raise InputError(f"{folder} is no MONAI bundle: it has no {CONFIGS}/metadata.json.")
    data = read_config(file)
    if not isinstance(data, Mapping):
        raise InputError(f"{file} holds no metadata of a bundle.")
    return data


def _definition(
    configs: list[Part], metadata: Mapping[str, Any], extras: Extras | None, folder: Path
) -> Definition:
    """The network: of our own bundles from their metadata where their network is a program."""
    for place in ("network_def", "network", "net", "model"):
        part = first(configs, place)
        if part is not None and isinstance(part.value, Mapping) and TARGET in part.value:
            return read_definition(part)
    if extras is not None:
        return Definition(extras.network, _channels(metadata, "inputs"), _channels(metadata, "outputs"))
    part = first(configs, "network_def")
    if part is not None:
        part.plain()  # says which expression it is
    raise InputError(f"{folder} does not say what its network is: no configuration has a network_def.")


def _channels(metadata: Mapping[str, Any], side: str) -> int:
    name = "image" if side == "inputs" else "pred"
    found = form_of(metadata, side, name).get("num_channels")
    if not isinstance(found, int) or found < 1:
        raise InputError(f"The metadata of the bundle do not say the channels of its {side}.")
    return found


def _transforms(configs: list[Part]) -> Part | None:
    part = first(configs, "preprocessing", "validate#preprocessing", "train#preprocessing")
    return None if part is None else part.entry("transforms") or part


def _weights(path: Path, definition: Definition) -> tuple[dict[str, Tensor], list[str]]:
    groups = read_weights(path)
    channels = (definition.in_channels, definition.out_channels)
    network = build_for(definition.network, *channels, max(groups, key=len), str(path))
    return our_state(network, max(groups, key=lambda group: fitting(group, network)), definition, str(path))


def _card(
    folder: Path,
    metadata: Mapping[str, Any],
    definition: Definition,
    spec: InputSpec,
    inference: InferenceSpec,
    outputs: Outputs,
    options: ImportOptions,
) -> ModelCard:
    name = str(metadata.get("name") or folder.name)
    values = list(outputs.labels.values)
    overlapping = {"regions": [[value] for value in values], "region_values": values}
    return ModelCard.parse(
        {
            "id": identifier(name),
            "version": str(metadata.get("version") or "1.0.0")[:32],
            "title": str(metadata.get("task") or name)[:120],
            "method": IMPORTED,
            "network": definition.network,
            "input": spec,
            "labels": settled_labels(outputs.labels, options).to_json(),
            "activation": outputs.activation,
            **(overlapping if outputs.activation == "sigmoid" else {}),
            "inference": inference,
            "license": _licence(metadata),
        },
        f"What {folder.name} says of itself",
    )


def _licence(metadata: Mapping[str, Any]) -> str:
    copyright_ = str(metadata.get("copyright") or "")
    told = copyright_.removeprefix(_LICENCE) if copyright_.startswith(_LICENCE) else ""
    return str(metadata.get("license") or metadata.get("licence") or told or "unspecified")[:_TEXT]


def _record(metadata: Mapping[str, Any], weights: Path, notes: tuple[str, ...]) -> dict[str, Any]:
    """Where the model comes from, in words of the bundle."""
    said = {
        "Bundle": f"{metadata.get('name') or metadata.get('task') or 'unnamed'} {metadata.get('version', '')}".strip(),
        "Weights": weights.name,
        "SHA-256": sha256_of(weights),
        "Description": metadata.get("description"),
        "Authors": metadata.get("authors"),
        "Copyright": metadata.get("copyright"),
        "Training images": metadata.get("data_source"),
        "Notes": " ".join(notes),
    }
    return {"Source": FORM} | {key: str(value)[:2000] for key, value in said.items() if value}


def _metrics(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Scores that the bundle says of itself, as far as they are numbers."""
    scores = metadata.get("eval_metrics")
    return (
        {str(k): v for k, v in scores.items() if isinstance(v, int | float)}
        if isinstance(scores, Mapping)
        else {}
    )
