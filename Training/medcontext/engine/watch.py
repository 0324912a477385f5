"""Looks at a few cases while a run goes on: their Dice for the curve and a picture of one. It decides nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from medcontext.data.preprocess import PreparedCase, class_locations
from medcontext.engine.cases import Cases
from medcontext.engine.config import MONITORED
from medcontext.engine.keeping import Troubles
from medcontext.engine.log import TrainingLog
from medcontext.engine.pace import Pace
from medcontext.engine.preview import Preview, best_slice
from medcontext.engine.validation import OVERLAP, validate
from medcontext.errors import CancelledError
from medcontext.events import Reporter
from medcontext.inference.windows import WindowGrid
from medcontext.io.atomic import replacing
from medcontext.labels import IGNORE

PICTURE = "preview.png"
VALIDATION_SHARE = 0.08
"""Share of a time budget kept for segmenting held-out cases."""
PICTURE_SHARE = 0.04
"""Share of the time that the picture of a case may take where none is held out."""


class Watch:
    """Segments a few cases now and then, within a small share of the time.

    Args:
        task: its monitored cases are scored; the picture shows the first of them, else of the validation cases, else
            of the labelled ones.
        folder: of the run; the picture lies there.
        reporter: hears of the picture; asked between windows whether to stop.
        troubles: hears of a full disk.
    """

    def __init__(self, task: Cases, folder: Path, reporter: Reporter, troubles: Troubles) -> None:
        self._task = task
        self._folder = folder
        self._reporter = reporter
        self._troubles = troubles
        self._monitor = list(task.monitor[:MONITORED])
        self._shown = [*self._monitor, *task.validation, *task.labelled][0]
        share = PICTURE_SHARE
        if self._monitor:
            share = VALIDATION_SHARE / 2 if task.validation else VALIDATION_SHARE
        self._pace = Pace(share)
        self._preview: Preview | None = None
        self._cases: list[PreparedCase] = []

    @property
    def seconds(self) -> float:
        """Spent on looking."""
        return self._pace.seconds

    def due(self, seconds: float, share_done: float | None) -> bool:
        """Whether to look again; see :meth:`Pace.due`."""
        return self._pace.due(seconds, share_done)

    def look(
        self, network: nn.Module, step: int, log: TrainingLog, seconds: float, share_done: float | None
    ) -> None:
        """Score the monitored cases, note it, draw the picture. A request to stop ends it early."""
        began = time.monotonic()
        try:
            if self._preview is None:
                self._prepare(network, self._pace.allowed(seconds, share_done))
            planes: list[np.ndarray] = []
            task = self._task
            dice = validate(
                network, self._cases, task.plan, task.precision, self._keep(planes), self._reporter
            )
        except CancelledError:  # the loop asks before the next step
            return
        finally:
            self._pace.looked(seconds, time.monotonic() - began)
        if self._monitor:
            log.validation(step, dice, held_out=True)
        self._draw(planes[0], step)

    def _keep(self, planes: list[np.ndarray]) -> Callable[[np.ndarray], None]:
        """Takes the predictions of all cases and keeps the slice of the first."""

        def take(predicted: np.ndarray) -> None:
            if self._preview is not None and not planes:
                planes.append(np.take(predicted, self._preview.index, self._preview.axis).copy())

        return take

    def _prepare(self, network: nn.Module, allowed: float) -> None:
        """Choose what is segmented at each look: as much of the cases as the time allows.

        Args:
            network: is timed on one window.
            allowed: seconds that one look may take.
        """
        task, axis, everywhere = self._task, best_slice(self._shown, self._task.plan)[0], (0, 1, 2)
        patch = _cut(self._shown, task, everywhere)[0]
        for _ in range(2):  # the first one warms up
            began = time.monotonic()
            validate(network, [patch], task.plan, task.precision, None, self._reporter)
            window = time.monotonic() - began
        choices: list[tuple[list[PreparedCase], tuple[int, ...]]] = [([self._shown], (axis,))]
        if self._monitor:
            choices = [(self._monitor, ()), (self._monitor, (axis,)), *choices]
        choices.append(([self._shown], everywhere))
        for cases, axes in choices:
            self._cases = [_cut(case, task, axes)[0] for case in cases]
            if window * _windows(self._cases, task) <= allowed:
                break
        self._preview = Preview(self._cases[0], task.plan, _cut(self._shown, task, axes)[1])
        if self._monitor:
            self._tell_what_is_scored()

    def _tell_what_is_scored(self) -> None:
        fewer = len(self._monitor) - len(self._cases)
        pairs = zip(self._cases, self._monitor, strict=False)
        cut = any(case.image.shape != whole.image.shape for case, whole in pairs)
        if fewer or cut:
            what = "the part around the picture" if cut else "all slices"
            self._reporter.info(
                f"So that the training keeps its time, the curve shows Dice of {what} of {len(self._cases)} of "
                f"the {len(self._monitor)} held-out case(s)."
            )

    def _draw(self, plane: np.ndarray, step: int) -> None:
        if self._preview is None:
            return
        path = self._folder.absolute() / PICTURE
        with self._troubles.borne("preview"):
            with replacing(path) as scratch:
                scratch.write_bytes(self._preview.draw(plane))
            self._reporter.emit(
                "picture", path=str(path), case=self._shown.id, held_out=bool(self._monitor), step=step
            )


def _cut(case: PreparedCase, task: Cases, axes: Sequence[int]) -> tuple[PreparedCase, int]:
    """The case within one patch, along these axes, around the slice that shows most; the slice's index in it."""
    axis, index = best_slice(case, task.plan)
    if not axes:
        return case, index
    inside = np.take(np.asarray(case.labels), index, axis)
    middle = [n // 2 for n in case.image.shape[1:]]
    marked = np.nonzero((inside > 0) & (inside != IGNORE))
    if marked[0].size:
        for other, found in zip([a for a in range(3) if a != axis], marked, strict=True):
            middle[other] = round(float(found.mean()))
    middle[axis] = index
    box = [slice(0, n) for n in case.image.shape[1:]]
    for cut in axes:
        size, length = task.plan.patch_size[cut], case.image.shape[1 + cut]
        first = max(0, min(middle[cut] - size // 2, length - size))
        box[cut] = slice(first, first + size)
    labels = np.asarray(case.labels)[tuple(box)]
    locations = class_locations(labels, task.plan.classes)
    image = case.image[(slice(None), *box)]
    return replace(case, image=image, labels=labels, locations=locations), index - box[axis].start


def _windows(cases: Sequence[PreparedCase], task: Cases) -> int:
    return sum(WindowGrid.cover(case.image.shape[1:], task.plan.patch_size, OVERLAP).count for case in cases)
