"""Who is told how a run goes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from MedContextSegmentLib.Run.SegmentationRun import SegmentationRun


class RunListener(Protocol):
    """Who is told how a run goes, always on the main thread. Nothing of it may start another run, ``ended`` apart."""

    def progress(self, stage: str, value: float, etaSeconds: float | None) -> None:
        """``value`` (0 to 1) of a stage is done; ``WorkerTexts.stageTitle`` names it."""

    def message(self, text: str) -> None:
        """Something good to know."""

    def warning(self, text: str) -> None:
        """Something to look at, which does not stop the run."""

    def ended(self, run: SegmentationRun) -> None:
        """The run is over: see its ``state`` and ``error``."""


class LogListener:
    """Writes down what a script's run has to say."""

    def progress(self, stage: str, value: float, etaSeconds: float | None) -> None:
        """Progress is not logged."""

    def message(self, text: str) -> None:
        logging.info(text)

    def warning(self, text: str) -> None:
        logging.warning(text)

    def ended(self, run: SegmentationRun) -> None:
        """The end is the return of the call, or its exception."""
