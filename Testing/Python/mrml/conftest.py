"""The MRML of slicer-core, started once; every test leaves an empty scene behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.missing import missing_for_mrml, skip_modules

pytest_pycollect_makemodule = skip_modules(missing_for_mrml())

DEADLINE = 60.0


@pytest.fixture(scope="session")
def app() -> Any:
    """``slicer.app``, without Qt."""
    from harness import application

    return application.start()


@pytest.fixture(scope="session")
def worker(app: Any) -> Iterator[Any]:  # noqa: ARG001  the application is there before modules are imported
    """A real worker for all tests; it is replaced by itself where a test ends it."""
    from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

    process = WorkerProcess()
    yield process
    process.close()


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
