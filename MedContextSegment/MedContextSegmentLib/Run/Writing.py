"""The last part of a run: the result becomes segments. It can be taken back until it is complete."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from medcontext.errors import InputError
from MedContextSegmentLib.Run.Remembering import remembering
from MedContextSegmentLib.Run.RunInputs import RunInputs, SegmentRequest
from MedContextSegmentLib.Run.RunListener import RunListener
from MedContextSegmentLib.Scene.Certainty import CERTAINTY_REFERENCE, forgetCertainty, showCertainty
from MedContextSegmentLib.Scene.SegmentationWriter import SegmentationWriter, newSegmentation
from MedContextSegmentLib.Scene.VolumeReader import VolumeSnapshot
from MedContextSegmentLib.Worker.Results import SegmentationResult


class Writing:
    """Writes one result.

    Args:
        editorNode: the segment editor's parameter node, whose masks are obeyed; None without an editor.
        saveStateForUndo: lets the editor remember what there was before.
    """

    def __init__(self, editorNode: Any = None, saveStateForUndo: Callable[[], None] | None = None) -> None:
        self._editorNode, self._saveStateForUndo = editorNode, saveStateForUndo
        self._node: Any = None
        self._certaintyNode: Any = None
        self._earlier: Earlier | None = None

    def steps(
        self,
        request: SegmentRequest,
        inputs: RunInputs,
        result: SegmentationResult,
        listener: RunListener,
    ) -> Iterator[float]:
        """Write piece by piece; yields the share that is done after each.

        Raises:
            InputError: the segmentation to correct is gone.
        """
        snapshot = inputs.snapshots[0]
        for changed in (shot.name for shot in inputs.snapshots if not shot.isCurrent()):
            text = _("'{name}' was changed during the run: the result is of the image as it was before.")
            listener.warning(text.format(name=changed))
        self._node = self._target(request, snapshot, listener)
        yield 0.0
        writer = SegmentationWriter(self._editorNode, self._saveStateForUndo, _settings(request, inputs))
        region = inputs.mask if request.redo is not None else None
        yield from writer.steps(result, snapshot, self._node, region=region)
        if not any(label.voxels for label in result.labels):
            listener.warning(_("No structure was found in this image."))
        for note in writer.notes:
            listener.message(note)
        yield from remembering(self._node, request, inputs, result, writer)
        yield 1.0
        # Last, in one go: from here on nothing is taken back.
        self._showCertainty(result, snapshot, region, listener)

    def written(self) -> tuple[Any, Any]:
        """The segmentation node and the certainty overlay (or None)."""
        return self._node, self._certaintyNode

    def sceneCloses(self) -> None:
        """There will be nothing to take back."""
        self._node = self._earlier = None

    def takeBack(self) -> None:
        """Leave the segmentation as it was before: an earlier one restored, a new one removed."""
        node, self._node = self._node, None
        if node is None or node.GetScene() is None:
            return
        if self._earlier is not None:
            self._earlier.restore()
        else:
            slicer.mrmlScene.RemoveNode(node)

    def _showCertainty(
        self,
        result: SegmentationResult,
        snapshot: VolumeSnapshot,
        region: np.ndarray | None,
        listener: RunListener,
    ) -> None:
        """Show what came with the result, and nothing of an earlier one; a map that fails costs no segmentation."""
        existing = self._node.GetNodeReference(CERTAINTY_REFERENCE)
        try:
            if result.certainty is None:
                forgetCertainty(self._node, region)
                return
            overlay = showCertainty(result, snapshot, existing, region)
            self._node.SetNodeReferenceID(CERTAINTY_REFERENCE, overlay.GetID())
            self._certaintyNode = overlay
        except Exception as error:
            logging.getLogger(__name__).exception("The certainty map failed")
            if existing is not None:  # it is of an earlier result
                slicer.mrmlScene.RemoveNode(existing)
            text = _("The certainty map could not be shown ({problem}); the segmentation is complete.")
            listener.warning(text.format(problem=error))

    def _target(self, request: SegmentRequest, snapshot: VolumeSnapshot, listener: RunListener) -> Any:
        node = request.segmentation
        if node is not None and node.GetScene() is not None:
            self._earlier = Earlier(node)
            return node
        if request.redo is not None:
            raise InputError(_("The segmentation to correct was deleted during the run: there is no result."))
        if node is not None:
            text = _("The segmentation '{name}' was deleted during the run: the result is a new one.")
            listener.warning(text.format(name=node.GetName()))
        return newSegmentation(snapshot, _("{volume} segmentation").format(volume=snapshot.name))


def _settings(request: SegmentRequest, inputs: RunInputs) -> dict[str, Any]:
    """What the person chose, for the provenance."""
    settings: dict[str, Any] = {
        "volumes": [snapshot.name for snapshot in inputs.snapshots],
        "certainty": request.certainty,
        "low_memory": request.lowMemory,
    }
    if inputs.box is not None:
        settings["box"] = inputs.box
    if request.redo is not None:
        settings["redo"] = request.redo.form
    return settings


class Earlier:
    """What a segmentation node was before; Slicer's own undo history does the copying.

    Args:
        node: a ``vtkMRMLSegmentationNode``.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._attributes = {name: node.GetAttribute(name) for name in node.GetAttributeNames()}
        self._history = slicer.vtkSegmentationHistory()
        self._history.SetSegmentation(node.GetSegmentation())
        self._history.SaveState()

    def restore(self) -> None:
        """Make the node again what it was."""
        self._history.RestorePreviousState()
        for name in self._node.GetAttributeNames():
            if name not in self._attributes:
                self._node.RemoveAttribute(name)
        for name, value in self._attributes.items():
            self._node.SetAttribute(name, value)
