"""A catalogue: which models there are to download, and how to know that what came is what was meant."""

from __future__ import annotations

import difflib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from medcontext.cards import CardSummary, list_cards, version_key
from medcontext.config import StrictModel
from medcontext.errors import InputError
from medcontext.library.import_options import ImportOptions

SCHEMA_VERSION = 1
"""Newest ``schema_version`` of a catalogue that this program reads."""

Line = Annotated[str, Field(max_length=300, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""Text on one line: it is shown at terminals, which would obey control characters."""


class CatalogueEntry(StrictModel):
    """A model to download."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    """Id that it gets in the library."""
    version: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+_-]{0,31}$")
    """Version of the model."""
    title: Line = Field(min_length=1)
    """Name for people."""
    url: str = Field(min_length=1, max_length=4000, pattern=r"^[^\x00-\x20\x7f-\x9f]*$")
    """Address of the archive or file: http or https, or a place relative to the catalogue. A catalogue on the disk may
    name files on the disk."""
    size: int = Field(gt=0)
    """Bytes of the file."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """SHA-256 of the file in hexadecimal digits."""
    licence: Line = Field(min_length=1)
    """Licence of the weights, as an SPDX id where there is one."""
    modality: list[Line] = Field(min_length=1)
    """Modality of each input channel, such as CT or MR."""
    labels: list[Line]
    """Names of the structures that it finds; empty for encoders."""
    form: Literal["medcontext", "nnunet", "monai-bundle", "weights"] = "medcontext"
    """What the file is. People read this; the import goes by the content."""
    homepage: Line = ""
    """Where people read more."""
    citation: Annotated[str, Field(max_length=2000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$")] = ""
    """What to cite."""
    configuration: Line | None = None
    """Of an nnU-Net: which of its configurations, such as 3d_fullres."""
    folds: list[Annotated[str, Field(pattern=r"^(\d{1,3}|all)$")]] = Field(default_factory=list)
    """Of an nnU-Net: which of its folds; every one that is there when empty."""
    orientation: str | None = Field(default=None, pattern="^([LRAPIS]{3}|stored)$")
    """Orientation of (i, j, k) that the training images of a foreign model had, such as RAS, or stored."""

    @property
    def name(self) -> str:
        """Id and version as one text, which names the entry in its catalogue."""
        return f"{self.id}@{self.version}"

    @property
    def options(self) -> ImportOptions:
        """What the catalogue says about the import.

        Raises:
            InputError: the orientation names an axis twice.
        """
        return ImportOptions(self.configuration, tuple(self.folds), orientation=self.orientation)

    @property
    def installed(self) -> CardSummary | None:
        """The usable model of this id and version in the library, if there is one."""
        same = (card for card in list_cards() if (card.id, card.version) == (self.id, self.version))
        return next((card for card in same if card.problem is None), None)


class Catalogue(StrictModel):
    """The file: a title and models."""

    schema_: str | None = Field(default=None, alias="$schema")
    """Address of the JSON Schema, for editors; it is not fetched."""
    schema_version: Literal[1]
    title: Line = ""
    """Name of the catalogue for people."""
    models: list[CatalogueEntry]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [entry.name for entry in self.models]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"it lists {twice[0]} more than once")
        return self

    def find(self, model: str) -> CatalogueEntry:
        """The entry of an id, in its newest version, or of ``id@version``.

        Raises:
            InputError: there is none; the hint names what there is.
        """
        name, _, version = model.partition("@")
        found = [entry for entry in self.models if entry.id == name and version in ("", entry.version)]
        if found:
            return max(found, key=lambda entry: version_key(entry.version))
        known = [entry.name if version else entry.id for entry in self.models]
        close = difflib.get_close_matches(model, known, n=1)
        listed = ", ".join(dict.fromkeys(known[:10])) + (", ..." if len(known) > 10 else "")
        hint = f"Did you mean '{close[0]}'?" if close else f"It lists: {listed or 'nothing'}."
        raise InputError(f"The catalogue lists no model '{model}'.", hint)


def parse_catalogue(content: bytes, source: str) -> Catalogue:
    """Check the content of a catalogue file.

    Args:
        content: the bytes of the file.
        source: what errors call it.

    Raises:
        InputError: it is not JSON, a later release is needed to read it, or something in it is not allowed.
    """
    try:
        data: Any = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is no catalogue: it is not JSON ({error}).") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise InputError(
            f"{source} is of schema {version}; this program reads catalogues up to {SCHEMA_VERSION}.",
            "Update medcontext.",
        )
    return Catalogue.parse(data, source)


def catalogue_schema() -> str:
    """The JSON Schema of a catalogue file, as text."""
    schema = Catalogue.model_json_schema(by_alias=True)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(head | schema | {"title": "Catalogue of models for MedContext"}, indent=2) + "\n"
