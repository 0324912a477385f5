"""The curve of a training as nodes for Slicer's plot view: loss terms, and what tells whether it learns. No Qt."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from MedContextSegmentLib.Learn.CurvePoints import CurvePoints

Color = tuple[int, int, int]

STEP = "Step"
"""Name of the column along the horizontal axis; the others have a colon in their names."""

LOSS_COLORS: tuple[Color, ...] = (
    (90, 90, 90),
    (31, 119, 180),
    (255, 127, 14),
    (148, 103, 189),
    (140, 86, 75),
)
SCORE_COLORS: tuple[Color, ...] = (
    (44, 160, 44),
    (214, 39, 40),
    (23, 190, 207),
    (188, 189, 34),
    (227, 119, 194),
)

SETTLED_SHARE = 0.2
"""The vertical axis shows all values after this part of the steps, and 0 to 1 in full; the steep beginning may go over
the top, or nothing else could be read."""


@dataclass(frozen=True)
class Look:
    """How lines are called and drawn.

    Attributes:
        title: what a line is called, with ``{name}``, unless ``titles`` says it.
        titles: what lines are called, by their names.
        colors: of lines, by their names; others are chosen for those that are not in it.
        references: names of the lines that others are to be compared with: broken ones.
    """

    title: str = "{name}"
    titles: Mapping[str, str] = field(default_factory=dict)
    colors: Mapping[str, Color] = field(default_factory=dict)
    references: Collection[str] = ()

    def titleOf(self, name: str) -> str:
        """What a line is called."""
        return self.titles.get(name) or self.title.format(name=name)


class LearningCurve:
    """One chart, however many trainings are shown in it one after the other.

    Its nodes are hidden, are not saved with the scene, and are made again after the scene was closed.
    """

    def __init__(self) -> None:
        self._losses = _Lines("loss", LOSS_COLORS, marked=False)
        self._scores = _Lines("score", SCORE_COLORS, marked=True)
        self.chart: Any = None
        self.view: Any = None
        self._shown: tuple[float, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether its nodes are in the scene."""
        return all(node is not None and node.GetScene() is not None for node in (self.chart, self.view))

    def update(self, losses: CurvePoints, scores: CurvePoints, look: Look) -> None:
        """Bring the nodes up to date: rows are added, the table is not made anew.

        Args:
            losses: the loss terms.
            scores: what tells whether it learns, such as the Dice of each label.
            look: how the scores are called and drawn.
        """
        self._makeNodes()
        if self._losses.source is not losses:
            self._shown = ()
        before = self.chart.StartModify()
        try:
            self._losses.update(losses, self.chart, Look(_("Loss: {name}")))
            self._scores.update(scores, self.chart, look)
            self._fit(losses, scores)
        finally:
            self.chart.EndModify(before)

    def remove(self) -> None:
        """Take the nodes out of the scene."""
        nodes = [self.view, *self._losses.nodes(), *self._scores.nodes(), self.chart]
        self._forget()
        for node in nodes:
            if node is not None and node.GetScene() is not None:
                node.GetScene().RemoveNode(node)

    def _forget(self) -> None:
        self.chart = self.view = None
        self._shown = ()
        self._losses.forget()
        self._scores.forget()

    def _makeNodes(self) -> None:
        if self.whole:
            return
        self.remove()
        chart = self.chart = addHidden("vtkMRMLPlotChartNode", "MedContext learning curve")
        chart.SetTitleVisibility(False)
        chart.SetXAxisTitle(_("Step"))
        chart.SetYAxisTitleVisibility(False)
        chart.SetAxisTitleFontSize(11)
        chart.SetAxisLabelFontSize(10)
        chart.SetLegendFontSize(10)
        chart.SetEnablePointMoveAlongX(False)
        chart.SetEnablePointMoveAlongY(False)
        chart.SetXAxisRangeAuto(False)
        chart.SetYAxisRangeAuto(False)
        view = slicer.mrmlScene.CreateNodeByClass("vtkMRMLPlotViewNode")
        view.UnRegister(None)
        # A view that belongs to another node than the layout is left alone by the layout manager.
        view.SetAndObserveParentLayoutNodeID(chart.GetID())
        self.view = _add(view, "MedContext learning curve view")
        self.view.SetPlotChartNodeID(chart.GetID())

    def _fit(self, losses: CurvePoints, scores: CurvePoints) -> None:
        """Show all steps; the plot view by itself would not look again at the ends of lines that grow."""
        chart = self.chart
        shown = (*chart.GetXAxisRange(), *chart.GetYAxisRange())
        if self._shown and not np.allclose(shown, self._shown):
            return  # a person zoomed
        steps = [points.rows[-1][0] for points in (losses, scores) if points.rows]
        settled = [row for points in (losses, scores) for row in points.rows[_beginning(points) :]]
        values = [value for _step, row in settled for value in row if not math.isnan(value)]
        self._shown = (0.0, max([1.0, *steps]), 0.0, max([1.0, *(1.05 * value for value in values)]))
        chart.SetXAxisRange(*self._shown[:2])
        chart.SetYAxisRange(*self._shown[2:])


class _Lines:
    """The columns of one table, each a line of the chart."""

    def __init__(self, name: str, colors: tuple[Color, ...], marked: bool) -> None:
        self._name, self._colors, self._marked = name, colors, marked
        self._table: Any = None
        self._steps: Any = None
        self._columns: dict[str, tuple[Any, Any]] = {}  # name: the column and its series node
        self.source: CurvePoints | None = None

    def nodes(self) -> list[Any]:
        return [*(series for _column, series in self._columns.values()), self._table]

    def forget(self) -> None:
        self._table = self._steps = self.source = None
        self._columns = {}

    def update(self, points: CurvePoints, chart: Any, look: Look) -> None:
        first = points.takeChanges()
        if self._table is None or self._table.GetScene() is None:
            if points.empty:
                return
            self._makeTable()
        if points is not self.source:
            self.source, first = points, 0
        for name in [name for name in self._columns if name not in points.names]:
            self._removeColumn(name)
        for index, name in enumerate(points.names):
            if name not in self._columns:
                color = look.colors.get(name, self._colors[index % len(self._colors)])
                self._addColumn(name, chart, color, name in look.references)
            self._columns[name][1].SetName(look.titleOf(name))
        if first < len(points.rows) or self._steps.GetNumberOfTuples() != len(points.rows):
            self._write(points, first)

    def _makeTable(self) -> None:
        self.forget()
        self._table = addHidden("vtkMRMLTableNode", f"MedContext learning curve {self._name}")
        self._steps = _newColumn(STEP, 0)
        self._table.GetTable().AddColumn(self._steps)

    def _addColumn(self, name: str, chart: Any, color: Color, broken: bool) -> None:
        column = _newColumn(f"{self._name}: {name}", self._steps.GetNumberOfTuples())
        self._table.GetTable().AddColumn(column)
        series = addHidden("vtkMRMLPlotSeriesNode", name)
        series.SetAndObserveTableNodeID(self._table.GetID())
        series.SetXColumnName(STEP)
        series.SetYColumnName(column.GetName())
        kinds = slicer.vtkMRMLPlotSeriesNode
        series.SetPlotType(kinds.PlotTypeScatter)
        marked = self._marked and not broken
        series.SetMarkerStyle(kinds.MarkerStyleCircle if marked else kinds.MarkerStyleNone)
        series.SetLineStyle(kinds.LineStyleDash if broken else kinds.LineStyleSolid)
        series.SetMarkerSize(5)
        series.SetLineWidth(2)
        series.SetColor(*(part / 255 for part in color))
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
        self._columns[name] = (column, series)

    def _removeColumn(self, name: str) -> None:
        column, series = self._columns.pop(name)
        slicer.mrmlScene.RemoveNode(series)
        self._table.GetTable().RemoveColumnByName(column.GetName())

    def _write(self, points: CurvePoints, first: int) -> None:
        first = min(first, self._steps.GetNumberOfTuples())
        columns = [self._columns[name][0] for name in points.names]
        for array in (self._steps, *columns):
            array.SetNumberOfTuples(first)
        for step, row in points.rows[first:]:
            self._steps.InsertNextValue(step)
            for index, column in enumerate(columns):
                column.InsertNextValue(row[index] if index < len(row) else math.nan)
        for array in (self._steps, *columns):
            array.Modified()
        self._table.GetTable().Modified()


def _beginning(points: CurvePoints) -> int:
    """How many of the first rows need not be seen in full."""
    return int(SETTLED_SHARE * len(points.rows))


def _newColumn(name: str, rows: int) -> Any:
    column = vtk.vtkDoubleArray()
    column.SetName(name)
    column.SetNumberOfTuples(rows)
    column.Fill(math.nan)
    return column


def addHidden(className: str, name: str) -> Any:
    """A new node of the scene that no selector offers and no file keeps."""
    node = slicer.mrmlScene.CreateNodeByClass(className)
    node.UnRegister(None)
    return _add(node, name)


def _add(node: Any, name: str) -> Any:
    node.SetName(name)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    return slicer.mrmlScene.AddNode(node)
