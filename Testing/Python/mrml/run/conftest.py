"""What the tests of runs share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Where arrays are exchanged; nothing may stay there."""
    folder = tmp_path / "a temporary földer"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def logic(worker: Any, root: Path) -> Any:
    """A logic with the real worker."""
    from MedContextSegmentLib.Run.Logic import MedContextSegmentLogic

    return MedContextSegmentLogic(worker=worker, exchangeRoot=root)


@pytest.fixture
def deaf(tmp_path: Path, root: Path) -> Iterator[Any]:
    """A logic whose worker neither answers nor stops."""
    from harness.runs import DEAF, scriptWorker
    from MedContextSegmentLib.Run.Logic import MedContextSegmentLogic

    logic = MedContextSegmentLogic(worker=scriptWorker(tmp_path, DEAF), exchangeRoot=root)
    yield logic
    logic.close()
