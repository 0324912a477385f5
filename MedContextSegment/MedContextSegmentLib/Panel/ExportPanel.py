"""The part *Export*: the reviewed segmentation as a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from medcontext.errors import CancelledError, MedContextError
from MedContextSegmentLib.Export.Export import DICOM_SEG, Exporter, ExportRun, exporters
from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo, selectData, showText
from MedContextSegmentLib.Panel.RunControl import INTERVAL_MS
from MedContextSegmentLib.Setup.Packages import DICOM

NAMED_FILES = 5
"""So many of the files that would be replaced are named in the question."""


class ExportPanel:
    """Offers the formats and writes one of them, in small steps of a timer.

    Args:
        ui: the widgets of the .ui file.
        logic: gives the worker that writes some of the formats.
        install: has ``ensureInstalled()``, see :mod:`Install`.
        segmentation: gives the segmentation, or None.
        volume: gives the volume that it belongs to, or None.
    """

    def __init__(
        self,
        ui: Any,
        logic: Any,
        install: Any,
        segmentation: Callable[[], Any],
        volume: Callable[[], Any],
    ) -> None:
        self._ui, self._logic, self._install = ui, logic, install
        self._segmentation, self._volume = segmentation, volume
        self._enabled = True
        self._chosen = False
        self._outcome = ""
        self._run: ExportRun | None = None
        items = [(exporter.title, exporter.id, "") for exporter in exporters(None, None)]
        fillCombo(ui.exportFormatSelector, items, "")
        ui.exportFormatSelector.connect("currentIndexChanged(int)", self._formatChanged)
        ui.exportButton.connect("clicked()", self._clicked)
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._poll)
        self.update()

    def setEnabled(self, enabled: bool) -> None:
        """Whether anything can be exported; not while segments are written."""
        self._enabled = enabled

    def update(self) -> None:
        """Show whether something can be exported now."""
        running = self._run is not None
        reason = "" if running else self._exporter().reason
        self._ui.exportFormatSelector.enabled = not running
        self._ui.exportButton.text = _("Cancel") if running else _("Export...")
        self._ui.exportButton.enabled = running or (self._enabled and not reason)
        status = _("Writing...") if running else reason or self._outcome
        showText(self._ui.exportStatusLabel, status)

    def stop(self) -> None:
        """Give up an export that goes on, such as when the panel goes away or the scene is closed."""
        self._timer.stop()
        if self._run is not None:
            self._run.cancel()
        self._run, self._outcome = None, ""

    def _exporter(self) -> Exporter:
        """The chosen format; until somebody chose one, the first that can be written."""
        found = exporters(self._segmentation(), self._volume())
        usable = next((exporter for exporter in found if exporter.available), None)
        if usable is not None and not self._chosen:
            selectData(self._ui.exportFormatSelector, usable.id)
        wanted = comboData(self._ui.exportFormatSelector)
        return next(exporter for exporter in found if exporter.id == wanted)

    def _formatChanged(self, _index: int) -> None:
        self._chosen = True
        self._outcome = ""
        self.update()

    def _clicked(self) -> None:
        if self._run is not None:
            self._run.cancel()
            self._ended(self._run)
            return
        try:
            self._begin(self._exporter())
        except MedContextError as error:
            slicer.util.errorDisplay(str(error))
        self.update()

    def _begin(self, exporter: Exporter) -> None:
        chosen = self._askPath(exporter)
        if not chosen:
            return
        path = Path(chosen if chosen.lower().endswith(exporter.suffix) else chosen + exporter.suffix)
        worker = None
        if exporter.id == DICOM_SEG:
            if not self._install.ensureInstalled(purpose=DICOM):
                return
            worker = self._logic.worker
        # The dialog has asked whether the very file that it gave is to be replaced
        self._run = ExportRun(
            self._segmentation(),
            self._volume(),
            exporter.id,
            path,
            worker,
            agreed=[Path(chosen)] if exporter.suffix else [],
            asks=True,
        )
        self._timer.start()

    def _askPath(self, exporter: Exporter) -> str:
        """The file or folder that was chosen, as the dialog gave it; "" for none."""
        parent, title = slicer.util.mainWindow(), _("Export the segmentation")
        if not exporter.suffix:
            return str(qt.QFileDialog.getExistingDirectory(parent, title) or "")
        suggested = f"{self._segmentation().GetName()}{exporter.suffix}"
        chosen = qt.QFileDialog.getSaveFileName(parent, title, suggested, f"*{exporter.suffix}")
        return str((chosen[0] if isinstance(chosen, tuple) else chosen) or "")

    def _poll(self) -> None:
        run = self._run
        if run is None:
            return
        if not run.poll():
            self._ended(run)
        elif run.existing:
            self._askToReplace(run)

    def _askToReplace(self, run: ExportRun) -> None:
        self._timer.stop()  # it would go on behind the question
        question = _("These files exist already and will be replaced:\n{files}")
        replace = slicer.util.confirmOkCancelDisplay(
            question.format(files=_listed(run.existing)), _("Export the segmentation")
        )
        if self._run is not run:  # stopped meanwhile, such as by closing the scene
            return
        if replace:
            run.allow()
            self._timer.start()
        else:
            run.cancel()
            self._ended(run)

    def _ended(self, run: ExportRun) -> None:
        self._timer.stop()
        self._run = None
        if run.error is None:
            written = _("Written: {files}").format(files=", ".join(str(file) for file in run.files))
            self._outcome = "\n".join([written, *run.notes])
        else:
            self._outcome = run.error.message
        self.update()
        if run.error is not None and not isinstance(run.error, CancelledError):
            slicer.util.errorDisplay(str(run.error))


def _listed(files: Sequence[Path]) -> str:
    lines = [str(file) for file in files[:NAMED_FILES]]
    if len(files) > NAMED_FILES:
        lines.append(_("and {count} more").format(count=len(files) - NAMED_FILES))
    return "\n".join(lines)
