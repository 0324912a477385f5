"""The curve of a training: points that stay few, and plot nodes that are kept up to date in place."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer")

NODES = ("vtkMRMLPlotChartNode", "vtkMRMLPlotViewNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode")


@pytest.fixture
def curve(scene: Any) -> Iterator[Any]:  # noqa: ARG001
    from MedContextSegmentLib.Learn.Curve import LearningCurve

    curve = LearningCurve()
    yield curve
    curve.remove()


def points(smoothed: bool = True, **options: Any) -> Any:
    from MedContextSegmentLib.Learn.CurvePoints import CurvePoints

    return CurvePoints(smoothed, **options)


def show(curve: Any, losses: Any, scores: Any, colors: dict[str, Any] | None = None) -> None:
    from MedContextSegmentLib.Learn.Curve import Look

    curve.update(losses, scores, Look("Dice: {name}", colors=colors or {}))


def table(curve: Any, line: int) -> list[tuple[float, float]]:
    """The rows of a line, as the plot view reads them."""
    series = curve.chart.GetNthPlotSeriesNode(line)
    data = series.GetTableNode().GetTable()
    x, y = data.GetColumnByName(series.GetXColumnName()), data.GetColumnByName(series.GetYColumnName())
    return [(x.GetValue(row), y.GetValue(row)) for row in range(data.GetNumberOfRows())]


def test_points_stay_few_and_end_at_the_present() -> None:
    losses = points(limit=100)
    for step in range(20_000):
        losses.add(step, {"a": 1.0})
        assert losses.rows[-1][0] == step
    assert len(losses.rows) <= 101
    steps = [step for step, _row in losses.rows]
    assert steps == sorted(set(steps))
    assert steps[0] == 0
    gaps = {after - before for before, after in itertools.pairwise(steps[:-1])}
    assert len(gaps) == 1  # evenly thinned, the last one shows the present


def test_losses_are_smoothed_and_scores_are_not() -> None:
    losses, scores = points(), points(smoothed=False)
    for step in range(2000):
        value = 1.0 + (step % 2)
        losses.add(step, {"a": value})
        scores.add(step, {"a": value})
    late = [value for _step, value in losses.values("a")[1000:]]
    assert max(late) - min(late) < 0.1
    assert abs(late[-1] - 1.5) < 0.1
    assert {value for _step, value in scores.values("a")} == {1.0, 2.0}


def test_a_step_that_comes_again_takes_back_what_followed() -> None:
    losses = points()
    for step in range(100):
        losses.add(step, {"a": 1.0})
    losses.takeChanges()
    for step in range(60, 70):
        losses.add(step, {"a": 2.0})
    assert [step for step, _row in losses.rows] == list(range(70))
    assert losses.takeChanges() == 60
    losses.add(0, {"a": 5.0})
    assert losses.values("a") == [(0.0, 5.0)]


def test_what_is_no_number_is_left_out() -> None:
    losses = points()
    losses.add(1, {"a": None, "b": math.nan})
    assert losses.empty
    losses.add(2, {"a": 1, "b": math.inf, "c": "x"})  # type: ignore[dict-item]
    assert losses.names == ["a"]
    losses.add(3, {"late": 4})
    assert losses.values("a") == [(2.0, 1.0)]
    assert losses.values("late") == [(3.0, 4.0)]


def test_rows_are_added_in_place_and_the_view_hears_of_it_once(curve: Any) -> None:
    losses, scores = points(), points(smoothed=False)
    for step in range(10):
        losses.add(step, {"a": 1.0, "b": 2.0})
    scores.add(9, {"Anterior": 0.5})
    show(curve, losses, scores)
    chart, lines = curve.chart, [curve.chart.GetNthPlotSeriesNode(index) for index in range(3)]
    first = lines[0].GetTableNode().GetTable().GetColumn(0)
    heard: list[int] = []
    chart.AddObserver("ModifiedEvent", lambda *_: heard.append(1))
    losses.add(10, {"a": 3.0, "b": 4.0})
    scores.add(10, {"Anterior": 0.6})
    show(curve, losses, scores)
    assert len(heard) == 1
    assert lines[0].GetTableNode().GetTable().GetColumn(0) is first
    assert [curve.chart.GetNthPlotSeriesNode(index) for index in range(3)] == lines
    assert table(curve, 1)[-1] == (10.0, 4.0)
    assert table(curve, 2) == [(9.0, 0.5), (10.0, 0.6)]
    show(curve, losses, scores)
    assert len(heard) == 1  # nothing new: nothing to draw


def test_ten_thousand_points_are_not_written_again_each_time(curve: Any) -> None:
    losses, scores = points(limit=20_000), points(smoothed=False)
    for step in range(10_000):
        losses.add(step, {"a": 1.0})
    show(curve, losses, scores)
    column = curve.chart.GetNthPlotSeriesNode(0).GetTableNode().GetTable().GetColumn(1)
    column.SetValue(0, 77.0)
    losses.add(10_000, {"a": 1.0})
    show(curve, losses, scores)
    assert column.GetNumberOfValues() == 10_001
    assert column.GetValue(0) == 77.0


def test_a_term_that_comes_later_joins(curve: Any) -> None:
    losses, scores = points(), points(smoothed=False)
    losses.add(0, {"a": 1.0})
    show(curve, losses, scores)
    losses.add(1, {"a": 1.0, "late": 2.0})
    show(curve, losses, scores)
    assert curve.chart.GetNumberOfPlotSeriesNodes() == 2
    (before, now) = table(curve, 1)
    assert math.isnan(before[1])
    assert now == (1.0, 2.0)


def test_labels_have_their_colours(curve: Any) -> None:
    losses, scores = points(), points(smoothed=False)
    scores.add(0, {"Anterior": 0.5})
    show(curve, losses, scores, {"Anterior": (255, 0, 51)})
    assert curve.chart.GetNthPlotSeriesNode(0).GetColor() == pytest.approx((1.0, 0.0, 0.2))
    assert curve.chart.GetNthPlotSeriesNode(0).GetName() == "Dice: Anterior"


def test_what_must_be_beaten_is_a_broken_line_beside_it(curve: Any) -> None:
    from MedContextSegmentLib.Learn.Signals import signalLook

    losses, scores = points(), points(smoothed=False)
    for step in (10, 20):
        scores.add(step, {"position_accuracy": 0.2 + step / 100, "chance": 1 / 9})
    curve.update(losses, scores, signalLook())
    found, chance = (curve.chart.GetNthPlotSeriesNode(index) for index in range(2))
    assert (found.GetName(), chance.GetName()) == ("Position found", "by chance")
    kinds = slicer.vtkMRMLPlotSeriesNode
    assert (found.GetLineStyle(), chance.GetLineStyle()) == (kinds.LineStyleSolid, kinds.LineStyleDash)
    assert found.GetColor() == chance.GetColor()
    assert table(curve, 1) == [(10.0, 1 / 9), (20.0, 1 / 9)]
    for step in range(30, 100):
        scores.add(step, {"reconstruction_error": 1.5})
    curve.update(losses, scores, signalLook())
    assert curve.chart.GetYAxisRange()[1] > 1.5  # a signal may be above 1, other than Dice


def test_the_steep_beginning_does_not_flatten_the_rest(curve: Any) -> None:
    losses, scores = points(), points(smoothed=False)
    for step in range(100):
        losses.add(step, {"a": 50.0 if step < 5 else 0.3})
    show(curve, losses, scores)
    assert curve.chart.GetYAxisRange()[1] < 50
    assert curve.chart.GetXAxisRange() == (0.0, 99.0)
    curve.chart.SetYAxisRange(0, 0.1)  # a person zooms
    losses.add(100, {"a": 0.3})
    show(curve, losses, scores)
    assert curve.chart.GetYAxisRange() == (0.0, 0.1)
    another = points()
    another.add(1, {"a": 0.3})
    show(curve, another, scores)
    assert curve.chart.GetYAxisRange()[1] >= 1


def test_another_training_takes_the_place_of_the_first(curve: Any) -> None:
    losses, scores = points(), points(smoothed=False)
    losses.add(0, {"a": 1.0, "b": 1.0})
    scores.add(0, {"Anterior": 0.5})
    show(curve, losses, scores)
    other = points()
    other.add(7, {"c": 3.0})
    show(curve, other, points(smoothed=False))
    assert curve.chart.GetNumberOfPlotSeriesNodes() == 1
    assert table(curve, 0) == [(7.0, 3.0)]
    assert len(slicer.util.getNodesByClass("vtkMRMLPlotChartNode")) == 1


def test_nothing_of_it_is_offered_or_saved(curve: Any, tmp_path: Path) -> None:
    losses, scores = points(), points(smoothed=False)
    losses.add(0, {"a": 1.0})
    scores.add(0, {"Anterior": 0.5})
    show(curve, losses, scores)
    nodes = [node for kind in NODES for node in slicer.util.getNodesByClass(kind)]
    assert len(nodes) == 6
    assert all(node.GetHideFromEditors() and not node.GetSaveWithScene() for node in nodes)
    path = tmp_path / "scene.mrml"
    assert slicer.util.saveScene(str(path))
    assert "MedContext learning curve" not in path.read_text(encoding="utf-8")
    # A view that belongs to the layout would make Slicer's layout manager build a widget for it.
    assert curve.view.GetParentLayoutNode() is curve.chart


def test_it_is_drawn_again_after_the_scene_was_closed(curve: Any) -> None:
    losses, scores = points(), points(smoothed=False)
    losses.add(0, {"a": 1.0})
    show(curve, losses, scores)
    slicer.mrmlScene.Clear(0)
    assert not curve.whole
    show(curve, losses, scores)
    assert curve.whole
    assert table(curve, 0) == [(0.0, 1.0)]
    curve.remove()
    assert [len(slicer.util.getNodesByClass(kind)) for kind in NODES] == [0, 0, 0, 0]
