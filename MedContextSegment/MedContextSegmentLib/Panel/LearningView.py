"""How a training goes and how it ended: progress, curve, pictures and verdict."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import qt

from MedContextSegmentLib.Learn.Curve import Look
from MedContextSegmentLib.Learn.FollowedJob import STOPPING
from MedContextSegmentLib.Learn.LearningJob import LearningJob
from MedContextSegmentLib.Learn.LearningTexts import endedText
from MedContextSegmentLib.Panel.CurveView import CurveView
from MedContextSegmentLib.Panel.QtHelpers import showText

BAR_STEPS = 1000
LEAST_WIDTH = 200
PREVIEW_HEIGHT = 260
COMPARISON_HEIGHT = 1000


class LearningView:
    """Shows one training.

    Args:
        ui: the widgets of Training.ui.
        preview: what the small picture shows.
    """

    def __init__(self, ui: Any, preview: str) -> None:
        self._ui = ui
        ui.previewLabel.toolTip = preview
        self.curve = CurveView(ui.curveArea)
        self._pictures: dict[str, tuple[Any, ...]] = {}
        ui.learningBar.setRange(0, BAR_STEPS)
        self.clear()

    def show(self, job: LearningJob, look: Look) -> None:
        """Show what a training has told so far.

        Args:
            job: the training.
            look: how the lines besides the loss are drawn.
        """
        ui, active = self._ui, job.active
        result = None if active else job.result
        ui.learningBar.setVisible(active)
        if active:
            self._showProgress(job)
        showText(ui.verdictLabel, "" if active else endedText(job))
        comparison = result.picture if result is not None else None
        preview = job.picture if comparison is None else None
        self._showPicture("previewLabel", preview, PREVIEW_HEIGHT, job.pictures)
        self._showPicture("comparisonLabel", comparison, COMPARISON_HEIGHT)
        self.curve.show(job, look)

    def clear(self) -> None:
        """Show nothing."""
        self._ui.learningBar.setVisible(False)
        showText(self._ui.verdictLabel, "")
        for name in ("previewLabel", "comparisonLabel"):
            self._showPicture(name, None, 0)
        self.curve.hide()

    def stop(self) -> None:
        """The panel goes away."""
        self.curve.stop()

    def _showProgress(self, job: LearningJob) -> None:
        bar, done = self._ui.learningBar, job.job.progress
        known = done is not None and job.state != STOPPING
        bar.setRange(0, BAR_STEPS if known else 0)
        if known and done is not None:
            bar.setValue(round(BAR_STEPS * done))

    def _showPicture(self, name: str, path: Path | None, height: int, number: int = 0) -> None:
        """Show a picture file, no wider than the panel; in full size where the pointer rests on it.

        It is read again when its number or its date is another.
        """
        label = getattr(self._ui, name)
        if path is None or (key := _stateOf(path, number)) is None:
            self._pictures.pop(name, None)
            label.clear()
            label.setVisible(False)
            return
        if self._pictures.get(name) == key:
            return
        # Not by the file's name: Qt keeps pixmaps by name, and this file changes.
        image = qt.QImage(str(path))
        if image.isNull():
            return  # it is being replaced: the next look will find it
        self._pictures[name] = key
        width = max(LEAST_WIDTH, label.parentWidget().width)
        if image.width() > width or image.height() > height:
            image = image.scaled(width, height, qt.Qt.KeepAspectRatio, qt.Qt.SmoothTransformation)
            label.toolTip = f'<img src="{html.escape(path.as_posix())}">'
        label.setPixmap(qt.QPixmap.fromImage(image))
        label.setVisible(True)


def _stateOf(path: Path, number: int) -> tuple[Any, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return str(path), number, status.st_mtime_ns, status.st_size
