"""Scores of many cases: what they amount to, as CSV for spreadsheets and JSON for programs."""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args

from medcontext.errors import InputError, ResourceError
from medcontext.metrics.scores import LabelScore, Status

SCHEMA_VERSION = 1
METRICS = ("dice", "hd95_mm", "surface_dice")
DECIMALS = 6

RULES = (
    "A label in neither image is absent and enters no mean; one in the reference only (missed) or in the "
    "prediction only (invented) has Dice 0, surface Dice 0 and no HD95. Voxels that are 255 in the reference "
    "are looked at in neither image. HD95 is the larger of the two directed 95th percentiles."
)


def summarise(rows: Sequence[LabelScore]) -> dict[str, Any]:
    """What the rows amount to, as plain data.

    Returns:
        ``labels``: for each label name its value, the number of cases of each status, and for each metric
        mean, median, standard deviation (n - 1), n (cases that have a value) and the worst case.
        ``mean``: for each metric the mean of the labels' means and how many labels have one. Besides these
        ``cases`` and ``tolerance_mm``. Where there is nothing to take a mean of, the number is None.

    Raises:
        InputError: there are no rows, or they were made with different tolerances.
    """
    tolerances = sorted({row.tolerance_mm for row in rows})
    if len(tolerances) != 1:
        given = f"tolerances {tolerances}" if tolerances else "no scores"
        raise InputError(
            f"A summary needs scores of one tolerance; given: {given}.", "Score the cases again."
        )
    by_label: dict[tuple[int, str], list[LabelScore]] = {}
    for row in rows:
        by_label.setdefault((row.value, row.label), []).append(row)
    labels = {name: _label_summary(value, by_label[value, name]) for value, name in sorted(by_label)}
    return {
        "cases": len({row.case for row in rows}),
        "tolerance_mm": tolerances[0],
        "labels": labels,
        "mean": {metric: _mean_of_labels(labels, metric) for metric in METRICS},
    }


def write_scores(rows: Sequence[LabelScore], folder: Path) -> dict[str, Any]:
    """Write ``scores.csv`` (a row per case and label) and ``scores.json`` (rows, summary, rules).

    Null is an empty cell in CSV.

    Returns:
        The summary, as ``summarise`` gives it.

    Raises:
        InputError: as for ``summarise``.
        ResourceError: the disk is full.
    """
    summary = summarise(rows)
    records = [_rounded(asdict(row)) for row in rows]
    content = {
        "schema_version": SCHEMA_VERSION,
        "rules": RULES,
        "summary": _rounded(summary),
        "scores": records,
    }
    table = io.StringIO()
    writer = csv.DictWriter(table, [field.name for field in fields(LabelScore)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "scores.csv", table.getvalue())
    _write(folder / "scores.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
    return summary


def _label_summary(value: int, rows: list[LabelScore]) -> dict[str, Any]:
    counts = Counter(row.status for row in rows)
    return {
        "value": value,
        "counts": {status: counts[status] for status in get_args(Status)},
        **{metric: _statistics(rows, metric) for metric in METRICS},
    }


def _statistics(rows: list[LabelScore], metric: str) -> dict[str, Any]:
    known = [(getattr(row, metric), row.case) for row in rows if getattr(row, metric) is not None]
    if not known:
        return {"mean": None, "median": None, "std": None, "n": 0, "worst": None}
    values = [value for value, _ in known]
    worst = max(known) if metric == "hd95_mm" else min(known)
    return {
        "mean": statistics.fmean(values),
        "median": statistics.median(values),
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "n": len(values),
        "worst": {"case": worst[1], "value": worst[0]},
    }


def _mean_of_labels(labels: dict[str, Any], metric: str) -> dict[str, Any]:
    means = [entry[metric]["mean"] for entry in labels.values() if entry[metric]["mean"] is not None]
    return {"mean": statistics.fmean(means) if means else None, "labels": len(means)}


def _rounded(data: Any) -> Any:
    """Numbers with six decimals: a millionth of a millimetre is enough and files stay readable."""
    if isinstance(data, dict):
        return {key: _rounded(value) for key, value in data.items()}
    return round(data, DECIMALS) if isinstance(data, float) and math.isfinite(data) else data


def _write(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.part")
    try:
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ResourceError(f"The disk that holds {path} is full.", "Free some space.") from error
        raise
    finally:
        scratch.unlink(missing_ok=True)
