"""The part *Redo this region*: where to segment again, and in which way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from medcontext.cards import CardSummary
from medcontext.errors import InputError
from MedContextSegmentLib.Panel.EditorLink import EditorLink
from MedContextSegmentLib.Panel.ModelChooser import ModelChooser
from MedContextSegmentLib.Panel.Parameters import ROI, SEGMENT, MedContextSegmentParameters
from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo, selectData, showRow, showText
from MedContextSegmentLib.Run.Models import listModels, modelKey
from MedContextSegmentLib.Run.Redo import (
    MODEL,
    RedoRequest,
    formTitle,
    formToolTip,
    makerOf,
    offeredForms,
    sameInput,
)
from MedContextSegmentLib.Scene.Rois import fitRoi, fitRoiToSegment, isEmptyRoi


class RedoPanel:
    """Shows what is needed to do a region again and says whether that can begin.

    Args:
        ui: the widgets of the .ui file.
        editor: the embedded segment editor, which knows the selected segment.
        volume: gives the volume that is reviewed, or None.
        onChanged: called when anything was chosen.
        models: gives the cards of the library, for tests.
    """

    def __init__(
        self,
        ui: Any,
        editor: EditorLink,
        volume: Callable[[], Any],
        onChanged: Callable[[], None],
        models: Callable[[], list[CardSummary]] | None = None,
    ) -> None:
        self._ui, self._editor, self._volume, self._onChanged = ui, editor, volume, onChanged
        self._parameters: MedContextSegmentParameters | None = None
        self._shown: tuple[CardSummary | None, str] | None = None
        self._card: CardSummary | None = None
        self._cards: list[CardSummary] = []
        self._made = self._problem = ""
        sources = [(_("Inside an ROI"), ROI, ""), (_("Around the selected segment"), SEGMENT, "")]
        fillCombo(ui.redoSourceSelector, sources, ROI)
        self._library = models or listModels
        self.models = ModelChooser(ui.redoModelSelector, self._changed, self._otherModels)
        ui.redoSourceSelector.connect("currentIndexChanged(int)", self._changed)
        ui.redoFormSelector.connect("currentIndexChanged(int)", self._changed)
        ui.redoRoiSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._roiChanged)
        ui.redoSection.connect("contentsCollapsed(bool)", self._changed)
        ui.segmentEditorWidget.connect("currentSegmentIDChanged(QString)", self._segmentChanged)

    def setParameters(self, parameters: MedContextSegmentParameters | None) -> None:
        """Show what a parameter node says; None lets go of it."""
        self._parameters = parameters
        if parameters is not None:
            selectData(self._ui.redoSourceSelector, parameters.redoSource)
            self.refresh()

    def refresh(self) -> None:
        """Look at the library anew with the next :meth:`update`."""
        self._shown = None

    def update(self, card: CardSummary | None) -> str:
        """Show the rows that are needed now; returns :meth:`reason`.

        Args:
            card: the model that is chosen above. It goes again over what no model made; else the one that made the
                segmentation does, as long as it takes the volumes that are chosen above.
        """
        self._showForms(card)
        form, source = comboData(self._ui.redoFormSelector), comboData(self._ui.redoSourceSelector)
        showRow(self._ui, "redoRoiSelector", source == ROI)
        showRow(self._ui, "redoMarginSpinBox", source == SEGMENT)
        showRow(self._ui, "redoModelSelector", form == MODEL)
        showText(self._ui.redoFormHelpLabel, f"{formToolTip(form)} {self._problem}".strip() if form else "")
        return self.reason()

    def reason(self) -> str:
        """Why it cannot begin, as a sentence; "" when it can."""
        if self._editor.editor.segmentationNode() is None:
            return _("Segment the image first, or choose a segmentation as output above.")
        if not comboData(self._ui.redoFormSelector):
            return self._problem or _("No way of doing a region again has proved helpful with this model.")
        if comboData(self._ui.redoSourceSelector) == ROI:
            if self._ui.redoRoiSelector.currentNode() is None:
                return _("Choose or create an ROI around what is wrong.")
        elif self._editor.selectedSegment() is None:
            return _("Select the segment in the table above.")
        return ""

    def request(self) -> RedoRequest:
        """What a click of *Redo this region* asks for.

        Raises:
            InputError: it cannot begin.
        """
        reason = self.reason()
        if reason:
            raise InputError(reason)
        form, source = comboData(self._ui.redoFormSelector), comboData(self._ui.redoSourceSelector)
        return RedoRequest(
            form=form,
            roi=self._ui.redoRoiSelector.currentNode() if source == ROI else None,
            segment=self._editor.selectedSegment() if source == SEGMENT else None,
            marginMm=float(self._ui.redoMarginSpinBox.value),
            model=self.models.key if form == MODEL else "",
        )

    def setEnabled(self, enabled: bool) -> None:
        """Whether choices can be made; not during a run."""
        for name in ("redoSourceSelector", "redoRoiSelector", "redoMarginSpinBox", "redoFormSelector"):
            getattr(self._ui, name).enabled = enabled
        self._ui.redoModelSelector.enabled = enabled

    def _showForms(self, card: CardSummary | None) -> None:
        made = makerOf(self._ui.segmentationSelector.currentNode())
        if (card, made) == self._shown:
            return
        self._shown, self._card, self._made = (card, made), card, made
        self._cards = self._library()
        parameters = self._parameters
        self.models.refresh(parameters.redoModel if parameters is not None else "")
        maker = self._maker()
        self._problem = self._problemOf(maker)
        asked = card if self._problem else maker
        forms = [
            (formTitle(form), form, formToolTip(form))
            for form in (offeredForms(asked) if asked is not None else ())
            if (not self.models.empty if form == MODEL else not self._problem)
        ]
        fillCombo(self._ui.redoFormSelector, forms, parameters.redoForm if parameters is not None else "")

    def _maker(self) -> CardSummary | None:
        """The model that made the segmentation, or that is chosen above; None where it cannot be used."""
        if not self._made:
            return self._card
        return next((card for card in self._cards if modelKey(card) == self._made and not card.problem), None)

    def _problemOf(self, maker: CardSummary | None) -> str:
        """Why the model that made the segmentation cannot do a region of it again."""
        if maker is None and self._made:
            text = _("The model '{model}', which made this segmentation, is not in the library.")
            return text.format(model=self._made)
        if maker is not None and self._card is not None and not sameInput(maker, self._card):
            text = _("The model '{title}' made this segmentation from other images: choose it above.")
            return text.format(title=maker.title)
        return ""

    def _otherModels(self) -> list[CardSummary]:
        """The models that could look at the same volumes."""
        card = self._card
        if card is None:
            return []
        return [
            other
            for other in self._cards
            if modelKey(other) != (self._made or modelKey(card)) and sameInput(other, card)
        ]

    def _changed(self, _what: Any = None) -> None:
        if self._parameters is not None:
            self._parameters.redoSource = comboData(self._ui.redoSourceSelector)
            self._parameters.redoForm = comboData(self._ui.redoFormSelector)
            self._parameters.redoModel = self.models.key
        self._onChanged()

    def _roiChanged(self, roi: Any) -> None:
        if roi is not None and isEmptyRoi(roi):
            selected = self._editor.selectedSegment()
            margin = float(self._ui.redoMarginSpinBox.value)
            placed = selected is not None and fitRoiToSegment(roi, *selected, margin)
            if not placed and self._volume() is not None:
                fitRoi(roi, self._volume())
        self._onChanged()

    def _segmentChanged(self, _segmentId: str) -> None:
        self._onChanged()
