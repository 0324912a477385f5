"""``batch.json``: what a run is, written when it begins, and how windows are computed, as soon as that is known."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field

import medcontext
from medcontext.batch.case import BatchCase, Skipped
from medcontext.batch.memory import MemoryPlan
from medcontext.batch.options import BatchOptions, FixedPlan
from medcontext.batch_ledger import Layout
from medcontext.card_schema import ModelCard
from medcontext.config import StrictModel
from medcontext.errors import InputError
from medcontext.io.atomic import replacing

SCHEMA_VERSION = 1
_TOLD_ONLY = ("title", "license", "training", "parent")
"""Of a model's card: changes no result."""
_PACKAGES = ("torch", "numpy", "SimpleITK", "monai", "pydicom", "highdicom")


def model_identity(card: ModelCard) -> str:
    """Hash over what decides the results of a model: all its weights, and what its card says of using them."""
    return hashlib.sha256(card.model_dump_json(exclude=set(_TOLD_ONLY)).encode()).hexdigest()


class RunModel(StrictModel):
    """The model of a run."""

    id: str
    version: str
    sha256: str
    """Of the (first) weights."""
    identity: str
    """See :func:`model_identity`."""
    labels: list[dict[str, Any]]
    """Value, name, colour and terminology of each."""
    channels: list[str] = Field(default_factory=list)
    """Names of the input channels, in order."""
    title: str = ""
    license: str = ""
    """Of the weights."""

    @classmethod
    def of(cls, card: ModelCard) -> Self:
        """What is recorded of a model."""
        return cls(
            id=card.id,
            version=card.version,
            sha256=card.weights[0].sha256,
            identity=model_identity(card),
            labels=card.labels,
            channels=[channel.name for channel in card.input.channels],
            title=card.title,
            license=card.license,
        )


class Execution(StrictModel):
    """How windows are computed, and on what that was measured."""

    device: str
    """Name of the device."""
    plan: FixedPlan


class RunRecord(StrictModel):
    """``batch.json``."""

    schema_version: int = Field(default=SCHEMA_VERSION, le=SCHEMA_VERSION)
    created: float
    """Unix time of the first run into this folder."""
    started: float
    """Unix time of the newest run."""
    input: list[str]
    """What was given; empty where it names patients (it then stands in sources.json alone)."""
    model: RunModel
    options: BatchOptions
    options_hash: str
    software: dict[str, str]
    execution: Execution | None = None
    memory: dict[str, int] = Field(default_factory=dict)
    shard: str = ""
    overwriting: str = ""
    """Mark of the finished cases that count, while a run with --overwrite is not at its end."""

    @classmethod
    def begin(
        cls, inputs: Sequence[str], card: ModelCard, options: BatchOptions, earlier: RunRecord | None
    ) -> RunRecord:
        """The record of a run that begins, or goes on from an earlier one."""
        now = time.time()
        going_on = earlier if earlier is not None and earlier.matches(card, options) else None
        mark = ""
        if options.overwrite:
            mark = (going_on.overwriting if going_on is not None else "") or secrets.token_hex(8)
        return cls(
            created=now if earlier is None else earlier.created,
            started=now,
            input=list(inputs),
            model=RunModel.of(card),
            options=options,
            options_hash=options.hash(),
            software=software(),
            execution=None if earlier is None else earlier.execution,
            shard=options.shard_name,
            overwriting=mark,
        )

    def matches(self, card: ModelCard, options: BatchOptions) -> bool:
        """Whether model and options would give the same results."""
        return self.model.identity == model_identity(card) and self.options_hash == options.hash()

    def gives_the_same_as(self, other: RunRecord) -> bool:
        """Whether the results of two runs are made in the same way."""
        return (self.model.identity, self.options_hash) == (other.model.identity, other.options_hash)

    def with_memory(self, plan: MemoryPlan) -> RunRecord:
        """With the memory plan."""
        return self.model_copy(update={"memory": plan.to_json()})

    def with_execution(self, device: str, plan: FixedPlan) -> RunRecord:
        """With how windows are computed."""
        return self.model_copy(update={"execution": Execution(device=device, plan=plan)})

    def at_its_end(self) -> RunRecord:
        """Of a run that looked at all of its cases."""
        return self.model_copy(update={"overwriting": ""})


def told_inputs(
    given: Sequence[Path | str], found: Sequence[BatchCase], skipped: Sequence[Skipped], options: BatchOptions
) -> list[str]:
    """What was given, as far as it may be told: names of folders with DICOM files may be those of patients.

    Args:
        given: what was given.
        found, skipped: what was found there, for all parts of a run.
        options: of the run.
    """
    dicom = any(case.is_dicom or any(case.more_series) for case in found) or any(map(_is_pseudonym, skipped))
    return [] if dicom and not options.keep_identifiers else [str(place) for place in given]


def _is_pseudonym(entry: Skipped) -> bool:
    return bool(entry.files) and not any(file.name in entry.place for file in entry.files)


def record_place(layout: Layout, options: BatchOptions) -> Path:
    """Where the record of a run lies: each part of a shared run has its own."""
    return layout.run if not options.shard_name else layout.root / f"batch.{options.shard_name}.json"


def read_record(layout: Layout, card: ModelCard, options: BatchOptions) -> RunRecord | None:
    """The record of an earlier run into this folder; a part goes by the execution of the whole where its own has none.

    Raises:
        InputError: it is broken, or of a newer version.
    """
    places = dict.fromkeys([record_place(layout, options), layout.run])
    found = [RunRecord.read(place) for place in places if place.is_file()]
    same = [record.execution for record in found if record.matches(card, options)]
    execution = next((entry for entry in same if entry is not None), None)
    return found[0].model_copy(update={"execution": execution}) if found else None


def planned_as_before(layout: Layout, options: BatchOptions) -> BatchOptions:
    """The options of a run that goes on: whether the recorded plan, which is used again, is named makes no difference.

    Raises:
        InputError: the record of the earlier run is broken, or of a newer version.
    """
    place = record_place(layout, options)
    before = RunRecord.read(place) if place.is_file() else None
    if options.overwrite or before is None or before.execution is None:
        return options
    if options.plan not in (None, before.execution.plan):
        return options
    return options.model_copy(update={"plan": before.options.plan})


def plan_in(path: Path) -> FixedPlan:
    """How the run that wrote a ``batch.json`` computed.

    Raises:
        InputError: there is no such file, it is broken, or that run had not begun to compute.
    """
    execution = RunRecord.read(path).execution
    if execution is None:
        raise InputError(f"{path} does not say how windows were computed.", "That run computed nothing yet.")
    return execution.plan


def write_record(record: RunRecord, layout: Layout, options: BatchOptions) -> None:
    """Write the record. A part writes that of the whole as well, as long as nobody has said how to compute this.

    Raises:
        InputError: the folder cannot be written.
        ResourceError: its disk is full.
    """
    data = record.model_dump(mode="json")
    _write_json(record_place(layout, options), data)
    whole = RunRecord.read(layout.run) if layout.run.exists() else None
    if whole is None or whole.execution is None or not whole.gives_the_same_as(record):
        _write_json(layout.run, data)


def software() -> dict[str, str]:
    """Versions of what results depend on."""
    found = {"medcontext": medcontext.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _write_json(path: Path, data: dict[str, Any]) -> None:
    _write_text(path, json.dumps(data, indent=1) + "\n")


def _write_text(path: Path, text: str) -> None:
    """Write a file unless it says the same already."""
    if path.is_file() and path.read_bytes() == text.encode():
        return
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())
