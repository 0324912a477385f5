"""A worker for all tests here, and finished batches of real crops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


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
