"""The record of a run: log.jsonl, one line a step, and curve.png."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from medcontext.errors import TrainingDivergedError
from medcontext.events import Reporter

FLUSH_EVERY = 10
"""Steps between reading loss values back from the device: reading is what makes a GPU wait."""


class TrainingLog:
    """Collects loss terms without waiting for the device, checks and writes them every few steps.

    Args:
        folder: where log.jsonl goes; lines of steps beyond ``step`` (a resumed run) are dropped.
        reporter: receives metric events.
        step: first step that will be logged.
        write: whether this process writes (the main one does).
    """

    def __init__(self, folder: Path, reporter: Reporter, step: int, write: bool = True) -> None:
        self.path = folder / "log.jsonl"
        self._reporter = reporter
        self._write = write
        self._pending: list[tuple[int, dict[str, Tensor], dict[str, Any]]] = []
        self.records: list[dict[str, Any]] = []
        if write:
            folder.mkdir(parents=True, exist_ok=True)
            self.records = [r for r in _read(self.path) if r["step"] < step + ("dice" in r)]
            self.path.write_text("".join(json.dumps(r) + "\n" for r in self.records), encoding="utf-8")

    def step(self, step: int, terms: Mapping[str, Tensor], **facts: Any) -> None:
        """Note the loss terms of a step."""
        self._pending.append((step, {name: value.detach() for name, value in terms.items()}, facts))
        if len(self._pending) >= FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        """Read pending values back.

        Raises:
            TrainingDivergedError: a term is not finite; it and its step are named.
        """
        pending, self._pending = self._pending, []
        for step, terms, facts in pending:
            values = {name: float(value) for name, value in terms.items()}
            for name, value in values.items():
                if not math.isfinite(value):
                    raise TrainingDivergedError(
                        f"Loss term '{name}' became {value} at step {step}.",
                        "Lower the learning rate (--set engine.optimiser.learning_rate=1e-3) or use --precision fp32.",
                    )
            self._record({"step": step, "loss": values, **facts})

    def validation(self, step: int, dice: Mapping[str, float]) -> None:
        """Note held-out Dice per label."""
        self.flush()
        self._record({"step": step, "dice": dict(dice)})

    def _record(self, record: dict[str, Any]) -> None:
        self._reporter.emit("metric", **record)
        if self._write:
            self.records.append(record)
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:  # the last line of a killed run may be cut
            continue
    return records


def draw_curve(records: list[dict[str, Any]], path: Path) -> None:
    """Draw loss terms (smoothed) and held-out Dice over the steps as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    losses = [r for r in records if "loss" in r]
    for name in sorted({name for r in losses for name in r["loss"]}):
        steps = [r["step"] for r in losses if name in r["loss"]]
        values = [r["loss"][name] for r in losses if name in r["loss"]]
        axes.plot(steps, _smoothed(values), label=name, linewidth=1.2)
    axes.set(xlabel="step", ylabel="loss term", ylim=(0, None))
    scores = [r for r in records if "dice" in r]
    if scores:
        right = axes.twinx()
        for name in scores[0]["dice"]:
            right.plot(
                [r["step"] for r in scores],
                [r["dice"][name] for r in scores],
                "o--",
                markersize=3,
                label=name,
            )
        right.set(ylabel="held-out Dice", ylim=(0, 1))
        right.legend(loc="lower right", fontsize=8)
    if losses:
        axes.legend(loc="upper right", fontsize=8)
    figure.savefig(path, dpi=110)


def _smoothed(values: list[float]) -> list[float]:
    """Exponential average over about a fiftieth of the run."""
    momentum, average, result = 1 - 1 / max(1.0, len(values) / 50), values[0] if values else 0.0, []
    for value in values:
        average = momentum * average + (1 - momentum) * value
        result.append(average)
    return result
