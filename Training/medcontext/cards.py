"""Which models are there: a quick, tolerant look at model folders with the standard library alone.

A model folder is listed even when it is broken, with the reason. The strict check of ``model.json`` and of
the weights is the library's task (floor 5).
"""

from __future__ import annotations

import difflib
import json
import math
import re
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

from medcontext.errors import InputError
from medcontext.home import home
from medcontext.labels import default_color

MODEL_FILE = "model.json"
TRAINING_FOLDER = "training"
IMPORTED = "imported"
"""Method of an encoder that other software trained: of its images only the number of channels is known."""
READABLE_SCHEMA = 1
"""Newest ``schema_version`` of model.json that this program reads, as in ``card_schema``."""

Sizes = tuple[float, float, float]
Color = tuple[int, int, int]

_ORDERS = {str([k, j, i]): (k, j, i) for k, j, i in permutations((0, 1, 2))}

MAXIMUM_BYTES = 16 * 2**20
"""A larger model.json is not read: real ones take a few kilobytes."""


@dataclass(frozen=True)
class CardSummary:
    """What a list of models shows about one of them.

    Attributes:
        folder: the model folder.
        id: library id; the folder's name where the card does not say.
        title: name for people.
        version: version of the model.
        kind: segmentation, encoder or text_segmentation.
        method: method that trained it.
        labels: names of the structures, in the order of the network's channels.
        channels: names of the input channels, in order.
        modalities: modality of each input channel, in order.
        license: licence of the weights.
        shots: number of labelled cases that it learnt from.
        bundled: whether it came with the program (and cannot be removed).
        problem: why it cannot be used, or None.
        dims: 2 or 3: whether the network sees slices or volumes.
        orientation: code of the axes ``(i, j, k)`` that the ranges refer to; ``stored`` for those of the file.
        transpose: array axes of an image in that orientation, in the order of the ranges.
        spacing_range: smallest and largest voxel size of the training images in mm along ``(K, J, I)``, or None.
        field_of_view_range: smallest and largest extent of the training images in mm, likewise, or None.
        window: extent in mm of what the network sees at once, likewise, or None.
        label_colors: sRGB colour of each label, 0..255.
        label_values: number of each label in label maps.
        sha256: hash of its weights, as the card says it.
        parent_id: id of the model that it was fine-tuned from; empty where there is none.
        parent_sha256: hash of that model's weights.
        case_hashes: hashes of the images that it learnt from with labels: of their files, and of their voxel values.
        verdict: "better", "worse" or "undecided" than its parent on held-out cases; empty where nobody looked.
        network: name of its network.
    """

    folder: Path
    id: str
    title: str
    version: str
    kind: str
    method: str
    labels: tuple[str, ...]
    channels: tuple[str, ...]
    modalities: tuple[str, ...]
    license: str
    shots: int
    bundled: bool
    problem: str | None = None
    dims: int = 3
    orientation: str = "LPS"
    transpose: tuple[int, int, int] = (0, 1, 2)
    spacing_range: tuple[Sizes, Sizes] | None = None
    field_of_view_range: tuple[Sizes, Sizes] | None = None
    window: Sizes | None = None
    label_colors: tuple[Color, ...] = ()
    label_values: tuple[int, ...] = ()
    sha256: str = ""
    parent_id: str = ""
    parent_sha256: str = ""
    case_hashes: tuple[str, ...] = ()
    verdict: str = ""
    network: str = ""


def user_models() -> Path:
    """The user's model library; it need not exist yet."""
    return home() / "models"


def bundled_models() -> Path:
    """The models that come with the package; they are read in place."""
    return Path(__file__).resolve().parent / "resources" / "models"


def list_cards() -> list[CardSummary]:
    """Every model folder, broken ones included: by id, newest version first, the user's before bundled."""
    cards = [read_summary(folder) for root in (user_models(), bundled_models()) for folder in _folders(root)]
    cards.sort(key=lambda card: card.bundled)
    cards.sort(key=lambda card: version_key(card.version), reverse=True)
    return sorted(cards, key=lambda card: card.id)


def read_summary(folder: Path) -> CardSummary:
    """The summary of one model folder; what is wrong with it is in ``problem``, nothing is raised."""
    data, problem = _read(folder)
    training, spec = _object(data.get("training")), _object(data.get("input"))
    parent = _object(data.get("parent"))
    channels = [_object(entry) for entry in _list(spec.get("channels"))]
    labels = [_object(entry) for entry in _list(data.get("labels"))]
    ranges, shots = _object(spec.get("range")), training.get("shots")
    return CardSummary(
        folder=folder,
        id=_text(data.get("id")) or folder.name,
        title=_text(data.get("title")) or folder.name,
        version=_text(data.get("version")) or "0",
        kind=_text(data.get("kind")) or "segmentation",
        method=_text(data.get("method")),
        labels=tuple(_text(entry.get("name")) for entry in labels),
        channels=tuple(_text(entry.get("name")) for entry in channels),
        modalities=tuple(_text(entry.get("modality")) for entry in channels),
        license=_text(data.get("license")) or "unspecified",
        shots=shots if isinstance(shots, int) else 0,
        bundled=folder.resolve().is_relative_to(bundled_models()),
        problem=problem or _weights_problem(folder, data),
        dims=2 if spec.get("dims") == 2 else 3,
        orientation=_text(spec.get("orientation")) or "LPS",
        transpose=_ORDERS.get(str(spec.get("transpose")), (0, 1, 2)),
        spacing_range=_range(ranges.get("spacing")),
        field_of_view_range=_range(ranges.get("field_of_view")),
        window=_window(spec),
        label_colors=tuple(_color(entry) for entry in labels),
        label_values=tuple(_value(entry) for entry in labels),
        sha256=next((_text(_object(entry).get("sha256")) for entry in _list(data.get("weights"))), ""),
        parent_id=_text(parent.get("id")),
        parent_sha256=_text(parent.get("sha256")),
        case_hashes=_texts(training, "case_hashes") + _texts(training, "voxel_hashes"),
        verdict=_text(_object(_object(training.get("metrics")).get("verdict")).get("word")),
        network=_text(_object(data.get("network")).get("name")),
    )


def resolve(model: str | Path) -> Path:
    """The folder of a model given as a library id, ``id@version`` or a folder that holds ``model.json``.

    Where an id stands for several models the newest version wins, then the user's before the bundled one.

    Raises:
        InputError: there is no such model, or every one of that id is broken.
    """
    folder = Path(model)
    if (folder / MODEL_FILE).is_file():
        return folder
    name, _, version = str(model).partition("@")
    cards = list_cards()
    found = [card for card in cards if card.id == name and version in ("", card.version)]
    for card in found:
        if card.problem is None:
            return card.folder
    if found:
        raise InputError(
            f"Model '{model}' cannot be used: {found[0].problem}", "Remove it and import it again."
        )
    if folder.is_dir():
        raise InputError(f"{folder} is no model folder: it holds no {MODEL_FILE}.")
    raise InputError(f"There is no model '{model}'.", _suggestion(str(model), cards))


def _suggestion(model: str, cards: list[CardSummary]) -> str:
    known = sorted(
        {card.id for card in cards} | {f"{card.id}@{card.version}" for card in cards if "@" in model}
    )
    close = difflib.get_close_matches(model, known, n=1)
    if close:
        return f"Did you mean '{close[0]}'?"
    if not known:
        return "The library is empty; give the folder of a model."
    return f"Known models: {', '.join(known)}; a folder is allowed too."


def _folders(root: Path) -> list[Path]:
    """Folders of a library; names that begin with a dot are being written or removed, others still trained."""
    try:
        entries = sorted(root.iterdir())
    except OSError:  # no library yet, or one that cannot be read, lists nothing
        return []
    folders = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    return [folder for folder in folders if not is_unfinished(folder)]


def is_unfinished(folder: Path) -> bool:
    """Whether a training writes there, or was stopped there, and has not delivered a model yet."""
    return (folder / TRAINING_FOLDER).is_dir() and not (folder / MODEL_FILE).exists()


def _read(folder: Path) -> tuple[dict[str, Any], str | None]:
    """The content of model.json (empty where it cannot be read) and what is wrong with it."""
    path = folder / MODEL_FILE
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            return {}, f"{MODEL_FILE} is larger than {MAXIMUM_BYTES >> 20} MB."
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, f"{MODEL_FILE} is missing."
    except (OSError, ValueError, RecursionError) as error:
        return {}, f"{MODEL_FILE} cannot be read: {error}."
    if not isinstance(data, dict):
        return {}, f"{MODEL_FILE} holds no object."
    schema = data.get("schema_version")
    if isinstance(schema, int) and schema > READABLE_SCHEMA:
        return data, newer_schema(schema)
    missing = [
        key for key in ("schema_version", "id", "title", "network", "input", "weights") if key not in data
    ]
    return data, f"{MODEL_FILE} lacks {', '.join(missing)}." if missing else None


def newer_schema(schema: int) -> str:
    """The sentence about a card that a later release wrote."""
    return f"A newer version of MedContext made it (schema {schema}; this one reads up to {READABLE_SCHEMA})."


def _weights_problem(folder: Path, data: dict[str, Any]) -> str | None:
    files = [_text(_object(entry).get("file")) for entry in _list(data.get("weights"))]
    if not files or not all(files):
        return "It lists no weights."
    missing = [name for name in files if not (folder / name).is_file()]
    return f"Weights are missing: {', '.join(missing)}." if missing else None


def version_key(version: str) -> tuple[tuple[int, ...], bool, str]:
    """Sorts 1.10 after 1.9 and 1.0-rc1 before 1.0."""
    release, _, suffix = version.partition("-")
    return tuple(int(number) for number in re.findall(r"\d{1,9}", release)), not suffix, suffix


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(data: dict[str, Any], key: str) -> tuple[str, ...]:
    return tuple(entry for entry in _list(data.get(key)) if isinstance(entry, str))


def _range(value: Any) -> tuple[Sizes, Sizes] | None:
    """Smallest and largest sizes; None unless both are three positive numbers."""
    low, high = (_sizes(entry) for entry in value) if len(_list(value)) == 2 else (None, None)
    return (low, high) if low is not None and high is not None else None


def _sizes(value: Any) -> Sizes | None:
    numbers = [float(n) for n in _list(value) if isinstance(n, int | float) and 0 < n < math.inf]
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == len(_list(value)) == 3 else None


def _window(spec: dict[str, Any]) -> Sizes | None:
    patch, spacing = _sizes(spec.get("patch_size")), _sizes(spec.get("spacing"))
    if patch is None or spacing is None:
        return None
    return patch[0] * spacing[0], patch[1] * spacing[1], patch[2] * spacing[2]


def _color(label: dict[str, Any]) -> Color:
    """The label's colour, or the one it gets where the card says none."""
    parts = [n for n in _list(label.get("color")) if isinstance(n, int) and 0 <= n <= 255]
    if len(parts) == len(_list(label.get("color"))) == 3:
        return parts[0], parts[1], parts[2]
    return default_color(_value(label))


def _value(label: dict[str, Any]) -> int:
    value = label.get("value")
    return value if isinstance(value, int) else 0
