"""What a scene remembers of the panel. What belongs to the machine is in Settings."""

from __future__ import annotations

from typing import Annotated, Any

from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper

WHOLE, ROI, SEGMENT = "whole", "roi", "segment"


@parameterNodeWrapper
class MedContextSegmentParameters:
    """Choices made in the panel.

    Attributes:
        model: ``id@version`` of the chosen model; the first usable one when empty.
        channels: volume of each input channel, None where none is chosen.
        allFrames: whether all frames of a sequence are segmented.
        region: "whole", "roi" or "segment": what to stay inside.
        roi: the ROI to stay inside.
        insideSegmentation: holds the segment to stay inside.
        insideSegmentId: the segment to stay inside.
        unwanted: names of labels that are not to be produced.
        segmentation: what is written into and reviewed; a new one when None.
        redoSource: "roi" or "segment": what says where to do it again.
        redoRoi: the ROI to do again.
        redoMargin: how far around the selected segment to do it again, in mm.
        redoForm: in which way.
        redoModel: ``id@version`` of the other model that does it.
    """

    model: str
    channels: list[vtkMRMLScalarVolumeNode]
    allFrames: bool
    region: Annotated[str, Default(WHOLE)]
    roi: vtkMRMLMarkupsROINode
    insideSegmentation: vtkMRMLSegmentationNode
    insideSegmentId: str
    unwanted: list[str]
    segmentation: vtkMRMLSegmentationNode
    redoSource: Annotated[str, Default(ROI)]
    redoRoi: vtkMRMLMarkupsROINode
    redoMargin: Annotated[float, WithinRange(0, 100), Default(5.0)]
    redoForm: str
    redoModel: str


def parametersOf(parameterNode: Any) -> Any:
    """The choices that a parameter node keeps: a :class:`MedContextSegmentParameters`, with what Slicer adds to it."""
    wrapper: Any = MedContextSegmentParameters
    return wrapper(parameterNode)
