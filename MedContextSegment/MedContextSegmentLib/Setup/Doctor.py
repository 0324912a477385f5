"""A report to copy into a question: what this Slicer has, and what to do where something is wrong."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

import medcontext
from medcontext.cards import list_cards, user_models
from MedContextSegmentLib.Setup.Install import missingPackages
from MedContextSegmentLib.Setup.Packages import unsupported
from MedContextSegmentLib.Worker.WorkerChild import WorkerRequest
from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess, pythonOfWorker
from MedContextSegmentLib.Worker.WorkerTexts import errorOf, explainEnd

POLL_MILLISECONDS = 50
ENOUGH_TEMPORARY_GB = 2.0
"""A CT of 512 x 512 x 500 voxels takes 0.5 GB on its way to the worker, and its result 0.2 GB on the way back."""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was looked at.
        value: what was found.
        ok: whether it is as it should be.
        advice: what to do; may be empty.
    """

    name: str
    value: str
    ok: bool = True
    advice: str = ""


def faceFindings(worker: WorkerProcess | None = None) -> list[Finding]:
    """What can be said from within Slicer; nothing heavy is imported and no process is started.

    Args:
        worker: the one in use, if any.
    """
    return [
        _slicer(),
        _system(),
        _package(),
        _missing(),
        _python(),
        _library(),
        *_brokenModels(),
        _temporary(),
    ] + ([] if worker is None else [_workerState(worker)])


def reportText(findings: list[Finding]) -> str:
    """The findings as plain text; what needs attention is marked."""
    lines = []
    for finding in findings:
        mark = "ok  " if finding.ok else "LOOK"
        lines.append(f"{mark}  {finding.name}: {finding.value}")
        if finding.advice:
            lines.append(f"      -> {finding.advice}")
    return "\n".join(lines)


_open: list[DoctorDialog] = []


def showReport(logic: Any) -> DoctorDialog:
    """Show the report in a window that can stay open; what the worker has to say comes when it has looked.

    Args:
        logic: a :class:`Logic.MedContextSegmentLogic`; its worker is asked.
    """
    dialog = DoctorDialog(logic.worker)
    _open.append(dialog)  # nobody else holds it
    dialog.dialog.connect("finished(int)", lambda _result: _open.remove(dialog))
    dialog.show()
    return dialog


class DoctorDialog:
    """The window with the report.

    Args:
        worker: is asked to examine the computer where all packages are there.
        parent: widget the window belongs to; the main window when None.
    """

    def __init__(self, worker: WorkerProcess, parent: Any = None) -> None:
        self._findings = faceFindings(worker)
        self._found: list[Finding] = []
        self._request: WorkerRequest | None = None
        self.dialog = qt.QDialog(parent or slicer.util.mainWindow())
        self.dialog.setAttribute(qt.Qt.WA_DeleteOnClose, True)
        self.dialog.setWindowTitle(_("MedContext Doctor"))
        self.dialog.resize(700, 420)
        self.text = qt.QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setLineWrapMode(qt.QPlainTextEdit.NoWrap)
        self.status = qt.QLabel("")
        self.copyButton = qt.QPushButton(_("Copy"))
        self.closeButton = qt.QPushButton(_("Close"))
        self._layOut()
        # Owned by the window: it stops when that goes
        self._timer = qt.QTimer(self.dialog)
        self._timer.setInterval(POLL_MILLISECONDS)
        self._timer.connect("timeout()", self.poll)
        self.copyButton.connect("clicked()", self.copy)
        self.closeButton.connect("clicked()", self.dialog.close)
        self._ask(worker)
        self._refresh()

    @property
    def waiting(self) -> bool:
        """Whether the worker still looks."""
        return self._request is not None

    @property
    def report(self) -> str:
        """The text as it is now."""
        text = reportText(self._findings)
        return f"{text}\n\n{_('In the worker process:')}\n{reportText(self._found)}" if self._found else text

    def show(self) -> None:
        """Show the window; Slicer can be used meanwhile."""
        self.dialog.show()

    def copy(self) -> None:
        """Put the report on the clipboard."""
        qt.QApplication.clipboard().setText(self.report)
        self.status.text = _("Copied.")

    def poll(self) -> None:
        """Take what the worker found."""
        request = self._request
        if request is None or not request.ended:
            return
        self._request = None
        self._timer.stop()
        self._found = _workerFindings(request)
        self._refresh()

    def _ask(self, worker: WorkerProcess) -> None:
        if missingPackages():
            return
        self._request = worker.send("doctor")
        self._timer.start()

    def _refresh(self) -> None:
        self.text.setPlainText(self.report)
        self.status.text = _("The worker looks at this computer...") if self.waiting else ""

    def _layOut(self) -> None:
        buttons = qt.QHBoxLayout()
        buttons.addWidget(self.status, 1)
        buttons.addWidget(self.copyButton)
        buttons.addWidget(self.closeButton)
        layout = qt.QVBoxLayout(self.dialog)
        layout.addWidget(self.text)
        layout.addLayout(buttons)


def _workerFindings(request: WorkerRequest) -> list[Finding]:
    if request.end is not None:
        error = explainEnd(request.end)
        return [Finding(_("Worker"), error.message, False, error.hint)]
    event = request.poll()[-1]
    if event["event"] == "error":
        failed = errorOf(event)
        return [Finding(_("Worker"), failed.message, False, failed.hint)]
    return [Finding(**finding) for finding in event["findings"]]


def _slicer() -> Finding:
    value = f"{slicer.app.applicationVersion} ({slicer.app.revision}), {slicer.app.os}"
    return Finding(_("3D Slicer"), value)


def _system() -> Finding:
    problem = unsupported()
    value = f"{platform.python_version()}, numpy {np.__version__}, {platform.platform()}"
    return Finding(_("Python"), value, not problem, problem)


def _package() -> Finding:
    module = Path(__file__).resolve().parents[2]
    value = _("version {version} in {package}, module in {module}")
    package = Path(medcontext.__file__).resolve().parent
    text = value.format(version=medcontext.__version__, package=package, module=module)
    return Finding(_("MedContext"), text)


def _missing() -> Finding:
    missing = missingPackages()
    if not missing:
        return Finding(_("Packages"), _("all that segmenting needs are installed"))
    value = _("missing: {names}").format(names=", ".join(missing))
    return Finding(_("Packages"), value, False, _("Click Install, or choose an offline pack."))


def _python() -> Finding:
    name, _environment = pythonOfWorker({})
    path = shutil.which(name)
    if path is None:
        advice = _("Start Slicer from its own folder, so that PythonSlicer is found.")
        return Finding(_("Python of the worker"), _("not found: {name}").format(name=name), False, advice)
    return Finding(_("Python of the worker"), path)


def _library() -> Finding:
    folder = user_models()
    value = _("{count} model(s); the user's are in {folder}").format(count=len(list_cards()), folder=folder)
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    if existing.is_dir() and os.access(existing, os.W_OK):
        return Finding(_("Models"), value)
    advice = _("Make the folder writable, or set MEDCONTEXT_HOME to another one and restart Slicer.")
    return Finding(_("Models"), _("{folder} cannot be written").format(folder=existing), False, advice)


def _brokenModels() -> list[Finding]:
    advice = _("Remove it and import it again.")
    return [
        Finding(_("Model"), f"{card.title}: {card.problem}", False, advice)
        for card in list_cards()
        if card.problem
    ]


def _temporary() -> Finding:
    folder = Path(slicer.app.temporaryPath)
    try:
        free = shutil.disk_usage(folder).free / 1e9
    except OSError as error:
        advice = _("Choose another temporary folder in the application settings.")
        return Finding(_("Temporary folder"), f"{folder}: {error.strerror}", False, advice)
    value = _("{free:.1f} GB free in {folder}").format(free=free, folder=folder)
    enough = free >= ENOUGH_TEMPORARY_GB
    advice = (
        ""
        if enough
        else _("Free some space, or choose another temporary folder in the application settings.")
    )
    return Finding(_("Temporary folder"), value, enough, advice)


def _workerState(worker: WorkerProcess) -> Finding:
    if not worker.running:
        return Finding(_("Worker"), _("not started yet; the first run starts it"))
    software = ", ".join(f"{name} {version}" for name, version in worker.hello.get("software", {}).items())
    return Finding(
        _("Worker"), _("runs as process {pid}: {software}").format(pid=worker.pid, software=software)
    )
