"""Entries of a cache: folders that appear whole or not at all, whoever is killed and whoever else writes them."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from medcontext.errors import ResourceError

SCRATCH = ".new-"
ABANDONED_SECONDS = 24 * 3600.0
"""An unfinished entry of this age was left by a process that was killed."""


@contextmanager
def new_entry(folder: Path, complete: Callable[[], bool]) -> Iterator[Path]:
    """Give a scratch folder; it becomes ``folder`` when the block ends well.

    Args:
        folder: the entry.
        complete: whether an entry that is there already can be used, as where another process was faster. It stays;
            a damaged one is replaced.

    Raises:
        ResourceError: nothing can be written there.
    """
    scratch = folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=folder.parent))
        yield scratch
        if folder.exists() and not complete():
            folder.replace(scratch.with_name(f"{scratch.name}-damaged"))
        scratch.replace(folder)
    except OSError as error:
        if not complete():
            raise ResourceError(
                f"The preprocessed case could not be written to {folder.parent}: {error}.",
                "Free some space or set MEDCONTEXT_HOME to another disk.",
            ) from error
    finally:
        if scratch != folder:
            shutil.rmtree(scratch, ignore_errors=True)
            shutil.rmtree(scratch.with_name(f"{scratch.name}-damaged"), ignore_errors=True)


def remove_abandoned(root: Path) -> None:
    """Remove what killed processes left unfinished long ago."""
    for scratch in root.glob(f"{SCRATCH}*"):
        with suppress(OSError):  # another process removes it
            if time.time() - scratch.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(scratch, ignore_errors=True)
