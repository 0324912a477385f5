"""The module MedContextSegment of 3D Slicer: what Slicer loads. All else is in MedContextSegmentLib."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

from MedContextSegmentLib.Setup.PackagePath import addPackageToPath

addPackageToPath()  # before anything that imports the package

from MedContextSegmentLib.Panel.Widget import SegmentWidget  # noqa: E402
from MedContextSegmentLib.Run.Logic import MedContextSegmentLogic  # noqa: E402
from MedContextSegmentLib.Setup.SampleData import loadSample, registerSampleData  # noqa: E402

__all__ = [
    "MedContextSegment",
    "MedContextSegmentLogic",
    "MedContextSegmentTest",
    "MedContextSegmentWidget",
]


class MedContextSegment(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("MedContext Segment")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "SegmentEditor"]
        parent.contributors = ["The MedContext contributors"]
        parent.helpText = _(
            "Segments images with models that learn from few examples, and helps to review and correct the result: "
            "open a scan, choose a model, click Segment."
        )
        parent.acknowledgementText = _(
            "MedContext is free software (Apache License 2.0). Each model has a license of its own, which its "
            "tooltip names. Not for clinical use."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


class MedContextSegmentWidget(SegmentWidget):
    """The panel, see :class:`MedContextSegmentLib.Panel.Widget.SegmentWidget`."""


class MedContextSegmentTest(ScriptedLoadableModuleTest):
    """Segments the bundled sample with the bundled model inside the application."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def test_segmentSample(self) -> None:
        """A result agrees with the expert's segmentation."""
        self.delayDisplay(_("Segmenting the sample"))
        volume, expert = loadSample()
        logic = MedContextSegmentLogic()
        try:
            segmentation = logic.segment(volume, "hippocampus")
        finally:
            logic.close()
        for name in ("Anterior", "Posterior"):
            assert _dice(name, segmentation, expert, volume) > 0.8, name
        self.delayDisplay(_("Test passed"))


def _dice(name: str, one: Any, other: Any, volume: Any) -> float:
    """Overlap of the segments of that name, from 0 to 1."""
    masks = []
    for node in (one, other):
        segmentId = node.GetSegmentation().GetSegmentIdBySegmentName(name)
        masks.append(slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volume) > 0)
    return float(2 * (masks[0] & masks[1]).sum() / (masks[0].sum() + masks[1].sum()))
