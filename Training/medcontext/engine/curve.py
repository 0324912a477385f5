"""The curve of a run as a picture: loss terms over the steps, and what else tells whether something is learnt."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcontext.io.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Records = list[dict[str, Any]]

REFERENCES = {
    "position_accuracy": "chance",
    "prediction_loss": "best_constant",
    "reconstruction_error": "mean_error",
}
"""Signals, and those that say what they are without anything learnt: drawn dashed beside them."""
IN_A_ROW = 3
"""Signals drawn side by side."""


def draw_curve(records: Records, path: Path) -> None:
    """Draw a run as a PNG: loss terms (smoothed) with Dice, and each signal below with what it is compared to.

    Args:
        records: lines of log.jsonl.
        path: of the picture.

    Raises:
        InputError, ResourceError: it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = {name for record in records for name in record.get("signals", {})}
    shown = sorted(found - {REFERENCES[name] for name in found if name in REFERENCES})
    rows = -(-len(shown) // IN_A_ROW)
    figure = Figure(figsize=(7, 4 + 2.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(1 + rows, IN_A_ROW, height_ratios=[4, *[2.2] * rows])
    axes = figure.add_subplot(grid[0, :])
    _draw_losses(records, axes)
    _draw_scores(records, axes)
    for number, name in enumerate(shown):
        row, column = divmod(number, IN_A_ROW)
        last = number == len(shown) - 1
        place = grid[1 + row, column:] if last and column == 0 else grid[1 + row, column]
        _draw_signal(records, name, figure.add_subplot(place))
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    with replacing(path) as scratch:
        scratch.write_bytes(stream.getvalue())


def _draw_losses(records: Records, axes: Axes) -> None:
    losses = [r for r in records if "loss" in r]
    for name in sorted({name for r in losses for name in r["loss"]}):
        steps = [r["step"] for r in losses if name in r["loss"]]
        values = [r["loss"][name] for r in losses if name in r["loss"]]
        axes.plot(steps, _smoothed(values), label=name, linewidth=1.2)
    axes.set(xlabel="step", ylabel="loss term", ylim=(0, None))
    if losses:
        axes.legend(loc="upper right", fontsize=8)


def _draw_scores(records: Records, axes: Axes) -> None:
    scores = [r for r in records if "dice" in r]
    if not scores:
        return
    right = axes.twinx()
    for held_out, style, kind in ((True, "o-", "held out"), (False, "o--", "validation")):
        of_kind = [r for r in scores if bool(r.get("held_out")) == held_out]
        for name in sorted({name for r in of_kind for name in r["dice"]}):
            steps, values = _points(of_kind, "dice", name)
            right.plot(steps, values, style, markersize=3, label=f"{name} ({kind})")
    right.set(ylabel="Dice", ylim=(0, 1))
    right.legend(loc="lower right", fontsize=8)


def _draw_signal(records: Records, name: str, axes: Axes) -> None:
    looks = [r for r in records if "signals" in r]
    steps, values = _points(looks, "signals", name)
    axes.plot(steps, values, "o-", markersize=3, linewidth=1.2)
    highest, title = max(values, default=0.0), f"{_words(name)}\n"
    if name in REFERENCES:
        steps, values = _points(looks, "signals", REFERENCES[name])
        axes.plot(steps, values, "--", linewidth=1.2, color="0.4")
        highest, title = max([highest, *values]), f"{title}(dashed: {_words(REFERENCES[name])})"
    axes.set(xlabel="step", ylim=(0, 1.1 * highest if highest > 0 else None))
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=8)


def _points(records: Records, kind: str, name: str) -> tuple[list[int], list[float]]:
    """Steps and values of those records that have one."""
    found = [(r["step"], r[kind][name]) for r in records if r[kind].get(name) is not None]
    return [step for step, _ in found], [value for _, value in found]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _smoothed(values: list[float]) -> list[float]:
    """Exponential average over about a fiftieth of the run."""
    momentum, average, result = 1 - 1 / max(1.0, len(values) / 50), values[0] if values else 0.0, []
    for value in values:
        average = momentum * average + (1 - momentum) * value
        result.append(average)
    return result
