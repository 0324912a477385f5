"""What ``batch.json`` says of a batch: with what its cases were made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from medcontext.batch_ledger import Layout
from medcontext.errors import InputError
from medcontext.jobs.files import read_json
from medcontext.labels import LabelSet


@dataclass(frozen=True)
class RunRecord:
    """What is known of a batch.

    Attributes:
        model: {id, version, title, sha256, license}.
        labels: its labels.
        channels: names of its input channels.
        software: versions.
        odd: what became of scans on tilted or uneven planes: "resample" or "refuse".
        keepIdentifiers: whether names of patients may be told.
        settings: of the run, for the provenance of segments.
    """

    model: dict[str, Any]
    labels: LabelSet
    channels: tuple[str, ...]
    software: dict[str, str]
    odd: str
    keepIdentifiers: bool
    settings: dict[str, Any]


def readRun(layout: Layout) -> RunRecord:
    """Read it.

    Raises:
        InputError: it is missing, damaged, or of another form.
    """
    record = read_json(layout.run)
    if record is None:
        raise InputError(_("{folder} holds no {name}.").format(folder=layout.root, name=layout.run.name))
    try:
        model, options = record["model"], record["options"]
        names = ("id", "version", "title", "sha256", "license")
        return RunRecord(
            model={name: str(model.get(name) or "") for name in names},
            labels=LabelSet.from_json(model["labels"]),
            channels=tuple(map(str, model.get("channels") or ())),
            software={str(name): str(version) for name, version in record["software"].items()},
            odd=str(options["odd"]),
            keepIdentifiers=bool(options["keep_identifiers"]),
            settings={"certainty": options["certainty"], "odd": options["odd"], "batch": True},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        text = _("{path} cannot be read: {problem}.")
        raise InputError(text.format(path=layout.run, problem=repr(error))) from error
