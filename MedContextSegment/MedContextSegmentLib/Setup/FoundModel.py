"""What the worker found in a file or folder that is to become a model, and what a person says about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from medcontext.disk import size_text
from medcontext.labels import Label

STORED = "stored"
"""Orientation of training images that were taken as they lay in their files."""

ORIENTATIONS = ("RAS", "LPS", "LAS", "RPS", "RAI", "LAI", "LPI", "RPI")
"""Codes of ``(i, j, k)`` that training images usually have."""

OWN = "MedContext model"
"""What the worker calls a model of ours: it comes as it is, under another id or title at most."""

CONFIGURATION, FOLDS, ORIENTATION = "configuration", "folds", "orientation"
"""Choices, by the names of their options."""


@dataclass(frozen=True)
class FoundModel:
    """What is in a file or folder; nothing was written yet.

    Attributes:
        form: what it is, such as "nnU-Net v2".
        kind: "segmentation" or "encoder".
        id: proposed library id.
        title: proposed title.
        labels: its structures, with colours and codes as the source says them or as their names tell.
        input: what it takes, in words.
        orientation: of the training images as the source says it.
        notes: sentences on what was chosen, is different here, or was left out.
        choices: what there is to choose from, by the name of the option.
        chosen: what was taken of it, likewise.
    """

    form: str
    kind: str = "segmentation"
    id: str = ""
    title: str = ""
    labels: tuple[Label, ...] = ()
    input: str = ""
    orientation: str = ""
    notes: tuple[str, ...] = ()
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def fromAnswer(cls, answer: Mapping[str, Any]) -> FoundModel:
        """From the worker's answer to ``inspect_model``."""
        return cls(
            form=str(answer["form"]),
            kind=str(answer["kind"]),
            id=str(answer["model"]),
            title=str(answer["title"]),
            labels=tuple(Label.from_json(entry) for entry in answer["labels"]),
            input=_inputText(answer),
            orientation=str(answer.get("orientation") or ""),
            notes=tuple(map(str, answer["notes"])),
            choices=_texts(answer["choices"]),
            chosen=_texts(answer["chosen"]),
        )

    @property
    def fixed(self) -> bool:
        """Whether structures and orientation cannot be said otherwise."""
        return self.form == OWN


@dataclass
class ImportChoices:
    """What a person says; what is empty the source decides."""

    id: str = ""
    title: str = ""
    configuration: str = ""
    folds: tuple[str, ...] = ()
    orientation: str = ""
    labels: tuple[Label, ...] = ()

    def inspection(self, source: Path) -> dict[str, Any]:
        """The fields of a request to look at it."""
        return {"archive": str(source)} | _given({CONFIGURATION: self.configuration})

    def request(self, source: Path) -> dict[str, Any]:
        """The fields of a request to import it."""
        said = {
            "model_id": self.id,
            "title": self.title,
            FOLDS: list(self.folds),
            ORIENTATION: self.orientation,
        }
        labels = [label.to_json() for label in self.labels]
        return self.inspection(source) | _given(said | {"labels": labels})


@dataclass(frozen=True)
class ArrivedModel:
    """A model that came into the library.

    Attributes:
        key: ``id@version``.
        title: its title.
        kind: "segmentation" or "encoder".
    """

    key: str
    title: str
    kind: str

    @property
    def text(self) -> str:
        """What became of it, in a sentence."""
        if self.kind == "segmentation":
            return _("The model '{title}' is in the library and chosen.").format(title=self.title)
        text = _(
            "'{title}' is in the library. It knows no structure yet: a training can start from it, see Learn."
        )
        return text.format(title=self.title)


def _given(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value}


def _texts(options: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {str(name): tuple(map(str, values)) for name, values in options.items()}


def _inputText(answer: Mapping[str, Any]) -> str:
    spacing: Sequence[float] = answer["spacing"]
    size = " x ".join(f"{value:.3g}" for value in reversed(spacing))
    channels, modality = [str(name) for name in answer["channels"]], str(answer["modality"])
    named = modality if [name.casefold() for name in channels] == [modality.casefold()] else ""
    parts = (
        named or _("{channels} ({modality})").format(channels=", ".join(channels), modality=modality),
        _("{size} mm").format(size=size),
        size_text(int(answer["bytes"])),
    )
    return " · ".join(parts)
