"""Looks at a few held-out volumes while a network is pre-trained: numbers for the curve and a picture."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from medcontext.engine.keeping import Troubles
from medcontext.engine.log import TrainingLog
from medcontext.engine.pace import Pace
from medcontext.engine.watch import PICTURE, VALIDATION_SHARE
from medcontext.errors import CancelledError
from medcontext.events import Reporter
from medcontext.io.atomic import replacing


@dataclass(frozen=True)
class Sight:
    """What is to be seen of a run.

    Attributes:
        signals: numbers by name.
        picture: a PNG.
        case: whose picture it is.
        warnings: sentences; each is said once a run.
    """

    signals: dict[str, float]
    picture: bytes | None = None
    case: str = ""
    warnings: tuple[str, ...] = ()


Look = Callable[[Callable[[], None]], Sight]
"""Looks at what was learnt; between small pieces of work it calls its argument, which raises where someone wants it to
stop."""


class PretextWatch:
    """Looks now and then, within a small share of the time.

    Args:
        prepare: makes ready what is looked at, once and before the first look, and gives what looks.
        held_out: whether nothing is learnt from the volumes that are looked at.
        folder: of the run; the picture lies there.
        reporter: hears of the picture and the warnings; asked whether to stop.
        troubles: hears of a full disk.
    """

    def __init__(
        self,
        prepare: Callable[[], Look],
        held_out: bool,
        folder: Path,
        reporter: Reporter,
        troubles: Troubles,
    ) -> None:
        self._prepare = prepare
        self._held_out = held_out
        self._folder = folder
        self._reporter = reporter
        self._troubles = troubles
        self._pace = Pace(VALIDATION_SHARE)
        self._look: Look | None = None
        self._warned: set[str] = set()
        self._last: int | None = None

    @property
    def seconds(self) -> float:
        """Spent on looking."""
        return self._pace.seconds

    def due(self, seconds: float, share_done: float | None) -> bool:
        """Whether to look again; see :meth:`Pace.due`."""
        return self._pace.due(seconds, share_done)

    def look(
        self,
        network: nn.Module,  # noqa: ARG002 - without the head there is nothing to see
        step: int,
        log: TrainingLog,
        seconds: float,
        share_done: float | None,  # noqa: ARG002
    ) -> None:
        """Judge what was learnt, note it, draw the picture; once a step. A request to stop ends it early."""
        if step == self._last:  # the last step was due, and the run ends with a look
            return
        began = ready = time.monotonic()
        try:
            if self._look is None:
                self._look = self._prepare()
                ready = time.monotonic()
            sight = self._look(self._reporter.check_cancelled)
        except CancelledError:  # the loop asks before the next step
            return
        finally:
            self._pace.looked(seconds, time.monotonic() - ready, once=ready - began)
        self._last = step
        log.signals(step, sight.signals)
        for sentence in sight.warnings:
            if sentence not in self._warned:
                self._reporter.warning(sentence)
                self._warned.add(sentence)
        if sight.picture is not None:
            self._draw(sight.picture, sight.case, step)

    def _draw(self, picture: bytes, case: str, step: int) -> None:
        path = self._folder.absolute() / PICTURE
        with self._troubles.borne("preview"):
            with replacing(path) as scratch:
                scratch.write_bytes(picture)
            self._reporter.emit("picture", path=str(path), case=case, held_out=self._held_out, step=step)
