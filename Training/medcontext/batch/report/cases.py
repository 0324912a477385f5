"""The cases of the report: a card for each finished one, tables of those that failed or were left out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from medcontext.batch_ledger import Outlier, Review, Row, number_text

_MOST_REASONS = 5
_MOST_VOLUMES = 8
_MOST_EXAMPLES = 5
_VERDICTS = {"accept": "accepted", "correct": "corrected", "reject": "rejected"}


@dataclass(frozen=True)
class Card:
    """A finished case.

    Attributes:
        case: its name.
        row: its row.
        place: id of its element on the page.
        outliers: what is unusual about it, the farthest first.
        review: what a person said of this result, or None.
        void: what a person said of an earlier result of the case, or None.
        thumbnail: whether its picture is there.
    """

    case: str
    row: Row
    place: str
    outliers: Sequence[Outlier]
    review: Review | None
    void: Review | None
    thumbnail: bool

    def html(self) -> str:
        """As an element that can be sorted and filtered by its data."""
        name = escape(self.case)
        lines = [
            self._picture(),
            f"<h3>{name}{self._verdict()}</h3>",
            *(f'<p class="alarm">{escape(reason)}</p>' for reason in self._reasons()),
            f"<p>{escape(self._numbers())}</p>",
            *(f'<p class="soft">{escape(warning)}</p>' for warning in self._warnings()),
        ]
        style = ' class="far"' if self.outliers else ""
        return f'<article{style} id="{self.place}" {self._data()}>{"".join(lines)}</article>'

    def _picture(self) -> str:
        if not self.thumbnail:
            return '<div class="none">no picture</div>'
        source = quote(f"report/{self.case}.png")
        words = f"Three planes of {escape(self.case)}"
        return f'<img loading="lazy" src="{source}" width="340" height="112" alt="{words}">'

    def _verdict(self) -> str:
        review = self.review or self.void
        if review is None:
            return ""
        note = f' title="{escape(review.note)}"' if review.note else ""
        said = _VERDICTS[review.verdict]
        if self.review is None:
            return f' <span class="verdict void"{note}>{said}: an earlier result</span>'
        return f' <span class="verdict {review.verdict}"{note}>{said}</span>'

    def _reasons(self) -> list[str]:
        reasons = [outlier.text for outlier in self.outliers[:_MOST_REASONS]]
        more = len(self.outliers) - len(reasons)
        return [*reasons, f"and {more} more"] if more > 0 else reasons

    def _numbers(self) -> str:
        parts = []
        certainty = number(self.row, "certainty")
        if certainty is not None:
            parts.append(f"certainty {certainty:.2f}")
        parts += [f"Dice of {label} {value:.2f}" for label, value in self._some("dice")]
        parts += [
            f"{label} {number_text(value)}\N{NO-BREAK SPACE}mL" for label, value in self._some("volumes_ml")
        ]
        return " · ".join(parts)

    def _some(self, key: str) -> list[tuple[str, float]]:
        """Unusual labels first, then the largest numbers, where there are too many for a card."""
        values = [(str(k), float(v)) for k, v in part(self.row, key).items() if isinstance(v, int | float)]
        if len(values) > _MOST_VOLUMES:
            far = {outlier.label for outlier in self.outliers}
            values.sort(key=lambda entry: (entry[0] not in far, -entry[1]))
        return values[:_MOST_VOLUMES]

    def _warnings(self) -> list[str]:
        warnings = self.row.get("warnings")
        return [str(warning) for warning in warnings] if isinstance(warnings, list) else []

    def _data(self) -> str:
        kinds = ["far"] if self.outliers else []
        kinds += ["warned"] if self._warnings() else []
        kinds.append(self.review.verdict if self.review else "open")
        numbers = {
            "certainty": number(self.row, "certainty"),
            "seconds": number(part(self.row, "seconds"), "total"),
        }
        data = {"name": escape(self.case), "kinds": " ".join(kinds)}
        data |= {key: f"{value:.4g}" for key, value in numbers.items() if value is not None}
        return " ".join(f'data-{key}="{value}"' for key, value in data.items())


def failed_cases(rows: Mapping[str, Row]) -> str:
    """Why cases failed, the most common reason first; cases with the same one share a line."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for case, row in rows.items():
        error = part(row, "error")
        # Sentences name the file they speak of: without it the same trouble has the same sentence.
        message = re.sub(rf"(?<!\w){re.escape(case)}(?!\w)", "…", str(error.get("message") or ""))
        message = message or "No reason was recorded."
        reasons.setdefault((message, str(error.get("hint") or "")), []).append(case)
    if not reasons:
        return ""
    lines = "".join(
        f'<tr><td>{len(cases)}</td><td>{escape(message)} <span class="soft">{escape(hint)}</span></td>'
        f"<td>{_names(cases)}</td></tr>"
        for (message, hint), cases in sorted(reasons.items(), key=lambda entry: -len(entry[1]))
    )
    title = f"{len(rows)} {'case' if len(rows) == 1 else 'cases'} failed"
    head = "<tr><th>cases</th><th>why</th><th>which</th></tr>"
    return f'<details class="failed" open><summary>{title}</summary><table>{head}{lines}</table></details>'


def skipped_places(rows: Mapping[str, Row]) -> str:
    """What was found but is no case, and why."""
    if not rows:
        return ""
    lines = "".join(
        f"<tr><td>{escape(place)}</td><td>{escape(str(part(row, 'error').get('message') or ''))}</td></tr>"
        for place, row in rows.items()
    )
    return f"<details><summary>{len(rows)} left out</summary><table>{lines}</table></details>"


def _names(cases: Sequence[str]) -> str:
    shown, folded = cases[:_MOST_EXAMPLES], cases[_MOST_EXAMPLES:]
    text = escape(", ".join(shown))
    if folded:
        text += f"<details><summary>{len(folded)} more</summary>{escape(', '.join(folded))}</details>"
    return text


def part(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The object under a key; an empty one where there is none."""
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def number(data: Mapping[str, Any], key: str) -> float | None:
    """The number under a key, or None."""
    value = data.get(key)
    return float(value) if isinstance(value, int | float) else None
