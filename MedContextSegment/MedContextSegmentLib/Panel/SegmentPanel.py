"""The section Segment: what to segment, with which model, where, and into what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from medcontext.cards import CardSummary
from medcontext.errors import InputError
from MedContextSegmentLib.Panel.ChannelRows import ChannelRows
from MedContextSegmentLib.Panel.LabelList import LabelList
from MedContextSegmentLib.Panel.ModelChooser import ModelChooser, modelSummary
from MedContextSegmentLib.Panel.Parameters import ROI, SEGMENT, WHOLE, MedContextSegmentParameters
from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo, quiet, selectData, showRow, wrappable
from MedContextSegmentLib.Run.InputChecks import ERROR, INFO, Finding, check
from MedContextSegmentLib.Run.Models import preselect
from MedContextSegmentLib.Run.Redo import RedoRequest
from MedContextSegmentLib.Run.RunInputs import SegmentRequest
from MedContextSegmentLib.Scene.Rois import fitRoi, isEmptyRoi
from MedContextSegmentLib.Scene.Sequences import frameCount
from MedContextSegmentLib.Scene.VolumeChoice import candidateVolumes


class SegmentPanel:
    """Shows the parameters of a run, keeps them in the parameter node and says whether a run can begin.

    Args:
        ui: the widgets of the .ui file.
        onChanged: called when anything was chosen.
        models: gives the cards of the library, for tests.
    """

    def __init__(
        self,
        ui: Any,
        onChanged: Callable[[], None],
        models: Callable[[], list[CardSummary]] | None = None,
    ) -> None:
        self._ui, self._onChanged = ui, onChanged
        self._parameters: MedContextSegmentParameters | None = None
        self._guessed: list[Any] = []
        self.channels = ChannelRows(ui.inputsArea.layout(), 0, self._channelChanged)
        self.labels = LabelList(ui, self._labelsChanged)
        self.models = ModelChooser(ui.modelSelector, self._modelChanged, models)
        regions = [
            (_("The whole image"), WHOLE, ""),
            (_("A region of interest (ROI)"), ROI, ""),
            (_("A segment"), SEGMENT, ""),
        ]
        fillCombo(ui.regionSelector, regions, WHOLE)
        icon = ui.warningLabel.style().standardIcon(qt.QStyle.SP_MessageBoxWarning)
        ui.warningIconLabel.setPixmap(icon.pixmap(16, 16))
        ui.regionSelector.connect("currentIndexChanged(int)", self._regionChanged)
        ui.roiSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._roiChanged)
        ui.insideSegmentSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._insideChanged)
        ui.insideSegmentSelector.connect("currentSegmentChanged(QString)", self._insideChanged)
        ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._changed)
        ui.allFramesCheckBox.connect("toggled(bool)", self._changed)

    def setParameters(self, parameters: MedContextSegmentParameters | None) -> None:
        """Show what a parameter node says; None lets go of it."""
        self._parameters = parameters
        if parameters is not None:
            self.refresh()

    def refresh(self) -> None:
        """Show what the library, the scene and the parameter node hold now."""
        parameters = self._parameters
        if parameters is None:
            return
        self.models.refresh(parameters.model)
        self._showModel()
        selectData(self._ui.regionSelector, parameters.region)
        selector = self._ui.insideSegmentSelector
        with quiet(selector):
            selector.setCurrentNode(parameters.insideSegmentation)
            if parameters.insideSegmentation is not None:
                selector.setCurrentSegmentID(parameters.insideSegmentId)
        self.update()

    def preselectVolumes(self) -> None:
        """Fill empty channels with the volumes of the scene whose names fit."""
        card = self.models.card
        if card is None or self._parameters is None:
            return
        chosen = self.channels.nodes()
        if all(node is not None for node in chosen):
            return
        used = {node.GetID() for node in chosen if node is not None}
        free = [node for node in candidateVolumes() if node.GetID() not in used]
        found = preselect(card, free)
        self.channels.setNodes([node or guess for node, guess in zip(chosen, found, strict=True)])
        self._guessed += [guess for node, guess in zip(chosen, found, strict=True) if node is None]
        self._parameters.channels = self.channels.nodes()

    def findings(self, boxed: bool) -> list[Finding]:
        """What is to be said about the chosen volumes, errors first; ``boxed``: only a part is segmented."""
        card = self.models.card
        return check(self.channels.nodes(), card, boxed) if card is not None else []

    def inputReason(self, findings: list[Finding]) -> str:
        """Why model and volumes cannot be used, as a sentence; "" when they can."""
        if self._parameters is None:
            return _("The scene is closing.")
        if self.models.card is None:
            return _("There is no model that can be used: import one into the library.")
        for finding in findings:
            if finding.severity == ERROR:
                return f"{finding.text} {finding.hint}".strip()
        return ""

    def reason(self, findings: list[Finding]) -> str:
        """Why no run can begin, as a sentence; "" when one can."""
        reason = self.inputReason(findings)
        if reason:
            return reason
        if self._region() == ROI and self._ui.roiSelector.currentNode() is None:
            return _("Choose or create the ROI to stay inside.")
        if self._region() == SEGMENT and self._insideSegment() is None:
            return _("Choose the segment to stay inside.")
        if not self.labels.ticked():
            return _("Tick at least one label.")
        return ""

    def update(self) -> str:
        """Show rows, labels and warnings as they are needed now; returns :meth:`reason`."""
        region = self._region()
        showRow(self._ui, "roiSelector", region == ROI)
        showRow(self._ui, "insideSegmentSelector", region == SEGMENT)
        volumes = self.channels.nodes()
        frames = frameCount(volumes[0]) if volumes else 0
        box = self._ui.allFramesCheckBox
        box.setVisible(frames > 1)
        if frames > 1:
            box.text = _("All {count} frames of the sequence").format(count=frames)
        findings = self.findings(region != WHOLE)
        warnings = [finding for finding in findings if finding.severity != ERROR]
        loud = any(finding.severity != INFO for finding in warnings)
        texts = (f"{entry.text} {entry.hint}".strip() for entry in warnings)
        self._ui.warningLabel.text = wrappable("\n".join(texts))
        self._ui.warningIconLabel.setVisible(loud)
        self._ui.warningArea.setVisible(bool(warnings))
        return self.reason(findings)

    def request(self) -> SegmentRequest:
        """What a click of *Segment* asks for; device and the like are still to be filled in.

        Raises:
            InputError: no run can begin.
        """
        region = self._region()
        reason = self.reason(self.findings(region != WHOLE))
        if reason:
            raise InputError(reason)
        return replace(
            self._request(),
            roi=self._ui.roiSelector.currentNode() if region == ROI else None,
            insideSegment=self._insideSegment() if region == SEGMENT else None,
            labels=self.labels.values(),
        )

    def redoRequest(self, redo: RedoRequest) -> SegmentRequest:
        """What a click of *Redo this region* asks for: model, volumes and segmentation of the panel.

        Raises:
            InputError: model or volumes cannot be used.
        """
        reason = self.inputReason(self.findings(boxed=True))
        if reason:
            raise InputError(reason)
        return replace(self._request(), redo=redo)

    def _request(self) -> SegmentRequest:
        return SegmentRequest(
            volumes=tuple(self.channels.nodes()),
            model=self.models.key,
            segmentation=self._ui.segmentationSelector.currentNode(),
        )

    @property
    def allFrames(self) -> bool:
        """Whether the whole sequence is asked for."""
        volumes = self.channels.nodes()
        return bool(self._ui.allFramesCheckBox.checked) and bool(volumes) and frameCount(volumes[0]) > 1

    def setEnabled(self, enabled: bool) -> None:
        """Whether choices can be made; not during a run."""
        self._ui.modelSelector.enabled = enabled and not self.models.empty
        self.channels.setEnabled(enabled)
        self.labels.setEnabled(enabled)
        for name in ("regionSelector", "roiSelector", "insideSegmentSelector", "segmentationSelector"):
            getattr(self._ui, name).enabled = enabled
        self._ui.allFramesCheckBox.enabled = enabled

    def _region(self) -> str:
        return comboData(self._ui.regionSelector)

    def _insideSegment(self) -> tuple[Any, str] | None:
        selector = self._ui.insideSegmentSelector
        node, segmentId = selector.currentNode(), selector.currentSegmentID()
        return (node, segmentId) if node is not None and segmentId else None

    def _showModel(self) -> None:
        card, parameters = self.models.card, self._parameters
        self._ui.modelSummaryLabel.text = modelSummary(card) if card is not None else ""
        self.channels.show(card)
        self.labels.show(card, parameters.unwanted if parameters is not None else ())
        if parameters is not None:
            parameters.model = self.models.key
            self.channels.setNodes(list(parameters.channels))
            self.preselectVolumes()

    def _modelChanged(self) -> None:
        if self._parameters is not None:  # what nobody chose is guessed anew for the new model
            chosen = list(self._parameters.channels)
            self._parameters.channels = [None if node in self._guessed else node for node in chosen]
        self._guessed = []
        self._showModel()
        self._changed()

    def _channelChanged(self) -> None:
        if self._parameters is not None and not slicer.mrmlScene.IsClosing():
            self._parameters.channels = self.channels.nodes()
            self._guessed = []
        self._changed()

    def _labelsChanged(self) -> None:
        if self._parameters is not None:
            self._parameters.unwanted = self.labels.unticked()
        self._changed()

    def _regionChanged(self, _index: int) -> None:
        if self._parameters is not None:
            self._parameters.region = self._region()
        self._changed()

    def _roiChanged(self, roi: Any) -> None:
        volumes = self.channels.nodes()
        if roi is not None and isEmptyRoi(roi) and volumes and volumes[0] is not None:
            fitRoi(roi, volumes[0])
        self._changed()

    def _insideChanged(self, _what: Any) -> None:
        if self._parameters is not None and not slicer.mrmlScene.IsClosing():
            selector = self._ui.insideSegmentSelector
            self._parameters.insideSegmentation = selector.currentNode()
            self._parameters.insideSegmentId = selector.currentSegmentID() or ""
        self._changed()

    def _changed(self, _what: Any = None) -> None:
        self._onChanged()
