"""What a script may hand over by mistake: each is one sentence, before anything is computed."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from medcontext.errors import InputError
from MedContextSegmentLib.Run.Redo import RedoRequest
from MedContextSegmentLib.Scene.SegmentationTarget import outputProblem

ROI_CLASS, SEGMENTATION_CLASS = "vtkMRMLMarkupsROINode", "vtkMRMLSegmentationNode"


def checkNodes(volumes: Any, model: Any, segmentation: Any, roi: Any, insideSegment: Any, redo: Any) -> None:
    """Whether each attribute of a request is of the kind that it must be, and in the scene.

    Args:
        volumes: must be nodes; what kind of volume is needed depends on the model and is checked later. None is no
            volume.
        model: must be a text.
        segmentation: None, or a segmentation that can take label maps.
        roi: None or an ROI.
        insideSegment: None, or a segmentation and the id of one of its segments.
        redo: None or a :class:`Redo.RedoRequest`.

    Raises:
        InputError: one is not; the sentence says which.
    """
    if not isinstance(model, str):
        raise InputError(
            _("The model is given as {given}, not as a text.").format(given=_kindOf(model)),
            _("Give its id, such as 'hippocampus', or its folder."),
        )
    for volume in volumes:
        if volume is not None:
            _checkNode(volume, "vtkMRMLNode", _("a volume node"))
    if segmentation is not None:
        _checkNode(segmentation, SEGMENTATION_CLASS, _("a segmentation node to write into"))
        problem = outputProblem(segmentation)
        if problem:
            raise InputError(problem, _("Choose a new segmentation for the result."))
    if roi is not None:
        _checkNode(roi, ROI_CLASS, _("an ROI node"))
    if insideSegment is not None:
        _checkSegment(insideSegment)
    if redo is not None:
        _checkRedo(redo)


def _checkRedo(redo: Any) -> None:
    # By name: a script may hold the class as it was before the module was reloaded.
    if type(redo).__name__ != RedoRequest.__name__:
        raise InputError(
            _("What to do again is given as {given}.").format(given=_kindOf(redo)),
            _("Give a RedoRequest, with its form and its region."),
        )
    if redo.roi is not None:
        _checkNode(redo.roi, ROI_CLASS, _("an ROI node"))
    if redo.segment is not None:
        _checkSegment(redo.segment)


def _checkSegment(given: Any) -> None:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise InputError(
            _("A segment is given as {given}.").format(given=_kindOf(given)),
            _("Give the segmentation node and the id of the segment, as a pair."),
        )
    segmentation, segmentId = given
    _checkNode(segmentation, SEGMENTATION_CLASS, _("a segmentation node with the segment"))
    if not isinstance(segmentId, str) or segmentation.GetSegmentation().GetSegment(segmentId) is None:
        raise InputError(
            _("The segmentation '{name}' has no segment with the id '{segment}'.").format(
                name=segmentation.GetName(), segment=segmentId
            ),
            _("Select another segment."),
        )


def _checkNode(given: Any, className: str, wanted: str) -> None:
    if not isinstance(given, slicer.vtkMRMLNode) or not given.IsA(className):
        raise InputError(
            _("{wanted} is needed, {given} was given.").format(
                wanted=wanted[:1].upper() + wanted[1:], given=_kindOf(given)
            ),
            _("Give a node of the scene, such as what slicer.util.getNode() returns."),
        )
    if given.GetScene() is None:
        raise InputError(
            _("'{name}' is not in the scene.").format(name=given.GetName()),
            _("Add it to the scene, or choose another one."),
        )


def _kindOf(given: Any) -> str:
    """What something is, for a sentence."""
    if isinstance(given, slicer.vtkMRMLNode):
        return f"{given.GetClassName()} '{given.GetName()}'"
    return (
        f"{type(given).__name__} {given!r}" if isinstance(given, str | int | float) else type(given).__name__
    )
