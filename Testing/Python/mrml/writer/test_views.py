"""Slice and 3D views follow a result that is written in place, as no observer is told more than Slicer tells it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

SHAPE = (20, 20, 20)


def red(view: Any) -> np.ndarray:
    """Where the picture is red."""
    picture = view.grab().astype(int)
    return picture[..., 0] > picture[..., 2] + 60


def cube(start: int) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:16, 6:14, start : start + 6] = 1
    return labels


@pytest.mark.parametrize("region", [False, True], ids=["one layer", "by segment"])
def test_slice_view_follows(tools: Any, region: bool) -> None:
    from harness.views import SliceView

    volume = tools.scan(np.diag([1.0, 1, 1]), SHAPE)
    snapshot = tools.read(volume)
    node = tools.new(snapshot, "result")
    mask = np.ones(SHAPE, bool) if region else None
    tools.Writer().write(tools.result(cube(2), {1: "liver"}), snapshot, node, region=mask)
    view = SliceView("Red", "Axial", (200, 200))
    view.show(volume)
    before = red(view)
    tools.Writer().write(tools.result(cube(12), {1: "liver"}), snapshot, node, region=mask)
    after = red(view)
    assert before.sum() > 1000
    assert after.sum() == pytest.approx(before.sum(), rel=0.1)
    assert (before & after).sum() < 0.05 * before.sum()


def test_surfaces_in_the_3d_view_follow(tools: Any) -> None:
    from harness.views import ThreeDView

    volume = tools.scan(np.diag([1.0, 1, 1]), SHAPE)
    snapshot = tools.read(volume)
    node = tools.new(snapshot, "result")
    tools.Writer().write(tools.result(cube(2), {1: "liver"}), snapshot, node)
    node.CreateClosedSurfaceRepresentation()
    view = ThreeDView((200, 200))
    view.look()
    before = red(view)
    tools.Writer().write(tools.result(cube(12), {1: "liver"}), snapshot, node)
    after = red(view)
    assert before.sum() > 1000
    assert after.sum() > 500
    assert (before & after).sum() < 0.5 * before.sum()
