"""The record of a run: log.jsonl, one line a step, and curve.png."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from medcontext.engine.curve import draw_curve
from medcontext.engine.keeping import Troubles
from medcontext.errors import TrainingDivergedError
from medcontext.events import Reporter, plain
from medcontext.io.atomic import replacing

FLUSH_EVERY = 10
"""Steps between reading loss values back from the device: reading is what makes a GPU wait."""
FLUSH_SECONDS = 1.0
"""Seconds after which they are read back all the same: who watches a curve wants to see it move."""
EACH_STEP = 50_000
"""So many steps are all logged; later ones ever more rarely, so that a run of days does not fill the memory."""
RETRY_SECONDS = 10.0
"""Seconds between attempts to write to a disk that refused."""


class TrainingLog:
    """Collects loss terms without waiting for the device, checks and writes them every few steps.

    Args:
        folder: where log.jsonl goes; lines of steps beyond ``step`` (a resumed run) are dropped. None where nothing
            is written: in a run that keeps no records, and in all processes but the main one.
        reporter: receives metric events.
        step: first step that will be logged.
        troubles: hears of a full disk; lines that could not be written are written later.
    """

    def __init__(
        self,
        folder: Path | None,
        reporter: Reporter,
        step: int,
        troubles: Troubles | None = None,
    ) -> None:
        self._path = None if folder is None else folder / "log.jsonl"
        self._reporter = reporter
        self._troubles = troubles or Troubles(reporter)
        self._pending: list[tuple[int, dict[str, Tensor], dict[str, Any]]] = []
        self._flushed_at = time.monotonic()
        self._retry_at: float | None = None  # when to write the whole file anew after lines were lost
        self.records: list[dict[str, Any]] = []
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self.records = [r for r in _read(self._path) if r["step"] < step + ("loss" not in r)]
            self._rewrite(self._path)

    def step(self, step: int, terms: Mapping[str, Tensor], **facts: Any) -> None:
        """Note the loss terms of a step."""
        self._pending.append((step, {name: value.detach() for name, value in terms.items()}, facts))
        if len(self._pending) >= FLUSH_EVERY or time.monotonic() - self._flushed_at >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Read pending values back.

        Raises:
            TrainingDivergedError: a term is not finite; it and its step are named.
        """
        self._flushed_at = time.monotonic()
        pending, self._pending = self._pending, []
        records: list[dict[str, Any]] = []
        try:
            for step, terms, facts in pending:
                record = {"step": step, "loss": _finite(step, terms), **facts}
                if step % (1 + step // EACH_STEP) == 0:
                    records.append(record)
        finally:
            self._record(records)

    def finish(self, curve: Path | None) -> None:
        """Write what is left and draw the curve.

        Raises:
            TrainingDivergedError: see :meth:`flush`.
        """
        self.flush()
        if self._path is None or curve is None:
            return
        if self._retry_at is not None:
            self._rewrite(self._path)
        with self._troubles.borne("curve"):
            draw_curve(self.records, curve)

    def validation(self, step: int, dice: Mapping[str, float], *, held_out: bool = False) -> None:
        """Note Dice per label: of cases held out for ever, or of those that choose the weights."""
        self.flush()
        self._record([{"step": step, "dice": dict(dice), "held_out": held_out}])

    def signals(self, step: int, values: Mapping[str, float]) -> None:
        """Note what tells, beside the loss, whether something is learnt after ``step`` steps."""
        self.flush()
        self._record([{"step": step, "signals": plain(dict(values))}])

    def _record(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            self._reporter.emit("metric", **record)
        if self._path is None or not records:
            return
        self.records += records
        if self._retry_at is None:
            with self._troubles.borne("log"), self._path.open("a", encoding="utf-8") as stream:
                stream.write(_lines(records))
            self._see_whether_it_worked()
        elif time.monotonic() >= self._retry_at:
            self._rewrite(self._path)

    def _rewrite(self, path: Path) -> None:
        with self._troubles.borne("log"), replacing(path) as scratch:
            scratch.write_text(_lines(self.records), encoding="utf-8")
        self._see_whether_it_worked()

    def _see_whether_it_worked(self) -> None:
        self._retry_at = time.monotonic() + RETRY_SECONDS if self._troubles.failing("log") else None


def _finite(step: int, terms: Mapping[str, Tensor]) -> dict[str, float]:
    values = {name: float(value) for name, value in terms.items()}
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainingDivergedError(
                f"Loss term '{name}' became {value} at step {step}.",
                "Lower the learning rate (--set engine.optimiser.learning_rate=1e-3) or use --precision fp32.",
            )
    return values


def _lines(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:  # the last line of a killed run may be cut
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
    return records
