"""The Qt harness, started once; every test leaves an empty scene, no settings and no unseen error behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.missing import missing_for_gui, skip_modules

pytest_pycollect_makemodule = skip_modules(missing_for_gui())


@pytest.fixture(scope="session")
def app() -> Any:
    """``slicer.app``, with Qt."""
    from harness import slicer_qt

    return slicer_qt.start()


@pytest.fixture(autouse=True)
def scene(app: Any) -> Iterator[Any]:
    """``slicer.mrmlScene``; an exception in a slot or an observer that the test did not take fails it."""
    import qt

    from harness import application, dialogs, packaging, slicer_qt

    slicer_qt.start()  # again, in case a test without Qt ran in between
    slicer_qt.errors.clear()
    dialogs.reset()
    packaging.reset()
    yield app.mrmlScene()
    app.processEvents()
    app.useMainWindow(True)
    application.usePackaging(True)
    application.reset()
    app.processEvents()
    qt.QSettings().clear()
    unseen = list(slicer_qt.errors)
    assert not unseen, "\n".join(unseen)


@pytest.fixture
def load_module() -> Iterator[Callable[[Path], Any]]:
    """Loads a scripted module and gives its widget, set up and entered; unloads it after the test."""
    from harness import slicer_qt

    loaded: list[Any] = []

    def load(path: Path) -> Any:
        widget = slicer_qt.enter(slicer_qt.load_module(path))
        loaded.append(widget)
        return widget

    yield load
    for widget in loaded:
        slicer_qt.unload(widget)


@pytest.fixture
def panel(load_module: Callable[[Path], Any]) -> Any:
    """The module's panel, whose worker is not started by looking at it."""
    from harness.panel import MODULE

    widget = load_module(MODULE)
    widget.warmUp.begin = lambda _model: None
    return widget


@pytest.fixture(scope="session")
def kept_worker(app: Any) -> Iterator[Any]:  # noqa: ARG001
    """One worker process for many tests, which a panel that goes away leaves alone.

    What is cancelled may take its time on a busy machine: a worker that is ended is seconds away from the next answer.
    """
    import slicer

    from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

    class KeptWorker(WorkerProcess):
        def close(self) -> None:
            """It is ended after the last test."""

    kept = KeptWorker(environment=slicer.util.startupEnvironment(), killAfter=60.0)
    yield kept
    WorkerProcess.close(kept)


@pytest.fixture
def working_panel(load_module: Callable[[Path], Any], kept_worker: Any) -> Any:
    """The module's panel with a real worker."""
    from harness.panel import MODULE

    widget = load_module(MODULE)
    widget.logic._worker = kept_worker
    widget.control.ignoredSeconds = 0.0  # tests click faster than people
    return widget


@pytest.fixture
def sample(panel: Any) -> Any:  # noqa: ARG001
    """A real T1 MR crop, loaded after the panel was opened."""
    from harness.panel import loadSample

    return loadSample()


@pytest.fixture
def learning(working_panel: Any) -> Any:
    """The panel with a real worker and the section Learn open."""
    from harness.panel import settle

    working_panel.warmUp.begin = lambda _model: None
    working_panel.ui.learnSection.collapsed = False
    settle()
    return working_panel


@pytest.fixture
def painted(learning: Any) -> tuple[Any, Any]:
    """A scan and a segmentation painted in three slices, chosen in the panel: two known structures and another one."""
    from harness.cases import paint
    from harness.panel import loadSample

    volume = loadSample()
    segmentation = paint(volume, {"anterior": (5, 9), "Posterior": (10, 14), "Lesion": (15, 19)})
    learning.ui.segmentationSelector.setCurrentNode(segmentation)
    return volume, segmentation


@pytest.fixture
def store(learning: Any, painted: tuple[Any, Any], tmp_path: Path) -> Path:
    """A store of two labels with one case, annotated in three slices."""
    from harness.cases import addCase, newStore, say

    newStore(tmp_path)
    addCase(learning, lambda ui: say(ui, "Lesion", "Leave out"))
    assert painted is not None
    return tmp_path / "Hippocampus"


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_home: Path) -> Iterator[Any]:
    """``trainer(steps=40)`` sets what trainings do; ends all that still run after the test."""
    from harness.learning import installTrainer
    from harness.programs import endJobs

    installTrainer(tmp_path, monkeypatch)

    def tell(**what: Any) -> None:
        for name, value in what.items():
            monkeypatch.setenv(f"TRAINER_{name.upper()}", str(value))

    yield tell
    endJobs(own_home)


def _sessions(begin: Callable[[Any], object]) -> Iterator[Callable[..., Any]]:
    """Gives what closes Slicer, unless told otherwise, and opens it, and closes in the end what is open.

    Args:
        begin: what is done in each new panel.
    """
    from harness import slicer_qt
    from harness.panel import MODULE

    opened: list[Any] = []

    def reopen(closing: bool = True, opening: bool = True) -> Any:
        while closing and opened:
            slicer_qt.unload(opened.pop())
        if not opening:
            return None
        panel = slicer_qt.enter(slicer_qt.load_module(MODULE))
        opened.append(panel)
        panel.warmUp.begin = lambda _model: None
        begin(panel)
        return panel

    yield reopen
    for panel in opened:
        slicer_qt.unload(panel)


@pytest.fixture
def session(app: Any, trainer: Any) -> Iterator[Callable[..., Any]]:  # noqa: ARG001
    """Closes Slicer, if it is open, and opens it: gives the new panel with the case store of the sample."""
    from harness.learning import sampleStore, useStore

    yield from _sessions(lambda panel: useStore(panel, sampleStore()))


@pytest.fixture
def panel_with_cases(panel: Any, trainer: Any) -> Any:  # noqa: ARG001
    """The panel with the case store of the bundled sample."""
    from harness.learning import sampleStore, useStore

    useStore(panel, sampleStore())
    return panel


@pytest.fixture
def batch_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_home: Path) -> Iterator[Any]:
    """``batch_runner(cases=3)`` sets what a batch does; ends all that still run after the test."""
    from harness.batches import installRunner
    from harness.programs import endJobs

    installRunner(tmp_path, monkeypatch)

    def tell(**what: Any) -> None:
        for name, value in what.items():
            monkeypatch.setenv(f"BATCH_{name.upper()}", str(value))

    yield tell
    endJobs(own_home)


@pytest.fixture
def batch_session(app: Any, batch_runner: Any) -> Iterator[Callable[..., Any]]:  # noqa: ARG001
    """Closes Slicer, if it is open, and opens it: gives the new panel with the section Batch open."""
    from harness.panel import settle

    def show(panel: Any) -> None:
        panel.batch.batch.ignoredSeconds = 0.0  # tests click faster than people
        panel.ui.batchSection.collapsed = False
        settle()

    yield from _sessions(show)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The output folder of a finished batch over four crops; the first one is the least certain."""
    from harness.batches import finishedBatch

    return finishedBatch(tmp_path / "batch")


@pytest.fixture
def reviewing(working_panel: Any, finished: Path) -> Any:
    """The panel with a real worker, and the finished batch on its page."""
    from harness.panel import waitUntil

    working_panel.warmUp.begin = lambda _model: None
    working_panel.ui.batchSection.collapsed = False
    working_panel.batch.batch.ui.batchOutputEdit.text = str(finished)
    assert waitUntil(lambda: len(working_panel.batch.batch.follower.rows.queue) == 4)
    return working_panel


@pytest.fixture
def queue(reviewing: Any) -> Any:
    """The review of the finished batch, begun."""
    from harness.batches import CASES
    from harness.reviews import click, reviewStatus, shownCase

    part = reviewing.batch.queue
    click(part, part.ui.reviewButton)
    assert shownCase(part) == CASES[0], reviewStatus(part)
    return part
