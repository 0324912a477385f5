"""How large each segment is, in mL; measured only where somebody looks."""

from __future__ import annotations

from typing import Any

import qt
import slicer

from MedContextSegmentLib.Panel.QtHelpers import quiet
from MedContextSegmentLib.Scene.Statistics import segmentVolumes

VISIBLE_ROWS = 8
WAIT_MS = 1000
"""After the last change, so that nobody waits between two strokes of a brush."""


class VolumesTable:
    """The table in the section *Volumes*.

    Args:
        ui: widgets ``volumesSection`` and ``volumesTable``.
        observer: a VTKObservationMixin, whose observers are removed when the panel goes away.
    """

    def __init__(self, ui: Any, observer: Any) -> None:
        self._ui, self._observer = ui, observer
        self._node: Any = None
        self._segmentation: Any = None
        header = ui.volumesTable.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        header.setSectionResizeMode(1, qt.QHeaderView.ResizeToContents)
        ui.volumesTable.verticalHeader().setVisible(False)
        ui.volumesSection.connect("contentsCollapsed(bool)", self._toggled)
        self._soon = qt.QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(WAIT_MS)
        self._soon.connect("timeout()", self.measure)

    def show(self, segmentationNode: Any) -> None:
        """Show the segments of another segmentation; None for none."""
        segmentation = segmentationNode.GetSegmentation() if segmentationNode is not None else None
        if segmentationNode is self._node and segmentation is self._segmentation:
            return
        for event in _events():
            if self._segmentation is not None:
                self._observer.removeObserver(self._segmentation, event, self._modified)
            if segmentation is not None:
                self._observer.addObserver(segmentation, event, self._modified)
        self._node, self._segmentation = segmentationNode, segmentation
        self.measure()

    def measure(self) -> None:
        """Measure now, where the table can be seen."""
        self._soon.stop()
        if self._ui.volumesSection.collapsed:
            return
        table, node = self._ui.volumesTable, self._node
        volumes = segmentVolumes(node) if node is not None and node.GetScene() is not None else {}
        with quiet(table):
            table.setRowCount(len(volumes))
            for row, (segmentId, volume) in enumerate(volumes.items()):
                name = qt.QTableWidgetItem(node.GetSegmentation().GetSegment(segmentId).GetName())
                number = qt.QTableWidgetItem(f"{volume:.2f}")
                number.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                table.setItem(row, 0, name)
                table.setItem(row, 1, number)
        rows = min(VISIBLE_ROWS, max(1, len(volumes)))
        height = table.horizontalHeader().height + rows * table.verticalHeader().defaultSectionSize
        table.setFixedHeight(height + 2 * table.frameWidth)

    def stop(self) -> None:
        """Measure nothing more."""
        self._soon.stop()

    def _toggled(self, collapsed: bool) -> None:
        if not collapsed:
            self.measure()

    def _modified(self, _caller: Any, _event: Any) -> None:
        if not self._ui.volumesSection.collapsed:
            self._soon.start()


def _events() -> tuple[int, ...]:
    kind = slicer.vtkSegmentation
    return (kind.SourceRepresentationModified, kind.SegmentModified, kind.SegmentAdded, kind.SegmentRemoved)
