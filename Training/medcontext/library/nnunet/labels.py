"""What the outputs of an nnU-Net are, from its ``dataset.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from medcontext.errors import InputError
from medcontext.labels import LabelSet

BACKGROUND, IGNORE = "background", "ignore"

_CONSECUTIVE = "nnU-Net counts its labels 0, 1, 2, ...; this folder was changed or is damaged."


@dataclass(frozen=True)
class Outputs:
    """What the channels of an nnU-Net mean.

    Attributes:
        labels: of the label maps that it writes.
        activation: softmax of background and labels, or sigmoid of regions that may overlap.
        regions: the label values that each channel unites; None with softmax.
        region_values: the value that each region paints, a later one over an earlier one.
    """

    labels: LabelSet
    activation: Literal["softmax", "sigmoid"] = "softmax"
    regions: list[list[int]] | None = None
    region_values: list[int] | None = None

    @property
    def channels(self) -> int:
        """Outputs of the network."""
        return len(self.labels) + 1 if self.regions is None else len(self.regions)


def read_outputs(labels: Mapping[str, Any], order: Any, source: str) -> Outputs:
    """The outputs from the entries ``labels`` and ``regions_class_order``.

    With softmax, channel ``n`` is the label of value ``n``, whatever the order of writing. Where an entry unites
    several values, each entry but the background is a region, in the order of writing, and paints its value of
    ``regions_class_order``. The label to be ignored has no channel.

    Args:
        labels: name to value, or to the values that a region unites.
        order: list of values, or None.
        source: named in sentences.

    Raises:
        InputError: there is no background of 0; values are not 0, 1, 2, ...; or the order does not fit the regions.
    """
    entries = {name: _values(name, value, source) for name, value in labels.items()}
    if entries.get(BACKGROUND) != [0]:
        raise InputError(f"{source} names no background of value 0.", _CONSECUTIVE)
    kept = {name: values for name, values in entries.items() if name != IGNORE}
    if all(len(values) == 1 for values in kept.values()):
        return _plain({name: values[0] for name, values in kept.items()}, source)
    return _regions({name: values for name, values in kept.items() if set(values) != {0}}, order, source)


def _values(name: str, value: Any, source: str) -> list[int]:
    """One value as a list, a region as it is; whole numbers only."""
    values = value if isinstance(value, list) else [value]
    numbers = [int(v) if isinstance(v, str) and v.isdecimal() else v for v in values]
    if not numbers or any(type(v) is not int or not 0 <= v < 2**16 for v in numbers):
        raise InputError(f"{source} gives the label '{name}' the value {value!r:.80}.", _CONSECUTIVE)
    return numbers


def _plain(values: Mapping[str, int], source: str) -> Outputs:
    if sorted(values.values()) != list(range(len(values))):
        told = ", ".join(f"{value} {name}" for name, value in list(values.items())[:12])
        raise InputError(f"The labels of {source} are not numbered in order: {told}.", _CONSECUTIVE)
    return Outputs(LabelSet.from_names({value: name for name, value in values.items()}))


def _regions(regions: Mapping[str, list[int]], order: Any, source: str) -> Outputs:
    if not isinstance(order, list) or any(type(value) is not int for value in order):
        raise InputError(f"{source} holds regions, but no list 'regions_class_order' of label values.")
    if len(order) != len(regions):
        raise InputError(
            f"{source} holds {len(regions)} regions ({', '.join(regions)}) and {len(order)} values in "
            "'regions_class_order'.",
            "nnU-Net needs one value for each region; this folder was changed or is damaged.",
        )
    painted: dict[int, str] = {}
    for name, value in zip(regions, order, strict=True):
        if value in painted:
            raise InputError(f"'{painted[value]}' and '{name}' of {source} are painted with the same value.")
        painted[value] = name
    if 0 in painted:
        raise InputError(f"'{painted[0]}' of {source} is painted as background.")
    return Outputs(LabelSet.from_names(painted), "sigmoid", list(regions.values()), list(order))
