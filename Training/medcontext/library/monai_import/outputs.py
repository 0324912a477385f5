"""What the channels of a bundle's network mean, and what becomes of them: labels, activation, clean-up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from medcontext.card_schema import Postprocess
from medcontext.errors import InputError
from medcontext.labels import LabelSet
from medcontext.library.import_options import labels_of
from medcontext.library.monai_import.config import Part
from medcontext.library.monai_import.preprocessing import plain_transform

_NO_CHANGE = (
    "Invert",
    "SaveImage",
    "EnsureType",
    "ToTensor",
    "CastToType",
    "ToDevice",
    "DeleteItems",
    "Activations",
)
_BACKGROUND = ("background", "bg", "unlabeled", "unlabelled", "other", "_background_")


@dataclass
class Outputs:
    """What a network's channels mean.

    Attributes:
        labels: the structures; with softmax channel ``n + 1`` is the n-th, with sigmoid channel ``n``.
        activation: how scores become labels.
        postprocess: clean-up afterwards.
        notes: sentences on what is not the same here.
    """

    labels: LabelSet
    activation: Literal["softmax", "sigmoid"]
    postprocess: Postprocess = field(default_factory=Postprocess)
    notes: list[str] = field(default_factory=list)


@dataclass
class _Steps:
    """What the post-processing of a bundle says."""

    activation: Literal["softmax", "sigmoid"] | None = None
    values: dict[int, int] = field(default_factory=dict)
    largest: list[int] | Literal["all"] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_outputs(metadata: Mapping[str, Any], postprocessing: Part | None, channels: int) -> Outputs:
    """The meaning of a network's output channels.

    Args:
        metadata: content of ``metadata.json``.
        postprocessing: transforms of the bundle's predictions, where it says any.
        channels: of the network's output.

    Raises:
        InputError: names and channels do not go together, or a step cannot be read as data.
    """
    names, steps = _channel_names(metadata), _read_steps(postprocessing)
    if names and len(names) != channels:
        raise InputError(
            f"The metadata of the bundle names {len(names)} output channels, and its network has {channels}."
        )
    activation = steps.activation or ("sigmoid" if channels == 1 else "softmax")
    softmax = activation == "softmax"
    if softmax and channels < 2:
        raise InputError(
            "The network of the bundle has one output channel and softmax, which gives one label to all."
        )
    if softmax and names and names[0].casefold() not in _BACKGROUND:
        steps.notes.append(f"Channel 0, '{names[0]}', was taken for background.")
    if not softmax and channels > 1:
        steps.notes.append(
            "Structures may overlap in the bundle; here a later one is painted over an earlier one."
        )
    used = range(1, channels) if softmax else range(channels)
    values = [steps.values.get(index, index if softmax else index + 1) for index in used]
    if not names:
        steps.notes.append("The bundle does not name what it finds.")
        names = [f"structure {index if softmax else index + 1}" for index in range(channels)]
    labels = _labels(metadata, dict(zip(values, (names[index] for index in used), strict=True)))
    largest = (
        list(labels.values) if steps.largest == "all" else [v for v in steps.largest if v in labels.values]
    )
    return Outputs(labels, activation, Postprocess(largest_component=largest), steps.notes)


def _labels(metadata: Mapping[str, Any], names: dict[int, str]) -> LabelSet:
    """Labels by value; with colours and codes where the metadata list them as ours do."""
    listed = metadata.get("labels")
    if isinstance(listed, list) and listed:
        labels = labels_of(listed, "'labels' of the metadata")
        if list(labels.values) == list(names):
            return labels
    if len(set(names)) != len(names) or not all(0 < value < 255 for value in names):
        raise InputError(
            f"The bundle gives its labels the values {list(names)}; 1 to 254 are allowed, each once."
        )
    return LabelSet.from_json([{"value": value, "name": name} for value, name in names.items()])


def _channel_names(metadata: Mapping[str, Any]) -> list[str]:
    """Names of the output channels in order, each once; empty where the metadata do not say."""
    found: Any = metadata
    for key in ("network_data_format", "outputs"):
        found = found.get(key) if isinstance(found, Mapping) else None
    output = (
        found.get("pred", next(iter(found.values()), None)) if isinstance(found, Mapping) and found else None
    )
    channels = output.get("channel_def") if isinstance(output, Mapping) else None
    if not isinstance(channels, Mapping) or not channels:
        return []
    if sorted(map(str, channels)) != sorted(map(str, range(len(channels)))):
        raise InputError(
            f"The metadata number the output channels {', '.join(map(str, channels))}; 0, 1, 2, ... is needed."
        )
    by_number = {int(number): str(name).strip() for number, name in channels.items()}
    return _distinct([by_number[number] or f"structure {number}" for number in range(len(by_number))])


def _distinct(names: list[str]) -> list[str]:
    """The names, numbered where two are the same."""
    plain = [name.casefold() for name in names]
    return [
        name if plain.index(plain[at]) == at else f"{name} ({plain[: at + 1].count(plain[at])})"
        for at, name in enumerate(names)
    ]


def _read_steps(postprocessing: Part | None) -> _Steps:
    steps = _Steps()
    transforms = None if postprocessing is None else postprocessing.entry("transforms") or postprocessing
    for transform in transforms.items() if transforms is not None else []:
        if transform.target and not transform.disabled:
            _read_step(steps, transform)
    return steps


def _read_step(steps: _Steps, transform: Part) -> None:
    kind = plain_transform(transform.target, _KNOWN)
    if kind == "Activations" and transform.get("sigmoid", False) is True:
        steps.activation = "sigmoid"
    elif kind == "AsDiscrete":
        _discrete(steps, transform)
    elif kind == "MapLabelValue":
        pairs = zip(transform.get("orig_labels", []), transform.get("target_labels", []), strict=False)
        steps.values = {int(a): int(b) for a, b in pairs}
    elif kind == "KeepLargestConnectedComponent":
        given = transform.get("applied_labels")
        steps.largest = (
            "all" if given is None else [given] if isinstance(given, int) else [int(v) for v in given]
        )
    elif kind not in _NO_CHANGE:
        steps.notes.append(f"{kind}, which the bundle does to its labels, was left out.")


def _discrete(steps: _Steps, transform: Part) -> None:
    argmax, threshold = transform.get("argmax", False), transform.get("threshold")
    if argmax is True or argmax == [True]:
        steps.activation = "softmax"
    elif isinstance(threshold, int | float):
        steps.activation = "sigmoid"
        if not math.isclose(threshold, 0.5):
            steps.notes.append(f"A probability of 0.5 decides here, {threshold} in the bundle.")


_KNOWN = (*_NO_CHANGE, "AsDiscrete", "MapLabelValue", "KeepLargestConnectedComponent")
