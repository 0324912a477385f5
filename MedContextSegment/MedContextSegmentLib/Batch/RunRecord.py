"""What ``batch.json`` and ``sources.json`` say of a batch: with what its cases were made, and of which files."""

from __future__ import annotations

from collections.abc import Mapping
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
        sources: where the files of each case are.
    """

    model: dict[str, Any]
    labels: LabelSet
    channels: tuple[str, ...]
    software: dict[str, str]
    odd: str
    keepIdentifiers: bool
    settings: dict[str, Any]
    sources: Mapping[str, Any]

    def sourceOf(self, case: str) -> dict[str, Any]:
        """The files of a case, as the worker's request ``batch_case`` takes them.

        Raises:
            InputError: nothing is known of them.
        """
        entry = self.sources.get(case)
        if not isinstance(entry, dict) or not entry.get("paths"):
            raise InputError(
                _("Nobody knows from which files {case} was read.").format(case=case),
                _("Run the batch again with the same input."),
            )
        return {key: entry[key] for key in ("paths", "series", "more_series") if entry.get(key)}


def readRun(layout: Layout) -> RunRecord:
    """Read both files.

    Raises:
        InputError: one is missing, damaged, or of another form.
    """
    record, sources = read_json(layout.run), read_json(layout.sources)
    if record is None or sources is None:
        name = (layout.run if record is None else layout.sources).name
        raise InputError(_("{folder} holds no {name}.").format(folder=layout.root, name=name))
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
            sources=sources,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        text = _("{path} cannot be read: {problem}.")
        raise InputError(text.format(path=layout.run, problem=repr(error))) from error
