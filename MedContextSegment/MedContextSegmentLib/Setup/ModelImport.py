"""Bringing models into the user's library. The worker does it: checking a model needs what Slicer does not have."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import slicer

from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess
from MedContextSegmentLib.Worker.WorkerTexts import errorOf, explainEnd

POLL_SECONDS = 0.02


def importModels(archives: Sequence[Path], worker: WorkerProcess | None = None) -> list[str]:
    """Import models; Slicer draws itself meanwhile.

    Args:
        archives: models as .zip files or folders.
        worker: the one to ask; one of its own, for as long as this takes, when None.

    Returns:
        Their ids in the library. One that is there already, with the same weights, is left alone.

    Raises:
        MedContextError: one is damaged or cannot be written; those before it are imported.
    """
    if not archives:
        return []
    if worker is not None:
        return [_import(worker, archive) for archive in archives]
    own = WorkerProcess(environment=slicer.util.startupEnvironment())
    try:
        return [_import(own, archive) for archive in archives]
    finally:
        own.close()


def _import(worker: WorkerProcess, archive: Path) -> str:
    request = worker.send("import_model", archive=str(archive))
    while not request.ended:
        slicer.app.processEvents()
        time.sleep(POLL_SECONDS)
    if request.end is not None:
        raise explainEnd(request.end)
    event = request.poll()[-1]
    if event["event"] == "error":
        raise errorOf(event)
    return str(event["model"])
