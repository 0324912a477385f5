"""What the panel does when memory runs out: the low-memory plan is offered, seen, and goes on with what is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

slicer = pytest.importorskip("slicer")


@pytest.fixture
def panel(working_panel: Any) -> Any:
    return working_panel


class OutOfMemory:
    """A run that ends because memory ran out."""

    def __init__(self, request: Any, listener: Any) -> None:
        from medcontext.errors import ResourceError

        self.state, self.request, self._listener = "computing", request, listener
        self.segmentationNode = self.certaintyNode = self.result = None
        self.error = ResourceError("The graphics card is out of memory.")

    def poll(self) -> bool:
        self.state = "failed"
        self._listener.ended(self)
        return False

    def cancel(self) -> None:
        """It ends anyway."""


def failAt(panel: Any, number: int) -> list[Any]:
    """Let memory run out in the run of that number, from 0; gives the requests of all runs."""
    requests: list[Any] = []
    start: Callable[..., Any] = panel.logic.start

    def begin(request: Any, listener: Any, *rest: Any) -> Any:
        requests.append(request)
        failed = len(requests) - 1 == number
        return OutOfMemory(request, listener) if failed else start(request, listener, *rest)

    panel.logic.start = begin
    return requests


@pytest.mark.usefixtures("sample")
def test_the_plan_taken_when_memory_ran_out_is_shown_and_stays(panel: Any) -> None:
    from harness.panel import output, runToEnd

    requests = failAt(panel, 0)
    runToEnd(panel)
    assert [request.lowMemory for request in requests] == [False, True]
    assert output(panel) is not None
    assert panel.ui.lowMemoryCheckBox.checked
    panel.ui.certaintySelector.setCurrentIndex(1)
    assert panel.settings.lowMemory


def test_frames_go_on_in_the_same_segmentation_after_memory_ran_out(panel: Any, sample: Any) -> None:
    from harness.panel import output, runToEnd, segmentArrays, sequenceOf, settle
    from MedContextSegmentLib.Scene.Sequences import frameCount

    proxy = sequenceOf(sample, 2)
    settle()
    panel.segmentPanel.channels.selectors[0].setCurrentNode(proxy)
    panel.ui.allFramesCheckBox.checked = True
    requests = failAt(panel, 1)
    runToEnd(panel)
    assert requests[-1].lowMemory
    nodes = [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        if not node.GetHideFromEditors()
    ]
    assert nodes == [output(panel)]
    assert frameCount(output(panel)) == 2
    assert any(array.any() for array in segmentArrays(output(panel), sample).values())
