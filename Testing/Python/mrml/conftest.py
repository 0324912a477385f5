"""The MRML of slicer-core, started once; every test leaves an empty scene behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.missing import missing_for_mrml, skip_modules

pytest_pycollect_makemodule = skip_modules(missing_for_mrml())


@pytest.fixture(scope="session")
def app() -> Any:
    """``slicer.app``, without Qt."""
    from harness import application

    return application.start()


@pytest.fixture(autouse=True)
def scene(app: Any) -> Iterator[Any]:
    """``slicer.mrmlScene``, closed after the test."""
    from harness import application, dialogs, packaging

    application.start()  # again, in case a test with Qt ran in between
    dialogs.reset()
    packaging.reset()
    yield app.mrmlScene()
    application.usePackaging(True)
    application.reset()
