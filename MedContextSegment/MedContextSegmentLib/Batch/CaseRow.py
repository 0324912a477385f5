"""What the ledger says of one case, with no more than a table and a review need; whatever stands in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from medcontext.batch_ledger import DONE, Row, result_id

TO_READ = ("case", "state", "outputs", "plan", "device", "seconds")
"""Of a row: what :class:`CaseReading.CaseReader` looks at."""


@dataclass(frozen=True)
class CaseRow:
    """A case of a batch.

    Attributes:
        case: its name.
        state: "running", "unfinished", "done", "failed" or "skipped".
        time: when that was written, in seconds since 1970.
        sequence: grows from run to run of the case.
        shard: the part of the batch that wrote it, or "".
        seconds: how long it took; None where nobody knows.
        volumes: mL of each label.
        certainty: 0..1; None where it was not measured.
        dice: of each label, where there is a reference.
        warnings: sentences.
        error: why it failed or was skipped, or "".
        result: which result it speaks of; a verdict on another one is void.
        row: what reading the case again needs of the row.
    """

    case: str
    state: str
    time: float = 0.0
    sequence: float = 0.0
    shard: str = ""
    seconds: float | None = None
    volumes: Mapping[str, float] | None = None
    certainty: float | None = None
    dice: Mapping[str, float] | None = None
    warnings: tuple[str, ...] = ()
    error: str = ""
    result: str = ""
    row: Row = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether it has a result."""
        return self.state == DONE

    def volume(self, label: str = "") -> float | None:
        """Of a label, or of all together; None where the case has none."""
        if not self.volumes:
            return None
        return self.volumes.get(label) if label else sum(self.volumes.values())

    def replaces(self, other: CaseRow | None) -> bool:
        """Whether this row came after another one of the case: in one file the order says so, else the run."""
        if other is None or self.shard == other.shard:
            return True
        return (self.sequence, self.time) >= (other.sequence, other.time)

    @property
    def ledgerRow(self) -> Row:
        """What :mod:`medcontext.batch_ledger` needs to tell what is unusual."""
        return {
            "case": self.case,
            "state": self.state,
            "volumes_ml": self.volumes or {},
            "certainty": self.certainty,
            "dice": self.dice or {},
        }


def caseRow(row: Row) -> CaseRow:
    """The case of a row of the ledger."""
    seconds = row.get("seconds")
    warnings = row.get("warnings")
    return CaseRow(
        case=str(row["case"]),
        state=str(row.get("state") or ""),
        time=_number(row.get("time")) or 0.0,
        sequence=_number(row.get("sequence")) or 0.0,
        shard=str(row.get("shard") or ""),
        seconds=_number(seconds.get("total")) if isinstance(seconds, Mapping) else None,
        volumes=_numbers(row.get("volumes_ml")),
        certainty=_number(row.get("certainty")),
        dice=_numbers(row.get("dice")),
        warnings=tuple(str(text) for text in warnings) if isinstance(warnings, list) else (),
        error=_errorText(row.get("error")),
        result=result_id(row),
        row={key: row[key] for key in TO_READ if key in row},
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _numbers(values: Any) -> dict[str, float] | None:
    if not isinstance(values, Mapping):
        return None
    found = ((str(name), _number(value)) for name, value in values.items())
    return {name: value for name, value in found if value is not None} or None


def _errorText(error: Any) -> str:
    if not isinstance(error, Mapping):
        return ""
    return " ".join(str(error[key]) for key in ("message", "hint") if error.get(key))
