"""The section Review: look at a result, see where it is unsure, correct it."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from medcontext.errors import MedContextError
from MedContextSegmentLib.Panel.EditorLink import EditorLink
from MedContextSegmentLib.Panel.QtHelpers import quiet, showText
from MedContextSegmentLib.Panel.VolumesTable import VolumesTable
from MedContextSegmentLib.Scene.Certainty import (
    CERTAINTY_REFERENCE,
    hideCertainty,
    isCertaintyShown,
    showOverlay,
)
from MedContextSegmentLib.Scene.LeastSure import goToLeastSureSlice


class ReviewPanel:
    """Shows one segmentation.

    Args:
        ui: the widgets of the .ui file.
        editor: the embedded segment editor.
        observer: a VTKObservationMixin, whose observers are removed when the panel goes away.
    """

    def __init__(self, ui: Any, editor: EditorLink, observer: Any) -> None:
        self._ui, self._editor = ui, editor
        self._segmentation: Any = None
        self._labelmap: tuple[Any, Any] | None = None
        self.volumes = VolumesTable(ui, observer)
        buttons = (ui.certaintyButton, ui.leastSureButton)
        self._toolTips = [(button, button.toolTip) for button in buttons]
        ui.certaintyButton.connect("toggled(bool)", self._showCertainty)
        ui.leastSureButton.connect("clicked()", self._goToLeastSure)
        self.show(None, None)

    @property
    def certaintyNode(self) -> Any:
        """The certainty overlay of the segmentation; None where there is none."""
        return (
            self._segmentation.GetNodeReference(CERTAINTY_REFERENCE)
            if self._segmentation is not None
            else None
        )

    def show(self, segmentationNode: Any, volumeNode: Any) -> None:
        """Review a segmentation over a volume; None for none."""
        self._segmentation = segmentationNode
        self._editor.show(segmentationNode, volumeNode)
        self.volumes.show(segmentationNode)
        self._ui.segmentEditorWidget.enabled = segmentationNode is not None
        self.update()

    def showResult(self, run: Any) -> None:
        """Show the certainty of a fresh result under review, and remember the way to the least sure slice."""
        overlay = run.certaintyNode
        self._labelmap = None if overlay is None else (overlay, run.result.labelmap)
        if overlay is not None:
            # The editor brought a volume that no view showed into view, and hid what lay over it.
            showOverlay(overlay)
            self.update()

    def update(self) -> None:
        """Show what the segmentation and the views hold now."""
        node = self.certaintyNode
        with quiet(self._ui.certaintyButton):
            self._ui.certaintyButton.checked = isCertaintyShown(node)
        why = _(
            "There is no certainty map. Choose how to make one under Advanced > Certainty before the run."
        )
        for button, toolTip in self._toolTips:
            button.enabled = node is not None
            button.toolTip = toolTip if node is not None else why
        if self._segmentation is None:
            text = _("Nothing to review: segment an image, or choose a segmentation as output above.")
        elif node is None:
            text = why
        else:
            text = ""
        showText(self._ui.reviewStatusLabel, text)

    def _showCertainty(self, shown: bool) -> None:
        node = self.certaintyNode
        if node is not None:
            (showOverlay if shown else hideCertainty)(node)
        self.update()

    def _goToLeastSure(self) -> None:
        node = self.certaintyNode
        labelmap = self._labelmap[1] if self._labelmap is not None and self._labelmap[0] is node else None
        try:
            place = goToLeastSureSlice(node, labelmap)
        except MedContextError as error:
            slicer.util.errorDisplay(str(error))
            return
        if place is None:
            showText(self._ui.reviewStatusLabel, _("The model was sure everywhere."))
        elif not isCertaintyShown(node):
            self._showCertainty(True)
