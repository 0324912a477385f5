"""The ledger as a table for spreadsheets and statistics: one row for each case."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medcontext.batch_ledger.layout import Layout
from medcontext.batch_ledger.outliers import find_outliers
from medcontext.batch_ledger.reading import read_rows
from medcontext.batch_ledger.reviews import VOID, Review, read_reviews, standing_reviews
from medcontext.batch_ledger.rows import Row
from medcontext.batch_ledger.writing import explained
from medcontext.errors import InputError
from medcontext.jobs.files import read_json, write_bytes

STAGES = ("read", "preprocess", "plan", "segment", "label", "export")
"""The stages that always have a column; further ones follow by name."""

_QUANTITIES = (("volumes_ml", "mL"), ("voxels", "voxels"), ("dice", "Dice"))
_FORMULA = re.compile(r"[=+\-@\t\r\uff0b\uff0d\uff1d\uff20]")  # and their wide forms


def write_csv(out: Path) -> Path:
    """Write ``ledger.csv`` from all ledgers and reviews of an output folder, whole or not at all.

    UTF-8 with a byte order mark, by which Excel knows the encoding and which pandas passes over; commas, points as
    decimal separators. Text that a spreadsheet would take for a formula gets an apostrophe in front.

    Returns:
        The file.

    Raises:
        InputError: a ledger cannot be read or the table cannot be written (a spreadsheet may have it open).
        ResourceError: the disk is full.
    """
    layout = Layout(out)
    rows = read_rows(out)
    stand, void = standing_reviews(rows, read_reviews(out))
    reasons = find_outliers(rows)
    table = _Table(rows, label_names(layout, rows))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(map(_safe, table.columns()))
    for case in sorted(rows, key=lambda name: (name.casefold(), name)):
        words = "; ".join(outlier.text for outlier in reasons.get(case, ()))
        said = _said(stand.get(case), void.get(case))
        writer.writerow(map(_safe, table.cells(rows[case], said, words)))
    try:
        write_bytes(layout.table, text.getvalue().encode("utf-8-sig"))
    except OSError as error:
        raise explained(error, layout.table) from error
    return layout.table


def label_names(layout: Layout, rows: Mapping[str, Row]) -> list[str]:
    """The labels in the model's order, then those that only rows know, in theirs."""
    try:
        model = (read_json(layout.run) or {}).get("model", {})
        names = [str(label["name"]) for label in model.get("labels", [])]
    except (
        InputError,
        AttributeError,
        KeyError,
        TypeError,
    ):  # the rows tell as well, in an order of their own
        names = []
    known = dict.fromkeys(names)
    for row in rows.values():
        volumes = row.get("volumes_ml")
        known.update(dict.fromkeys(volumes if isinstance(volumes, dict) else ()))
    return list(known)


def _said(review: Review | None, void: Review | None) -> tuple[str, str, str]:
    """Verdict, corrected file and note.

    Whoever filters the table must not take a verdict on a result that is there no more for one on this.
    """
    if review is not None:
        return review.verdict, review.corrected if review.verdict == "correct" else "", review.note
    if void is not None:
        return VOID, "", f"{void.verdict}, of an earlier result. {void.note}".rstrip()
    return "", "", ""


class _Table:
    """Columns and cells of the rows of a run."""

    def __init__(self, rows: Mapping[str, Row], labels: list[str]) -> None:
        self._labels = labels
        used = {stage for row in rows.values() for stage in _object(row, "seconds")}
        self._stages = (*STAGES, *sorted(used - {*STAGES, "total"}), "total")
        scored = any(_object(row, "dice") for row in rows.values())
        self._quantities = _QUANTITIES if scored else _QUANTITIES[:2]

    def columns(self) -> list[str]:
        return [
            *("case", "state", "verdict", "corrected", "note", "outlier", "certainty"),
            *(f"{label} {unit}" for _, unit in self._quantities for label in self._labels),
            *("warnings", "error_kind", "error", "hint", "attempt", "time", "device", "worker"),
            *(f"seconds_{stage}" for stage in self._stages),
            *("inputs", "input_sha256", "outputs", "model_sha256", "options_hash", "shard", "text"),
        ]

    def cells(self, row: Row, said: tuple[str, str, str], reasons: str) -> list[Any]:
        error, seconds = _object(row, "error"), _object(row, "seconds")
        return [
            *(row["case"], row.get("state", "")),
            *said,
            *(reasons, row.get("certainty")),
            *(_object(row, key).get(label) for key, _ in self._quantities for label in self._labels),
            "; ".join(map(str, _list(row, "warnings"))),
            *(error.get("kind"), error.get("message"), error.get("hint")),
            *(row.get("attempt"), _moment(row.get("time")), row.get("device"), row.get("worker")),
            *(seconds.get(stage) for stage in self._stages),
            "; ".join(
                str(entry.get("name", "")) for entry in _list(row, "inputs") if isinstance(entry, dict)
            ),
            row.get("input_sha256"),
            "; ".join(_output_paths(row)),
            *(row.get(key) for key in ("model_sha256", "options_hash", "shard", "text")),
        ]


def _output_paths(row: Row) -> list[str]:
    listed = [entry for entries in _object(row, "outputs").values() for entry in entries]
    return [str(entry.get("path", "")) for entry in listed if isinstance(entry, dict)]


def _object(row: Row, key: str) -> dict[str, Any]:
    value = row.get(key)
    return value if isinstance(value, dict) else {}


def _list(row: Row, key: str) -> list[Any]:
    value = row.get(key)
    return value if isinstance(value, list) else []


def _moment(value: Any) -> str:
    """Unix time as ISO 8601 in UTC, which spreadsheets and pandas read."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(value)) if isinstance(value, int | float) else ""


def _safe(value: Any) -> Any:
    """A cell: numbers as they are, text on one line and never a formula."""
    if not isinstance(value, str):
        return value
    text = " ".join(value.splitlines())
    return f"'{text}" if _FORMULA.match(text) else text
