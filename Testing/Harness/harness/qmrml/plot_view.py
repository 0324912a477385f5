"""qMRMLPlotView: draws the chart of its view node; in Slicer VTK does, here QPainter, with the same nodes."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from harness.qmrml.observing import Observations

LEFT, RIGHT, TOP, BOTTOM = 40, 8, 8, 34
TICKS = 5


class qMRMLPlotView(QtWidgets.QWidget):
    """Follows the view node, its chart, and through it the series and tables."""

    SIGNALS: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}
    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._node: Any = None
        self._ofNode, self._ofChart = Observations(), Observations()

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        self._scene = scene
        if self._node is not None and self._node.GetScene() is not scene:
            self.setMRMLPlotViewNode(None)
        self._follow(None)
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLPlotViewNode(self, node: Any) -> None:
        if node is self._node:
            return
        self._node = node
        self._ofNode.clear()
        for event in ("ModifiedEvent", slicer.vtkMRMLPlotViewNode.PlotChartNodeChangedEvent):
            self._ofNode.add(node, event, self._follow)
        self._follow(node)

    def mrmlPlotViewNode(self) -> Any:
        return self._node

    def fitToContent(self) -> None:
        self.update()

    def paintEvent(self, _event: Any) -> None:
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect, QtGui.QColor(255, 253, 246))
        chart = self._chart()
        if chart is not None:
            font = QtGui.QFont(self.font)
            font.setPixelSize(10)
            painter.setFont(font)
            self._draw(painter, chart)
        painter.end()

    def _chart(self) -> Any:
        if self._scene is None or self._node is None or self._node.GetPlotChartNodeID() is None:
            return None
        return self._scene.GetNodeByID(self._node.GetPlotChartNodeID())

    def _follow(self, _node: Any) -> None:
        self._ofChart.clear()
        self._ofChart.add(self._chart(), "ModifiedEvent", self._changed)
        self.update()

    def _changed(self, _chart: Any) -> None:
        self.update()

    def _draw(self, painter: Any, chart: Any) -> None:
        area = QtCore.QRectF(LEFT, TOP, self.width - LEFT - RIGHT, self.height - TOP - BOTTOM)
        lines = [
            (node, _points(node))
            for node in map(chart.GetNthPlotSeriesNode, range(chart.GetNumberOfPlotSeriesNodes()))
        ]
        all_points = [point for _node, points in lines for point in points]
        x = _range(chart.GetXAxisRangeAuto(), chart.GetXAxisRange(), [point[0] for point in all_points])
        y = _range(chart.GetYAxisRangeAuto(), chart.GetYAxisRange(), [point[1] for point in all_points])
        _draw_axes(painter, area, x, y, chart.GetXAxisTitle() if chart.GetXAxisTitleVisibility() else "")
        painter.save()
        painter.setClipRect(area)
        for node, points in lines:
            _draw_line(painter, area, x, y, node, points)
        painter.restore()
        if chart.GetLegendVisibility():
            _draw_legend(painter, area, [node for node, points in lines if points])


def _points(node: Any) -> list[tuple[float, float]]:
    """The rows of a series; a missing value is a NaN."""
    table = node.GetTableNode().GetTable() if node.GetTableNode() else None
    x = table.GetColumnByName(node.GetXColumnName()) if table else None
    y = table.GetColumnByName(node.GetYColumnName()) if table else None
    if x is None or y is None:
        return []
    return [(x.GetValue(row), y.GetValue(row)) for row in range(table.GetNumberOfRows())]


def _range(auto: bool, limits: tuple[float, float], values: list[float]) -> tuple[float, float]:
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if auto and finite else limits
    return low, high if high > low else low + 1


def _draw_axes(
    painter: Any, area: Any, x: tuple[float, float], y: tuple[float, float], title: str | None
) -> None:
    painter.setPen(QtGui.QColor(60, 60, 60))
    painter.drawRect(area)
    for tick in range(TICKS):
        share = tick / (TICKS - 1)
        left, down = area.left() + share * area.width(), area.bottom() - share * area.height()
        center = QtCore.Qt.AlignmentFlag.AlignHCenter | QtCore.Qt.AlignmentFlag.AlignTop
        at_bottom = QtCore.QRectF(left - 30, area.bottom() + 3, 60, 14)
        painter.drawText(at_bottom, center, f"{x[0] + share * (x[1] - x[0]):.4g}")
        right = QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignVCenter
        painter.drawText(
            QtCore.QRectF(0, down - 7, LEFT - 4, 14), right, f"{y[0] + share * (y[1] - y[0]):.3g}"
        )
    below = QtCore.QRectF(area.left(), area.bottom() + 17, area.width(), 14)
    painter.drawText(below, QtCore.Qt.AlignmentFlag.AlignCenter, title or "")


def _draw_line(
    painter: Any,
    area: Any,
    x: tuple[float, float],
    y: tuple[float, float],
    node: Any,
    points: list[tuple[float, float]],
) -> None:
    painter.setPen(_pen(node))
    half = node.GetMarkerSize() / 2
    marked = node.GetMarkerStyle() != slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone
    piece: list[
        Any
    ] = []  # between missing values; in one go, or the breaks of a broken line would begin anew
    for step, value in [*points, (math.nan, math.nan)]:
        if math.isfinite(step) and math.isfinite(value):
            place = QtCore.QPointF(
                area.left() + (step - x[0]) / (x[1] - x[0]) * area.width(),
                area.bottom() - (value - y[0]) / (y[1] - y[0]) * area.height(),
            )
            piece.append(place)
            if marked:
                painter.drawEllipse(place, half, half)
        else:
            painter.drawPolyline(piece)
            piece = []


def _pen(node: Any) -> Any:
    pen = QtGui.QPen(QtGui.QColor.fromRgbF(*node.GetColor()))
    pen.setWidthF(node.GetLineWidth())
    if node.GetLineStyle() == slicer.vtkMRMLPlotSeriesNode.LineStyleDash:
        pen.setDashPattern([3, 2])
    return pen


def _draw_legend(painter: Any, area: Any, nodes: list[Any]) -> None:
    for row, node in enumerate(nodes):
        top = area.top() + 4 + 13 * row
        painter.setPen(_pen(node))
        painter.drawLine(
            QtCore.QPointF(area.right() - 16, top + 6), QtCore.QPointF(area.right() - 2, top + 6)
        )
        painter.setPen(QtGui.QColor(60, 60, 60))
        flags = QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignVCenter
        place = QtCore.QRectF(area.left(), top, area.width() - 18, 13)
        painter.drawText(place, flags, node.GetName())
