"""What the numbers of a labelmap mean: names, colours, standard codes."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from medcontext.errors import InputError

IGNORE = 255
"""Voxels of this value were not annotated: no supervised loss and no metric looks at them."""


@dataclass(frozen=True)
class Code:
    """One entry of a coding scheme, such as ``Code("SCT", "4958002", "Anterior")``."""

    scheme: str
    value: str
    meaning: str

    @classmethod
    def from_json(cls, data: dict[str, str]) -> Code:
        return cls(data["scheme"], data["value"], data["meaning"])

    def to_json(self) -> dict[str, str]:
        return {"scheme": self.scheme, "value": self.value, "meaning": self.meaning}

    @classmethod
    def from_slicer_text(cls, text: str) -> Code | None:
        """``scheme^value^meaning`` as 3D Slicer writes it; None where scheme or value is missing."""
        parts = text.split("^")
        return cls(*parts) if len(parts) == 3 and all(parts[:2]) else None

    def to_slicer_text(self) -> str:
        """``scheme^value^meaning``; characters that separate parts there become ``-``."""
        parts = (self.scheme, self.value, self.meaning)
        return "^".join(part.translate(str.maketrans("~^|", "---")) for part in parts)


TISSUE = Code("SCT", "85756007", "Tissue")
NO_CODE = "^^"
SLICER_CATEGORIES = "Segmentation category and type - 3D Slicer General Anatomy list"
SLICER_REGIONS = "Anatomic codes - DICOM master list"


@dataclass(frozen=True)
class Terminology:
    """SNOMED CT meaning of a segment, in the form DICOM SEG and 3D Slicer use.

    ``category`` and ``type`` are required there; ``modifier`` says the side, ``region`` the place.
    """

    category: Code
    type: Code
    modifier: Code | None = None
    region: Code | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Terminology:
        optional = {k: Code.from_json(data[k]) for k in ("modifier", "region") if data.get(k)}
        return cls(Code.from_json(data["category"]), Code.from_json(data["type"]), **optional)

    def to_json(self) -> dict[str, Any]:
        parts = {
            "category": self.category,
            "type": self.type,
            "modifier": self.modifier,
            "region": self.region,
        }
        return {name: code.to_json() for name, code in parts.items() if code}

    @classmethod
    def from_slicer_text(cls, text: str) -> Terminology | None:
        """The opposite of :meth:`to_slicer_text`; None where category or type is missing."""
        parts = (text.split("~") + [""] * 7)[1:6]
        category, type_, modifier, _, region = map(Code.from_slicer_text, parts)
        return cls(category, type_, modifier, region) if category and type_ else None

    def to_slicer_text(self) -> str:
        """The one line of 3D Slicer: context~category~type~modifier~context~region~region modifier."""
        category, type_, modifier, region = (
            code.to_slicer_text() if code else NO_CODE
            for code in (self.category, self.type, self.modifier, self.region)
        )
        return "~".join((SLICER_CATEGORIES, category, type_, modifier, SLICER_REGIONS, region, NO_CODE))


UNCODED = Terminology(TISSUE, TISSUE)
"""What 3D Slicer gives a segment that nobody coded."""


@dataclass(frozen=True)
class Label:
    """One structure: its value in labelmaps (1 to 254), name, sRGB colour 0..255 and optional terminology."""

    value: int
    name: str
    color: tuple[int, int, int]
    terminology: Terminology | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Label:
        terminology = Terminology.from_json(data["terminology"]) if data.get("terminology") else None
        color = data.get("color") or default_color(int(data["value"]))
        return cls(int(data["value"]), str(data["name"]), tuple(color), terminology)

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"value": self.value, "name": self.name, "color": list(self.color)}
        if self.terminology:
            data["terminology"] = self.terminology.to_json()
        return data


def default_color(value: int) -> tuple[int, int, int]:
    """A colour that differs well from those of neighbouring values (golden-angle hues)."""
    red, green, blue = colorsys.hsv_to_rgb((0.05 + value * 0.618034) % 1.0, 0.6, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)


def default_palette() -> list[tuple[int, int, int]]:
    """The default colours of the values 0 to 255; 0 is black."""
    return [(0, 0, 0), *(default_color(value) for value in range(1, 256))]


@dataclass(frozen=True)
class LabelSet:
    """The structures of a data set or a model; background is 0 and is not listed.

    Raises:
        InputError: a value is outside 1..254 or used twice, or a name is empty or used twice (case does not count).
    """

    labels: tuple[Label, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        values = [label.value for label in self.labels]
        names = [label.name.casefold() for label in self.labels]
        if any(not 0 < v < IGNORE for v in values):
            raise InputError(f"Label values must lie in 1..{IGNORE - 1}, not {sorted(values)}.")
        if len(set(values)) != len(values) or len(set(names)) != len(names) or not all(names):
            raise InputError(
                f"Each label needs a value and a name of its own: {dict(zip(values, names, strict=True))}."
            )

    @classmethod
    def from_names(cls, names: dict[int, str]) -> LabelSet:
        """Labels with default colours; an entry for 0 (background) is left out."""
        return cls(tuple(Label(v, n, default_color(v)) for v, n in sorted(names.items()) if v != 0))

    @classmethod
    def from_json(cls, data: Iterable[dict[str, Any]]) -> LabelSet:
        return cls(tuple(Label.from_json(entry) for entry in data))

    def to_json(self) -> list[dict[str, Any]]:
        return [label.to_json() for label in self.labels]

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def values(self) -> tuple[int, ...]:
        """The labelmap values, in order."""
        return tuple(label.value for label in self.labels)

    def named(self, name: str) -> Label:
        """The label of that name, compared without regard to case.

        Raises:
            InputError: there is no such label.
        """
        for label in self.labels:
            if label.name.casefold() == name.casefold():
                return label
        known = ", ".join(label.name for label in self.labels)
        raise InputError(f"There is no label '{name}'.", f"Known labels: {known}.")
