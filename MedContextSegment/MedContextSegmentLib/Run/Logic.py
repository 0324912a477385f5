"""What the module can do, for its widget and for scripts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from medcontext.errors import InputError
from medcontext.exchange import remove_stale_folders
from MedContextSegmentLib.Run.RunInputs import SegmentRequest, readInputs
from MedContextSegmentLib.Run.RunListener import LogListener, RunListener
from MedContextSegmentLib.Run.SegmentationRun import SegmentationRun
from MedContextSegmentLib.Run.Writing import Writing
from MedContextSegmentLib.Worker.Background import Background
from MedContextSegmentLib.Worker.WorkerChild import WorkerRequest
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

__all__ = ["MedContextSegmentLogic", "SegmentRequest"]

POLL_SECONDS = 0.005
CLOSE_SECONDS = 3.0


class MedContextSegmentLogic(ScriptedLoadableModuleLogic):
    """Segments volumes of the scene; needs no widget and no main window.

    One run at a time. The worker process that it starts stays for the next run; :meth:`close` ends it, and so does
    forgetting the logic.

    Args:
        parent: as Slicer gives it.
        worker: the worker to use; a process of its own, started when needed, when None.
        exchangeRoot: folder for the arrays that go to the worker and come back; Slicer's temporary folder when None.
    """

    def __init__(
        self, parent: Any = None, worker: WorkerProcess | None = None, exchangeRoot: Path | None = None
    ) -> None:
        super().__init__(parent)
        self._worker = worker
        self._exchangeRoot = exchangeRoot
        self._run: SegmentationRun | None = None
        # What a crash of Slicer left behind; a folder of a running program is not touched.
        root = self.exchangeRoot
        Background(lambda: remove_stale_folders(root))

    @property
    def worker(self) -> WorkerProcess:
        """The worker, which starts its process with the first request."""
        if self._worker is None:
            self._worker = WorkerProcess(environment=slicer.util.startupEnvironment())
        return self._worker

    @property
    def exchangeRoot(self) -> Path:
        """Folder for the arrays that go to the worker; the person may choose another one between two runs."""
        return self._exchangeRoot or Path(slicer.app.temporaryPath)

    @property
    def run(self) -> SegmentationRun | None:
        """The run that goes on; None between runs."""
        return self._run if self._run is not None and self._run.running else None

    def warm(
        self, modelId: str | None = None, device: str = "auto", precision: str = "auto"
    ) -> WorkerRequest:
        """Let the worker get ready in the background, so that the first click is as quick as the next ones."""
        return self.worker.warm(modelId or None, device, precision)

    def segment(
        self,
        volumeNode: Any,
        modelId: str,
        segmentationNode: Any = None,
        listener: RunListener | None = None,
        **options: Any,
    ) -> Any:
        """Segment a volume and wait for the result. For scripts: ::

            segmentation = MedContextSegmentLogic().segment(volumeNode, "hippocampus")

        Args:
            volumeNode: scalar volume node, or a list with one for each input channel of the model.
            modelId: id, ``id@version`` or folder of the model.
            segmentationNode: node to write into; a new one when None.
            listener: is told of progress and warnings; they are logged when None.
            options: further attributes of :class:`SegmentRequest`: ``roi``, ``insideSegment``, ``certainty``,
                ``device``, ``precision``, ``lowMemory``, ``redo``.

        Returns:
            The segmentation node.

        Raises:
            MedContextError: InputError, ResourceError or CancelledError, each one sentence with a hint.
        """
        volumes = tuple(volumeNode) if isinstance(volumeNode, list | tuple) else (volumeNode,)
        _checkOptions(options)
        request = SegmentRequest(volumes, modelId, segmentationNode, **options)
        run = self.start(request, listener or LogListener())
        try:
            while run.poll():
                slicer.app.processEvents()
                time.sleep(POLL_SECONDS)
        except BaseException:  # such as Ctrl+C: the worker must not go on
            self._abort(run)
            raise
        if run.error is not None:
            raise run.error
        return run.segmentationNode

    def start(
        self,
        request: SegmentRequest,
        listener: RunListener,
        editorNode: Any = None,
        saveStateForUndo: Callable[[], None] | None = None,
    ) -> SegmentationRun:
        """Begin a run; the caller calls its ``poll`` (by a timer of about 20 ms) until that returns False.

        Args:
            request: what to do.
            listener: is told how it goes.
            editorNode: the segment editor's parameter node, whose masks are obeyed; None without an editor.
            saveStateForUndo: called before an existing segmentation is changed.

        Raises:
            InputError: the request cannot be followed, or another run goes on.
        """
        if self.run is not None:
            raise InputError(_("Another segmentation is running."), _("Wait for it or cancel it."))
        inputs = readInputs(request)
        writing = Writing(editorNode, saveStateForUndo)
        self._run = SegmentationRun(self.worker, request, inputs, listener, writing, self.exchangeRoot)
        return self._run

    def close(self) -> None:
        """Stop what is running and end the worker. The logic can be used again afterwards."""
        if self.run is not None:
            self._abort(self.run)
        self._run = None
        if self._worker is not None:
            self._worker.close()

    def _abort(self, run: SegmentationRun) -> None:
        """End a run now, the worker with it."""
        run.cancel()
        self.worker.kill()
        ends = time.monotonic() + CLOSE_SECONDS
        while run.poll() and time.monotonic() < ends:
            time.sleep(POLL_SECONDS)


def _checkOptions(options: Iterable[str]) -> None:
    known = sorted(set(SegmentRequest.__dataclass_fields__) - {"volumes", "model", "segmentation"})
    for name in options:
        if name not in known:
            raise InputError(
                _("There is no option '{name}'.").format(name=name),
                _("Allowed: {names}.").format(names=", ".join(known)),
            )
