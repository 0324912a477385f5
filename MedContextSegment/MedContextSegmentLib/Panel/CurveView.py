"""The curve of a training in Slicer's plot view, inside the panel."""

from __future__ import annotations

from typing import Any

import slicer

from MedContextSegmentLib.Learn.Curve import LearningCurve, Look
from MedContextSegmentLib.Learn.LearningJob import LearningJob

HEIGHT = 220


class CurveView:
    """Shows one training; the plot view is made when there is something to show.

    Args:
        area: the widget that holds the view; hidden while there is nothing to show.
    """

    def __init__(self, area: Any) -> None:
        self._area = area
        self._plot: Any = None
        self.curve = LearningCurve()
        area.setVisible(False)

    def show(self, job: LearningJob, look: Look) -> None:
        """Show what a training has told so far.

        Args:
            job: the training.
            look: how the lines besides the loss are drawn.
        """
        if job.losses.empty and job.scores.empty:
            self.hide()
            return
        if not self.curve.whole:
            self.letGo()
        self.curve.update(job.losses, job.scores, look)
        self._makePlot()
        if self._plot.mrmlPlotViewNode() is not self.curve.view:
            self._plot.setMRMLPlotViewNode(self.curve.view)
        self._area.setVisible(True)

    def hide(self) -> None:
        """Take the curve away, its nodes too."""
        self._area.setVisible(False)
        self.letGo()
        self.curve.remove()

    def letGo(self) -> None:
        """Let the plot view forget its node, which it does not keep alive; to be called before a scene is closed."""
        if self._plot is not None:
            self._plot.setMRMLPlotViewNode(None)

    def stop(self) -> None:
        """Let go of the scene; the panel goes away."""
        self.hide()
        if self._plot is not None:
            self._plot.setMRMLScene(None)

    def _makePlot(self) -> None:
        if self._plot is None:
            self._plot = slicer.qMRMLPlotView()
            self._plot.setMinimumHeight(HEIGHT)
            self._plot.setMRMLScene(slicer.mrmlScene)
            self._area.layout().addWidget(self._plot)
