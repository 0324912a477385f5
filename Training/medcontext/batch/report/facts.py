"""What the head of the report says of the run as a whole."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from html import escape
from typing import Any

from medcontext.batch.report.cases import number, part
from medcontext.batch.voice import size_in_words
from medcontext.batch_ledger import DONE, FAILED, RUNNING, SKIPPED, Row
from medcontext.batch_ledger.rows import UNFINISHED

_UNSAID = {"model", "cluster"}
"""Options that may be paths: folders are named after patients more often than one thinks."""


def title(run: Mapping[str, Any]) -> str:
    """The model by name."""
    model = part(run, "model")
    name = " ".join(str(model[key]) for key in ("id", "version") if model.get(key))
    return f"Batch report: {name}" if name else "Batch report"


def subtitle(rows: Mapping[str, Row]) -> str:
    """When, and how long it took."""
    moments = [moment for row in rows.values() if (moment := number(row, "time")) is not None]
    if not moments:
        return "Nothing has been written to the ledger yet."
    words = [f"Last change {time.strftime('%Y-%m-%d %H:%M', time.localtime(max(moments)))}"]
    done = [row for row in rows.values() if row.get("state") == DONE]
    seconds = [total for row in done if (total := number(part(row, "seconds"), "total")) is not None]
    if seconds:
        words.append(f"a case took {statistics.median(seconds):.3g} s (median)")
        words.append(f"all finished ones together {duration(sum(seconds))}")
    return "; ".join(words) + ". ledger.csv holds all numbers."


def counts(rows: Mapping[str, Row], far: int, reviewed: int) -> str:
    """How many cases there are of each kind, as the elements of a list."""
    states = [row.get("state") for row in rows.values()]
    entries = [
        (states.count(DONE), "finished", ""),
        (states.count(FAILED), "failed", "alarm"),
        (far, "far from the rest", "alarm"),
        (states.count(RUNNING) + states.count(UNFINISHED), "begun, not finished", ""),
        (states.count(SKIPPED), "left out", ""),
        (reviewed, "reviewed", ""),
    ]
    return "".join(
        f'<li class="{style if count else ""}"><b>{count}</b> {text}</li>'
        for count, text, style in entries
        if count or text in ("finished", "failed")
    )


def about(rows: Mapping[str, Row], run: Mapping[str, Any]) -> str:
    """Where the time went, model, options, plan, memory and software. The input is not named: it may be a person's."""
    model = part(run, "model")
    options = {key: value for key, value in part(run, "options").items() if key not in _UNSAID}
    sections: dict[str, Mapping[str, Any]] = {
        "Time by stage": _stages(rows),
        "Model": {key: model[key] for key in ("id", "version", "sha256") if key in model},
        "Options": options,
        **{name.capitalize(): part(run, name) for name in ("execution", "memory", "software")},
    }
    lines = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(_sentence(facts))}</td></tr>"
        for name, facts in sections.items()
        if facts
    )
    return f"<details><summary>About this run</summary><table>{lines}</table></details>" if lines else ""


def duration(seconds: float) -> str:
    """Seconds as people say them: 12 s, 3 min 20 s, 5 h 12 min."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _stages(rows: Mapping[str, Row]) -> dict[str, str]:
    totals: dict[str, float] = {}
    for row in rows.values():
        seconds = part(row, "seconds") if row.get("state") == DONE else {}
        for stage in seconds:
            totals[stage] = totals.get(stage, 0.0) + (number(seconds, stage) or 0.0)
    totals.pop("total", None)
    whole = sum(totals.values()) or 1.0
    return {stage: f"{duration(took)} ({took / whole:.0%})" for stage, took in totals.items() if took}


def _sentence(facts: Mapping[str, Any]) -> str:
    """An object on one line; what is not set is left out."""
    parts = []
    for key, value in facts.items():
        if isinstance(value, dict):
            value = f"({_sentence(value)})"
        elif isinstance(value, list):
            value = " ".join(map(str, value))
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        elif key.endswith("_bytes") and isinstance(value, int | float):
            key, value = key.removesuffix("_bytes"), size_in_words(value)
        if value not in (None, "", "()"):
            parts.append(f"{key.replace('_', ' ')} {value}")
    return ", ".join(parts)
