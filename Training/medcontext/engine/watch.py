"""Looks at a few cases while a run goes on: their Dice for the curve and a picture of one. It decides nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from medcontext.data.preprocess import PreparedCase, class_locations
from medcontext.engine.keeping import Troubles
from medcontext.engine.log import TrainingLog
from medcontext.engine.preview import Preview, best_slice
from medcontext.engine.run import MONITORED, Run
from medcontext.engine.validation import OVERLAP, validate
from medcontext.errors import CancelledError
from medcontext.events import Reporter
from medcontext.inference.windows import WindowGrid
from medcontext.io.atomic import replacing

PICTURE = "preview.png"
VALIDATION_SHARE = 0.08
"""Share of a time budget kept for segmenting held-out cases."""
PICTURE_SHARE = 0.02
"""Share of the time that the picture of a case may take where none is held out."""
FIRST_SECONDS, MOST_SECONDS = 10.0, 60.0
"""Seconds until the first look and, where the share allows it, between two."""
LOOKS = 8
"""Looks at a run that is shorter than a few minutes."""
UNKNOWN_SECONDS = 300.0
"""What a run whose end nobody knows is taken to last at least."""


class Watch:
    """Segments a few cases now and then, within a small share of the time.

    Args:
        run: its monitored cases are scored; the picture shows the first of them, else of the validation cases, else
            of the labelled ones.
        reporter: hears of the picture; asked between windows whether to stop.
        troubles: hears of a full disk.
    """

    def __init__(self, run: Run, reporter: Reporter, troubles: Troubles) -> None:
        self._run = run
        self._reporter = reporter
        self._troubles = troubles
        self._monitor = list(run.monitor[:MONITORED])
        self._shown = [*self._monitor, *run.validation, *run.labelled][0]
        self._share = PICTURE_SHARE
        if self._monitor:
            self._share = VALIDATION_SHARE / 2 if run.validation else VALIDATION_SHARE
        self._preview: Preview | None = None
        self._cases: list[PreparedCase] = []
        self._first = 0  # index of the first slice of the case that is shown, in the whole of it
        self._cost = 0.0
        self._looked_at: float | None = None
        self.seconds = 0.0  # spent on looking

    def due(self, seconds: float, share_done: float | None) -> bool:
        """Whether to look again.

        Args:
            seconds: spent on the run until now.
            share_done: of the run, 0..1; None where nobody knows the end.
        """
        if self._looked_at is None:
            return seconds >= FIRST_SECONDS or (share_done is not None and share_done >= 1 / LOOKS)
        apart = min(MOST_SECONDS, self._expected(seconds, share_done) / LOOKS)
        return seconds - self._looked_at >= max(apart, self._cost / self._share)

    def look(
        self, network: nn.Module, step: int, log: TrainingLog, seconds: float, share_done: float | None
    ) -> None:
        """Score the monitored cases, note it, draw the picture. A request to stop ends it early."""
        began = time.monotonic()
        try:
            if self._preview is None:
                self._prepare(network, self._expected(seconds, share_done) * self._share / LOOKS)
            planes: list[np.ndarray] = []
            run = self._run
            dice = validate(network, self._cases, run.plan, run.precision, self._keep(planes), self._reporter)
        except CancelledError:  # the loop asks before the next step
            return
        finally:
            self._cost = time.monotonic() - began
            self.seconds += self._cost
            self._looked_at = seconds + self._cost
        if self._monitor:
            log.validation(step, dice, held_out=True)
        self._draw(planes[0], step)

    def _expected(self, seconds: float, share_done: float | None) -> float:
        """How long the run lasts as far as one can tell."""
        return seconds / share_done if share_done else max(UNKNOWN_SECONDS, seconds)

    def _keep(self, planes: list[np.ndarray]) -> Callable[[np.ndarray], None]:
        """Takes the predictions of all cases and keeps the slice of the first."""

        def take(predicted: np.ndarray) -> None:
            preview = self._preview
            if preview is not None and not planes:
                planes.append(np.take(predicted, preview.index - self._first, preview.axis).copy())

        return take

    def _prepare(self, network: nn.Module, allowed: float) -> None:
        """Choose what is segmented at each look: whole cases, or only what lies around the slice that is shown.

        Args:
            network: is timed on the slices around the one that is shown.
            allowed: seconds that one look may take.
        """
        run = self._run
        preview = Preview(self._shown, run.plan)
        around, self._first = _around(self._shown, run, preview.axis, preview.index)
        began = time.monotonic()
        validate(network, [around], run.plan, run.precision, None, self._reporter)
        window = (time.monotonic() - began) / _windows([around], run)
        self._cases, self._preview = [around], preview
        if not self._monitor:
            return
        slices = [around, *(_around(case, run, *best_slice(case, run.plan))[0] for case in self._monitor[1:])]
        if window * _windows(self._monitor, run) <= allowed:
            self._cases, self._first = self._monitor, 0
        elif window * _windows(slices, run) <= allowed:
            self._cases = slices
        self._tell_what_is_scored()

    def _tell_what_is_scored(self) -> None:
        fewer = len(self._monitor) - len(self._cases)
        cut = any(
            case.image.shape != whole.image.shape
            for case, whole in zip(self._cases, self._monitor, strict=False)
        )
        if fewer or cut:
            self._reporter.info(
                "So that the training keeps its time, the curve shows Dice of "
                + ("the slices around the picture" if cut else "all slices")
                + f" of {len(self._cases)} of the {len(self._monitor)} held-out case(s)."
            )

    def _draw(self, plane: np.ndarray, step: int) -> None:
        if self._preview is None:
            return
        path = self._run.folder.absolute() / PICTURE
        with self._troubles.borne("preview"):
            with replacing(path) as scratch:
                scratch.write_bytes(self._preview.draw(plane))
            self._reporter.emit(
                "picture", path=str(path), case=self._shown.id, held_out=bool(self._monitor), step=step
            )


def _around(case: PreparedCase, run: Run, axis: int, index: int) -> tuple[PreparedCase, int]:
    """The slices within a patch around one, and the first of them."""
    size, depth = run.plan.patch_size[axis], case.image.shape[1 + axis]
    first = max(0, min(index - size // 2, depth - size))
    chosen = (*[slice(None)] * axis, slice(first, first + size))
    image = case.image[(slice(None), *chosen)]
    labels = np.asarray(case.labels)[chosen]
    locations = class_locations(labels, run.plan.classes)
    return replace(case, image=image, labels=labels, locations=locations), first


def _windows(cases: Sequence[PreparedCase], run: Run) -> int:
    return sum(WindowGrid.cover(case.image.shape[1:], run.plan.patch_size, OVERLAP).count for case in cases)
