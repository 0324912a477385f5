"""What the script ``MedContextBatch.py`` does: starts the engine, tells how it goes, makes the scenes asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from medcontext.errors import CancelledError, InputError, MedContextError, SomeCasesFailedError
from medcontext.events import Event
from medcontext.exchange import remove_stale_folders
from MedContextSegmentLib.Batch.CaseReading import CaseReader
from MedContextSegmentLib.Batch.EngineChild import EngineChild
from MedContextSegmentLib.Batch.EngineTexts import EngineTexts
from MedContextSegmentLib.Batch.SceneFiles import SceneFiles
from MedContextSegmentLib.Batch.ScriptArguments import ScriptArguments, parseArguments
from MedContextSegmentLib.Batch.SlicerCore import insideSlicer
from MedContextSegmentLib.Batch.Stops import Stops
from MedContextSegmentLib.Setup.Packages import BATCH, Packages, requirementsOf
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

WAIT_SECONDS = 0.2
FINISHED = ("done", "reused")
DONE, USAGE = 0, InputError.exit_code


def runScript(arguments: list[str]) -> int:
    """Run the batch.

    Args:
        arguments: those of ``medcontext batch``, and ``--scenes``.

    Returns:
        The exit code: that of the engine; 5 where all cases were done and a scene could not be made.
    """
    try:
        chosen = parseArguments(arguments)
        _checkPackages()
        with Stops() as stops, ExitStack() as stack:
            return _Run(chosen, stops, stack).run()
    except MedContextError as error:
        _say(_("Error: {error}").format(error=error), sys.stderr)
        return error.exit_code


class _Run:
    """One run of the script.

    Args:
        chosen: what was asked for.
        stops: knows whether somebody asked to stop.
        stack: closes what was opened.
    """

    def __init__(self, chosen: ScriptArguments, stops: Stops, stack: ExitStack) -> None:
        self._chosen, self._stops, self._stack = chosen, stops, stack
        self._environment = _startupEnvironment()
        self._texts = EngineTexts()
        self._scenes: SceneFiles | None = None
        self._began = False
        self._held: list[str] = []  # what was said before the work began, which may be all that is said

    def run(self) -> int:
        """Follow the engine to its end, making scenes whenever it has nothing to say; the exit code."""
        engine = self._stack.enter_context(EngineChild(self._chosen.engine, self._environment))
        self._stops.passOnTo(engine.stop)
        while engine.running:
            said = engine.next(0 if self._waiting else WAIT_SECONDS)
            if said is not None:
                self._take(said)
            elif self._waiting:
                self._makeScene()
            _processEvents()
        code = self._end(engine)
        while self._waiting:
            self._makeScene()
            _processEvents()
        return self._summary(code)

    @property
    def _waiting(self) -> bool:
        """Whether a scene can be made now."""
        return self._scenes is not None and self._scenes.waiting > 0 and not self._stops.asked

    def _take(self, said: Event | str) -> None:
        if isinstance(said, str):
            if self._began:
                _say(said)
            else:
                self._held.append(said)
            return
        if not self._began:
            self._began = True
            self._tellHeld()
        if line := self._texts.line(said):
            _say(line)
        if self._chosen.scenes and said["event"] == "case" and said.get("status") in FINISHED:
            self._openScenes().add(str(said["case"]))

    def _tellHeld(self) -> None:
        for line in self._held:
            _say(line)
        self._held.clear()

    def _openScenes(self) -> SceneFiles:
        """With the first finished case: a run that cannot begin leaves no folder behind."""
        if self._scenes is None:
            remove_stale_folders(_temporaryFolder())  # of a script that was killed
            worker = WorkerProcess(environment=self._environment)
            self._stack.callback(worker.close)
            reader = CaseReader(self._chosen.output, worker, _temporaryFolder())
            chosen = self._chosen
            self._scenes = SceneFiles(chosen.output, reader, chosen.shard, chosen.overwrite)
            self._stack.callback(self._scenes.close)
        return self._scenes

    def _makeScene(self) -> None:
        if self._scenes is not None and (line := self._scenes.step()):
            _say(line, sys.stderr)

    def _end(self, engine: EngineChild) -> int:
        """The exit code of the engine.

        Raises:
            MedContextError: it ended without saying why.
        """
        code = engine.code()
        if code < 0 or (not self._began and code not in (DONE, USAGE)):
            raise engine.why()
        self._tellHeld()
        if self._chosen.help:
            _say(_("This script also takes --scenes: each finished case becomes OUTPUT/scenes/<case>.mrb."))
        return code

    def _summary(self, code: int) -> int:
        if self._scenes is None:
            return code
        scenes = self._scenes
        text = _("Scenes: {made} made, {kept} as before, {failed} failed.")
        _say(text.format(made=scenes.made, kept=scenes.kept, failed=scenes.failed))
        if scenes.waiting:
            _say(_("The same command makes the other {count}.").format(count=scenes.waiting))
        if scenes.failed:
            _say(_("{path} says why.").format(path=scenes.ledger))
        if code == DONE and scenes.waiting:
            return CancelledError.exit_code
        return SomeCasesFailedError.exit_code if code == DONE and scenes.failed else code


def _checkPackages() -> None:
    missing = [str(requirement) for requirement in Packages().missing(requirementsOf(BATCH))]
    if not missing:
        return
    hint = _("Let the module MedContext Segment install them, or run: {command}")
    names = " ".join(f'"{name}"' for name in missing)
    command = f"{'PythonSlicer' if insideSlicer() else 'python'} -m pip install {names}"
    text = _("Packages that a batch needs are missing: {names}.")
    raise InputError(text.format(names=", ".join(missing)), hint.format(command=command))


def _startupEnvironment() -> Mapping[str, str]:
    environment: Mapping[str, str] = slicer.util.startupEnvironment() if insideSlicer() else os.environ
    return environment


def _temporaryFolder() -> Path | None:
    return Path(slicer.app.temporaryPath) if insideSlicer() else None


def _processEvents() -> None:
    if insideSlicer():
        slicer.app.processEvents()


def _say(text: str, stream: Any = None) -> None:
    """Print a line, now: what follows a pipe must not wait for a full buffer."""
    stream = stream or sys.stdout
    stream.write(text + "\n")
    if hasattr(stream, "flush"):  # Slicer's own streams need not have it
        stream.flush()
