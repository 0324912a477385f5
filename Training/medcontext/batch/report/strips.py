"""Strips of the report: how a number is spread over the cases, and which cases lie far from the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from medcontext.batch_ledger import (
    Layout,
    Outlier,
    Row,
    certainties,
    label_names,
    number_text,
    usual_shares,
    usual_volumes,
    volumes_of,
)

SHOWN = 12
"""Strips that are not folded away."""

WIDTH, HEIGHT = 320, 64
_TOP, _FOOT, _SIDE = 12, 14, 4  # room for marks above the bars, for numbers below and for marks at the ends
_MOST_BINS = 40
_MOST_MARKS = 60

Color = tuple[int, int, int]
Marks = dict[str, tuple[str, str]]
"""Case -> the place of its card on the page, and why it is far from the rest."""


@dataclass(frozen=True)
class Strip:
    """One number of all cases.

    Attributes:
        title: what it is, such as the name of a label.
        unit: behind numbers, such as "mL"; may be empty.
        values: case -> number.
        usual: median and ends of the usual range, or None where there are too few cases.
        marks: the cases that are far from the rest.
        logarithmic: whether the axis is; zeros then have no bar.
        color: sRGB of the label, or None.
    """

    title: str
    unit: str
    values: Mapping[str, float]
    usual: tuple[float, float, float] | None = None
    marks: Marks = field(default_factory=dict)
    logarithmic: bool = False
    color: Color | None = None

    def html(self) -> str:
        """As a figure; without numbers to draw in words only."""
        drawn = [value for value in self.values.values() if value > 0 or not self.logarithmic]
        swatch = f'<i style="background:rgb{self.color}"></i>' if self.color else ""
        words = escape(self._words(len(drawn)))
        caption = f'{swatch}<b>{escape(self.title)}</b> <span class="soft">{words}</span>'
        picture = self._picture(drawn) if drawn else ""
        return f'<figure class="strip"><figcaption>{caption}</figcaption>{picture}</figure>'

    def _words(self, count: int) -> str:
        unit = f" {self.unit}" if self.unit else ""
        parts = []
        if self.usual is not None:
            middle, low, high = map(number_text, self.usual)
            parts.append(f"median {middle}{unit}, usual {low} to {high}")
        if count < len(self.values):
            parts.append(f"found in {count} of {len(self.values)} cases")
        return "; ".join(parts)

    def _picture(self, drawn: Sequence[float]) -> str:
        axis = _Axis(min(drawn), max(drawn), self.logarithmic)
        ends = [("start", 0, axis.low), ("end", WIDTH, axis.high)]
        numbers = "".join(
            f'<text x="{x}" y="{HEIGHT - 2}" text-anchor="{anchor}">{number_text(value)}</text>'
            for anchor, x, value in (ends if axis.high > axis.low else ends[:1])
        )
        name = f"{self.title}: {len(drawn)} cases from {number_text(axis.low)} to {number_text(axis.high)}"
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">'
            f"{self._usual_range(axis)}{_bars(axis, drawn)}{self._marks(axis)}{numbers}</svg>"
        )

    def _usual_range(self, axis: _Axis) -> str:
        if self.usual is None:
            return ""
        start, stop = (min(max(axis.x(end), 0.0), WIDTH) for end in self.usual[1:])
        height = HEIGHT - _TOP - _FOOT
        return (
            f'<rect class="range" x="{start:.1f}" y="{_TOP}" width="{stop - start:.1f}" height="{height}"/>'
        )

    def _marks(self, axis: _Axis) -> str:
        shown = [(case, *mark) for case, mark in self.marks.items()][:_MOST_MARKS]
        return "".join(
            f'<a href="#{place}"><circle class="far" cx="{axis.x(self.values[case]):.1f}" cy="6" r="4">'
            f"<title>{escape(case)}: {escape(why)}</title></circle></a>"
            for case, place, why in shown
        )


@dataclass(frozen=True)
class _Axis:
    """From numbers to pixels."""

    low: float
    high: float
    logarithmic: bool

    def share(self, value: float) -> float:
        """0 at the left end, 1 at the right one."""
        if self.high <= self.low:
            return 0.5
        if not self.logarithmic:
            return (value - self.low) / (self.high - self.low)
        return math.log(value / self.low) / math.log(self.high / self.low) if value > 0 else 0.0

    def x(self, value: float) -> float:
        return _SIDE + self.share(value) * (WIDTH - 2 * _SIDE)


def _bars(axis: _Axis, values: Sequence[float]) -> str:
    """A histogram as one path; a bar that is not empty is at least a pixel high."""
    count = min(_MOST_BINS, max(8, math.ceil(1.5 * math.sqrt(len(values)))))
    bins = [0] * count
    for value in values:
        bins[min(count - 1, int(axis.share(value) * count))] += 1
    wide, high, foot = (WIDTH - 2 * _SIDE) / count, HEIGHT - _TOP - _FOOT, HEIGHT - _FOOT
    path = ""
    for index, filled in enumerate(bins):
        if filled:
            up = max(1.0, high * filled / max(bins))
            path += f"M{_SIDE + index * wide:.1f} {foot}v{-up:.1f}h{wide - 0.6:.1f}v{up:.1f}z"
    return f'<path class="bars" d="{path}"/>'


def spread(
    layout: Layout,
    done: Mapping[str, Row],
    outliers: Mapping[str, Sequence[Outlier]],
    places: Mapping[str, str],
    colors: Mapping[str, Color],
) -> str:
    """A strip for the certainty, the Dice and the volume of each label; labels with marks first where there are many.

    Args:
        layout: of the output folder.
        done: the finished cases.
        outliers: of :func:`find_outliers`.
        places: case -> the place of its card on the page.
        colors: of the labels.
    """
    strips = []
    if sure := certainties(done):
        marks = _marks(outliers, places, "certainty")
        strips.append(Strip("Certainty", "", sure, usual_shares(sure.values()), marks))
    for label, values in volumes_of(done, "dice").items():
        marks = _marks(outliers, places, "dice", label)
        strips.append(Strip(f"Dice of {label}", "", values, usual_shares(values.values()), marks))
    volumes = volumes_of(done)
    for label in label_names(layout, done):
        if values := volumes.get(label, {}):
            usual, marks = usual_volumes(values.values()), _marks(outliers, places, "volume", label)
            strips.append(Strip(label, "mL", values, usual, marks, True, colors.get(label)))
    if len(strips) > SHOWN:
        strips.sort(key=lambda strip: not strip.marks)
    return _section([strip.html() for strip in strips])


def _marks(
    outliers: Mapping[str, Sequence[Outlier]], places: Mapping[str, str], kind: str, label: str = ""
) -> Marks:
    return {
        case: (places[case], outlier.text)
        for case, found in outliers.items()
        for outlier in found
        if (outlier.kind, outlier.label) == (kind, label)
    }


def _section(strips: Sequence[str]) -> str:
    if not strips:
        return ""
    text = (
        "<h2>How the cases spread</h2>"
        '<p class="soft">Shaded: where 19 of 20 cases are expected. '
        "A mark is a case far from the rest; it leads there.</p>"
        f'<div class="strips">{"".join(strips[:SHOWN])}</div>'
    )
    if len(strips) > SHOWN:
        more = f'<summary>{len(strips) - SHOWN} more</summary><div class="strips">{"".join(strips[SHOWN:])}</div>'
        text += f"<details>{more}</details>"
    return text
