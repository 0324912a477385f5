"""A worker for all tests here, and finished batches of real crops."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DEADLINE = 60.0


@pytest.fixture(scope="module")
def worker(app: Any) -> Iterator[Any]:  # noqa: ARG001  the application is there before modules are imported
    from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

    process = WorkerProcess()
    yield process
    process.close()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The output folder of a finished batch."""
    from harness.batches import finishedBatch

    return finishedBatch(tmp_path)


@pytest.fixture
def look() -> Callable[[Path], Any]:
    """``look(folder)``: all that is known of a batch, as the panel knows it."""

    def read(folder: Path) -> Any:
        from MedContextSegmentLib.Batch.BatchRows import BatchRows
        from MedContextSegmentLib.Batch.FolderReader import FolderReader

        reader, rows = FolderReader(folder), BatchRows(folder)
        while True:
            news = reader.look()
            rows.take(news)
            if not news.more:
                return rows

    return read


@pytest.fixture
def finish() -> Callable[[Any], Any]:
    """``finish(run)`` polls as a timer would, to the end; returns the result or raises the error."""

    def wait(run: Any) -> Any:
        ends = time.monotonic() + DEADLINE
        while run.poll():
            assert time.monotonic() < ends, f"still {run.state}"
            time.sleep(0.005)
        if run.error is not None:
            raise run.error
        return run.result

    return wait
