"""The rules of ``dataset.json`` that its quick and its strict reader share: names, labels, channels, regions."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from medcontext.errors import InputError
from medcontext.labels import Label, LabelSet, default_color

INDEX = "dataset.json"
SPLITS = "splits.json"

SCHEMA_VERSION = 1
"""Newest ``schema_version`` of dataset.json that this program reads, and the one it writes."""

DETACHED_HEADERS = (".mhd", ".nhdr")
"""Endings of files whose voxels may lie in another file."""

_YES, _NO = {"1", "true", "t", "yes", "y", "on"}, {"0", "false", "f", "no", "n", "off"}
_IMAGE_ENDINGS = (".nii.gz", ".seg.nrrd", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".png", ".jpg", ".dcm")


def strip_ending(name: str) -> str:
    """A file name without the ending of an image format."""
    for ending in _IMAGE_ENDINGS:
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def name_cases(entries: Sequence[tuple[str | None, Sequence[str], str | None]]) -> list[str]:
    """The id of each entry: the given one, else its file name, or its path where file names repeat.

    Args:
        entries: given id or None, image files (at least one) and label file or None of each entry.
    """
    short = [given or _file_id(images, label) for given, images, label in entries]
    count = Counter(short)
    return [
        _path_id(images[0]) if count[name] > 1 and given is None else name
        for (given, images, _), name in zip(entries, short, strict=True)
    ]


def check_ids(ids: Sequence[str]) -> None:
    """Refuse ids that cannot be told apart or cannot be file names.

    Raises:
        InputError: the first one.
    """
    unsafe = [case_id for case_id in ids if re.search(r"[/\\]|^\.", case_id)]
    if unsafe:
        raise InputError(f"{INDEX} has the case id '{unsafe[0]}', which cannot be a file name.")
    repeated = sorted(i for i, n in Counter(ids).items() if n > 1)
    if repeated:
        raise InputError(f"{INDEX} lists case '{repeated[0]}' more than once.", "Give each case its own id.")


def check_schema(version: int) -> None:
    """Refuse what a later release wrote.

    Raises:
        InputError: the version is newer than :data:`SCHEMA_VERSION`.
    """
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{INDEX} has schema version {version}; this program reads up to {SCHEMA_VERSION}.",
            "Update medcontext.",
        )


def check_region(region: str, slices: Sequence[int], axis: str, masked: bool) -> None:
    """Refuse an annotated region that lacks what it needs.

    Args:
        region: "whole", "slices" or "mask".
        slices: indices from 0.
        axis: "k", "j" or "i".
        masked: whether there is a mask.

    Raises:
        InputError: what is wrong.
    """
    if region not in ("whole", "slices", "mask"):
        raise InputError(f"An annotated region is 'whole', 'slices' or 'mask', not '{region}'.")
    if axis not in ("k", "j", "i"):
        raise InputError(f"Annotated slices count along axis 'k', 'j' or 'i', not '{axis}'.")
    if region == "slices" and (not slices or min(slices) < 0):
        raise InputError("An annotation by slices needs at least one slice index, counted from 0.")
    if region == "mask" and not masked:
        raise InputError("An annotation by mask needs the mask file.")


def labels_from(table: Sequence[Mapping[str, Any]], names: Mapping[str, Any] | Sequence[str]) -> LabelSet:
    """The labels, with colours and terminology where ``table`` has them.

    Args:
        table: ``label_table``; wins over ``names`` unless empty.
        names: ``labels``: names by value, values by name, or a list of names from background on.

    Raises:
        InputError: a value is not a whole number, is used twice or lies outside 1..254.
    """
    if table:
        try:
            return LabelSet.from_json([dict(entry) for entry in table])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"The label_table of {INDEX} cannot be read: each entry needs a value and a name, and each "
                "terminology a category and a type.",
            ) from error
    if not isinstance(names, Mapping):
        pairs: list[tuple[Any, Any]] = list(enumerate(names))
    elif values_come_first(names):
        pairs = list(names.items())
    else:
        pairs = [(value, name) for name, value in names.items()]
    try:
        named = [(int(value), str(name)) for value, name in pairs]
    except ValueError as error:
        raise InputError(
            f"The labels of {INDEX} must map whole numbers to names, such as {{'0': 'background', '1': 'x'}}."
        ) from error
    return LabelSet(tuple(Label(v, n, default_color(v)) for v, n in sorted(named) if v != 0))


def values_come_first(names: Mapping[str, Any]) -> bool:
    """Whether ``labels`` are names by value, not values by name."""
    return all(str(value).lstrip("-").isdigit() for value in names)


def channels_from(
    channels: Sequence[Mapping[str, str]], modality: Mapping[str, str]
) -> list[tuple[str, str]]:
    """The input channels as (name, modality); one of unknown modality where the file does not say.

    Args:
        channels: {name, modality} of each; wins over ``modality`` unless empty.
        modality: modality by channel number.
    """
    if channels:
        return [(entry.get("name", ""), entry.get("modality", "")) for entry in channels]
    ordered = sorted((modality or {"0": "unknown"}).items(), key=lambda item: (len(item[0]), item[0]))
    return [(text, text) for _, text in ordered]


def _file_id(images: Sequence[str], label: str | None) -> str:
    source = label if len(images) > 1 and label else images[0]
    return re.sub(r"_0000$", "", strip_ending(PurePosixPath(source.replace("\\", "/")).name))


def _path_id(image: str) -> str:
    parts = PurePosixPath(image.replace("\\", "/")).parts
    return strip_ending("_".join(part for part in parts if part not in (".", "..", "/")))


def load_object(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, or None where there is no file.

    Raises:
        InputError: the file cannot be read or holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}.") from error
    check_type(isinstance(data, dict), "content", path.name)
    return data


def check_type(fine: bool, key: str, file: str = INDEX) -> None:
    """Raise InputError where the value of a key has another type than it must."""
    if not fine:
        raise InputError(f"{file} was changed into something that cannot be read: look at '{key}'.")


def text_in(data: dict[str, Any], key: str) -> str:
    """The text under a key, "" where there is none; InputError for anything else."""
    value = data.get(key, "")
    check_type(isinstance(value, str), key)
    return str(value)


def list_in(data: dict[str, Any], key: str, file: str = INDEX) -> list[Any]:
    """The list under a key, empty where there is none; InputError for anything else."""
    value = data.get(key, [])
    check_type(isinstance(value, list), key, file)
    return list(value)


def texts_in(data: dict[str, Any], key: str) -> dict[str, str]:
    """The object of texts under a key, empty where there is none; InputError for anything else."""
    value = data.get(key, {})
    check_type(is_texts(value), key)
    return dict(value)


def is_texts(value: Any) -> bool:
    """Whether a value is an object of texts."""
    return isinstance(value, dict) and all(isinstance(entry, str) for entry in value.values())


def is_list_of_texts(value: Any) -> bool:
    """Whether a value is a list of texts."""
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def whole_number(value: Any, key: str) -> int:
    """A whole number, also where it is written as text; InputError for anything else."""
    text = str(value).strip()
    check_type(isinstance(value, int | str) or (isinstance(value, float) and value.is_integer()), key)
    check_type(isinstance(value, int | float) or re.fullmatch(r"[+-]?\d{1,18}", text) is not None, key)
    return int(value)


def flag_in(data: dict[str, Any], key: str) -> bool:
    """The yes or no under a key, no where there is none; InputError for anything else."""
    value = data.get(key, False)
    text = str(int(value) if isinstance(value, bool) else value).lower()
    check_type(isinstance(value, bool | int | str) and text in _YES | _NO, key)
    return text in _YES
