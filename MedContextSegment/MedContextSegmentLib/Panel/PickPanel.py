"""What is done with proposed regions: looking at them by the pointer, picking them by clicks, discarding them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from medcontext.errors import InputError, MedContextError
from MedContextSegmentLib.Explore.Picking import pick, segmentOf
from MedContextSegmentLib.Explore.ProposedRegions import ProposedRegions
from MedContextSegmentLib.Panel.ExploreViews import Pointer
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo, quiet, shortened, showText
from MedContextSegmentLib.Scene.EditableArea import segmentIdsOf


class PickPanel(VTKObservationMixin):
    """Shows the regions, and turns those that are clicked into segments of the segmentation under review.

    Args:
        ui: the widgets of Explore.ui.
        context: the panel around.

    Attributes:
        proposed: the regions; None where none are proposed.
    """

    def __init__(self, ui: Any, context: LearnContext) -> None:
        VTKObservationMixin.__init__(self)
        self._ui, self._context = ui, context
        self.proposed: ProposedRegions | None = None
        self._picking = False
        self._outcome = ""
        self._offered: list[tuple[str, str, str]] = []
        self._followed: Any = None
        self._pointer = Pointer(self._pointed, self._clicked)
        self._escape = qt.QShortcut(slicer.util.mainWindow() or ui.pickArea)
        self._escape.setKey(qt.QKeySequence("Esc"))
        self._escape.setContext(qt.Qt.ApplicationShortcut)
        self._escape.setEnabled(False)
        self._escape.connect("activated()", self._endPicking)
        ui.pickButton.connect("toggled(bool)", self.setPicking)
        ui.discardButton.connect("clicked()", self._discard)
        self.update()

    @property
    def picking(self) -> bool:
        """Whether a click makes a segment."""
        return self._picking

    def show(self, proposed: ProposedRegions | None) -> None:
        """Show other regions than before; None for none."""
        self.setPicking(False)
        self._pointer.leave()
        before, self.proposed = self.proposed, proposed
        self._outcome = ""
        if before is not None and before is not proposed:
            before.discard()
        if proposed is not None:
            self._pointer.follow()
        self._pointed(None)
        self.update()

    def enter(self) -> None:
        """The module is shown."""
        if self.proposed is not None:
            self._pointer.follow()

    def leave(self) -> None:
        """Another module is shown; the regions stay in the views."""
        self.setPicking(False)
        self._pointed(None)
        self._pointer.leave()

    def stop(self) -> None:
        """The panel goes away."""
        self.show(None)
        self._escape.setParent(None)
        self._escape.deleteLater()

    def update(self) -> None:
        """Show what can be done."""
        if self.proposed is not None and not self.proposed.shown:
            self.show(None)  # somebody deleted the volume
            return
        ui = self._ui
        ui.pickArea.setVisible(self.proposed is not None)
        self._offerTargets()
        showText(ui.pickStatusLabel, self._outcome)

    def setPicking(self, picking: bool) -> None:
        """Whether a click makes a segment from now on."""
        picking = picking and self.proposed is not None
        if picking == self._picking:
            return
        self._picking = picking
        editor = self._context.editor
        if picking:
            editor.editor.setActiveEffect(None)
            interaction = slicer.app.applicationLogic().GetInteractionNode()
            if interaction is not None:
                interaction.SwitchToViewTransformMode()  # no points are placed by the same clicks
            self._pointer.catchClicks()
            self.addObserver(editor.node, vtk.vtkCommand.ModifiedEvent, self._editorChanged)
        else:
            self._pointer.releaseClicks()
            self.removeObservers(self._editorChanged)
        editor.setKeys(not picking)  # Escape belongs to the editor otherwise
        self._escape.setEnabled(picking)
        with quiet(self._ui.pickButton):
            self._ui.pickButton.checked = picking
        self._ui.pickButton.text = _("Stop picking") if picking else _("Pick regions")
        self._outcome = _("Click regions in the slice views; Escape ends it.") if picking else ""
        self.update()

    def _endPicking(self) -> None:
        self.setPicking(False)

    def _editorChanged(self, node: Any, _event: Any) -> None:
        if node.GetActiveEffectName():
            self.setPicking(False)  # the clicks are for the effect now

    def _discard(self) -> None:
        self.show(None)

    def _pointed(self, ras: Sequence[float] | None) -> None:
        """The pointer is over another place."""
        proposed = self.proposed
        number = proposed.regionAt(ras) if proposed is not None and proposed.shown and ras is not None else 0
        if proposed is not None:
            proposed.brighten(number)
        hint = _("Move the pointer over a region in a slice view to see how large it is.")
        # Never empty, or the panel would jump while the pointer moves.
        self._ui.hoverLabel.text = proposed.describe(number) if proposed is not None and number else hint

    def _clicked(self, ras: Sequence[float]) -> None:
        proposed = self.proposed
        if proposed is None or not proposed.shown or slicer.mrmlScene.IsBatchProcessing():
            return
        number = proposed.regionAt(ras)
        try:
            self._outcome = self._pick(proposed, number) if number else _("There is no proposed region.")
        except MedContextError as error:
            self._outcome = str(error)
        self.update()

    def _pick(self, proposed: ProposedRegions, number: int) -> str:
        """What came of it, as a sentence."""
        if self._context.busy():
            raise InputError(_("Wait for what is running."))
        segmentation, segmentId = self._segmentation(), comboData(self._ui.pickTargetSelector)
        before = segmentOf(proposed, number, segmentation)
        if before and not segmentId:
            return _("Region {number} is the segment '{name}' already.").format(number=number, name=before)
        editor = self._context.editor
        picked = pick(
            proposed,
            number,
            segmentation,
            segmentId,
            fillHoles=bool(self._ui.fillHolesCheckBox.checked),
            editorNode=editor.node,
            saveStateForUndo=lambda: editor.saveStateForUndo(segmentation),
        )
        self._choose(proposed, picked.segmentation)
        text = _("Region {number} was added to '{name}'.") if segmentId else _("New segment: {name}.")
        return text.format(number=number, name=picked.name)

    def _segmentation(self) -> Any:
        """The segmentation under review, as long as it is of the volume whose regions these are; else None."""
        node, proposed = self._context.segmentation(), self.proposed
        if node is None or proposed is None:
            return None
        volume = proposed.volume
        role = node.GetReferenceImageGeometryReferenceRole()
        ofVolume = node.GetNodeReferenceID(role) == volume.GetID() if volume is not None else False
        return node if ofVolume or self._context.volume() is volume else None

    def _choose(self, proposed: ProposedRegions, segmentation: Any) -> None:
        """Let the rest of the panel work on what was picked: review it, add it as a case."""
        volume = proposed.volume
        gray = volume.GetImageData().GetNumberOfScalarComponents() == 1
        if self._context.segmentation() is not segmentation or (
            gray and self._context.volume() is not volume
        ):
            self._context.choose([volume] if gray else [], segmentation)

    def _offerTargets(self) -> None:
        node = self._segmentation()
        self._follow(node)
        items = [(_("A new segment"), "", "")]
        for segmentId in segmentIdsOf(node) if node is not None else ():
            name = node.GetSegmentation().GetSegment(segmentId).GetName()
            items.append((_("A part of '{name}'").format(name=shortened(name)), segmentId, name))
        if items != self._offered:
            self._offered = items
            fillCombo(self._ui.pickTargetSelector, items, comboData(self._ui.pickTargetSelector))

    def _follow(self, node: Any) -> None:
        """Hear of segments that come, go or get another name."""
        parts = node.GetSegmentation() if node is not None else None
        if parts is self._followed:
            return
        self.removeObservers(self._segmentsChanged)
        self._followed = parts
        kind = slicer.vtkSegmentation
        for event in (kind.SegmentAdded, kind.SegmentRemoved, kind.SegmentModified):
            if parts is not None:
                self.addObserver(parts, event, self._segmentsChanged)

    def _segmentsChanged(self, _caller: Any, _event: Any) -> None:
        self._offerTargets()
