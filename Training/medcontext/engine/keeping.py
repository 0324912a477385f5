"""What a run keeps on the disk, and what it does when the disk refuses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from medcontext.errors import InputError, ResourceError, is_disk_full
from medcontext.events import Reporter
from medcontext.io.atomic import explained

LOCK = ".lock"
FIRST_SECONDS = 5.0
"""A first checkpoint comes early: who starts a run and restarts the machine wants to see that it goes on."""
CHECKPOINT_SHARE = 0.03
"""Share of the time that checkpoints may take."""


class Troubles:
    """Files that a run can live without: says once that they cannot be written, and once that they can again."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._failing: set[str] = set()

    @contextmanager
    def borne(self, what: str) -> Iterator[None]:
        """Training goes on when writing ``what`` fails inside."""
        try:
            yield
        except (OSError, ResourceError, InputError) as error:
            known = bool(self._failing)
            self._failing.add(what)
            if not known:
                self._reporter.warning(
                    f"Writing the {what} failed: {getattr(error, 'message', error)} Training goes on and tries "
                    "again; the last complete checkpoint is kept. Free some space."
                )
            return
        if what in self._failing:
            self._failing.remove(what)
            if not self._failing:
                self._reporter.info("The files of the training can be written again.")

    def failing(self, what: str) -> bool:
        """Whether the last attempt to write it failed."""
        return what in self._failing


class Checkpoints:
    """Saves now and then: as often as wished, and less often where saving takes long.

    Args:
        path: the file; None for a run that keeps none.
        every: seconds between two.
        troubles: hears of a full disk.
    """

    def __init__(self, path: Path | None, every: float, troubles: Troubles) -> None:
        self._path = path
        self._every = every
        self._troubles = troubles
        self._next = time.monotonic() + min(FIRST_SECONDS, every)

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return self._path is not None and time.monotonic() >= self._next

    def save(self, state: Callable[[], dict[str, Any]]) -> bool:
        """Save; whether there is a checkpoint now. The older one stays until the new one is complete."""
        from medcontext.engine.checkpoint import save_checkpoint

        if self._path is None:
            return False
        began = time.monotonic()
        with self._troubles.borne("checkpoint"):
            save_checkpoint(self._path, state())
        took = time.monotonic() - began
        self._next = began + took + max(self._every, took / CHECKPOINT_SHARE)
        return not self._troubles.failing("checkpoint")


@contextmanager
def saving_model() -> Iterator[None]:
    """Saving the model of a run that has ended: a full disk costs nothing that was learnt, and says so.

    Raises:
        ResourceError: the disk is full.
    """
    try:
        yield
    except (ResourceError, OSError) as error:
        if isinstance(error, OSError) and not is_disk_full(error):
            raise
        raise ResourceError(
            f"The training is done but its model could not be saved: {getattr(error, 'message', error)}",
            "Free some space and give the same command with --resume: it saves the model at once.",
        ) from error


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder; a folder that is made here and stays empty is gone afterwards.

    Raises:
        InputError: another process trains there, or nothing can be written there.
        ResourceError: the disk is full.
    """
    made = [path for path in (folder, folder.parent) if not path.exists()]
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise InputError(
            f"Another training writes to {folder.parent} at this moment.",
            "Wait until it has ended, stop it with 'medcontext jobs stop', or choose another output folder.",
        ) from error
    except OSError as error:
        raise explained(error, folder.parent) from error
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file; the next training takes the one it finds
            (folder / LOCK).unlink()
        lock.release()
        with suppress(OSError):
            for path in made:
                path.rmdir()
