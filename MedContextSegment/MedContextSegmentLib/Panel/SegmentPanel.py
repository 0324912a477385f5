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
from MedContextSegmentLib.Panel.InsideSegment import InsideSegment
from MedContextSegmentLib.Panel.LabelList import LabelList
from MedContextSegmentLib.Panel.ModelChooser import ModelChooser, modelSummary
from MedContextSegmentLib.Panel.OutputChoice import leaveOtherScan
from MedContextSegmentLib.Panel.Parameters import ROI, SEGMENT, WHOLE, MedContextSegmentParameters
from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo, selectData, showRow, wrappable
from MedContextSegmentLib.Run.InputChecks import ERROR, INFO, Finding, check
from MedContextSegmentLib.Run.Models import modelKey, preselect
from MedContextSegmentLib.Run.Redo import MODEL, RedoRequest, labelsToRedo, makerOf
from MedContextSegmentLib.Run.RunInputs import SegmentRequest
from MedContextSegmentLib.Scene.Rois import fitRoi, isEmptyRoi
from MedContextSegmentLib.Scene.SegmentationTarget import LABELMAP
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
        self._cleared: dict[int, Any] = {}  # channel: the volume that a person took away
        self.channels = ChannelRows(ui.inputsArea.layout(), 0, self._channelChanged)
        self.labels = LabelList(ui, self._labelsChanged)
        self._inside = InsideSegment(ui.insideSegmentSelector, self._changed)
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
        ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._changed)
        ui.allFramesCheckBox.connect("toggled(bool)", self._changed)

    def setParameters(self, parameters: MedContextSegmentParameters | None) -> None:
        """Show what a parameter node says; None lets go of it."""
        self._parameters = parameters
        self._inside.setParameters(parameters)
        self._guessed, self._cleared = [], {}
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
        self._inside.show()
        self.update()

    def preselectVolumes(self) -> None:
        """Fill empty channels, but those that a person emptied, with the volumes of the scene whose names fit."""
        card = self.models.card
        if card is None or self._parameters is None:
            return
        chosen = self.channels.nodes()
        wanting = [node is None and not self._keptEmpty(index) for index, node in enumerate(chosen)]
        if not any(wanting):
            return
        used = {node.GetID() for node in chosen if node is not None}
        free = [node for node in candidateVolumes() if node.GetID() not in used]
        found = [
            guess if wants else None for guess, wants in zip(preselect(card, free), wanting, strict=True)
        ]
        self.channels.setNodes([node or guess for node, guess in zip(chosen, found, strict=True)])
        self._guessed += [guess for guess in found if guess is not None]
        self._parameters.channels = self.channels.nodes()

    def _keptEmpty(self, channel: int) -> bool:
        """Whether a person emptied a channel, rather than deleted its volume."""
        volume = self._cleared.get(channel)
        return volume is not None and volume.GetScene() is not None

    def findings(self, redo: bool = False) -> list[Finding]:
        """What is to be said about the chosen volumes, errors first; ``redo``: a part is to be done again."""
        card = self.models.card
        if card is None:
            return []
        roi = self._ui.roiSelector.currentNode() if self._region() == ROI and not redo else None
        return check(self.channels.nodes(), card, redo or self._region() != WHOLE, roi)

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
        if self._region() == SEGMENT and self._inside.chosen() is None:
            return _("Choose the segment to stay inside.")
        if not self.labels.ticked():
            return _("Tick at least one label.")
        return self.outputReason()

    def outputReason(self) -> str:
        """Why nothing can be written into the chosen segmentation, as a sentence; "" when it can."""
        node = self._output()
        segmentation = node.GetSegmentation() if node is not None else None
        if segmentation is None or segmentation.GetNumberOfSegments() == 0:
            return ""
        if segmentation.GetSourceRepresentationName() == LABELMAP:
            return ""
        text = _("The segmentation '{name}' holds surfaces, not label maps: choose another output.")
        return text.format(name=node.GetName())

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
        findings = self.findings()
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
        reason = self.reason(self.findings())
        if reason:
            raise InputError(reason)
        return replace(
            self._request(),
            roi=self._ui.roiSelector.currentNode() if region == ROI else None,
            insideSegment=self._inside.chosen() if region == SEGMENT else None,
            labels=self.labels.values(),
        )

    def redoRequest(self, redo: RedoRequest) -> SegmentRequest:
        """What a click of *Redo this region* asks for.

        Volumes and segmentation are those of the panel. The model is the one that made the segmentation, or the other
        one that the region asks for; of its labels, those that the segmentation has. What no model made is done again
        by the model of the panel, with the ticked labels.

        Raises:
            InputError: model, volumes or segmentation cannot be used.
        """
        made = makerOf(self._output())
        key = redo.model if redo.form == MODEL else made or self.models.key
        card = self.models.find(key)
        if card is None:
            raise InputError(_("The model '{model}' is not in the library.").format(model=key))
        reason = self.inputReason(check(self.channels.nodes(), card, True)) or self.outputReason()
        if reason:
            raise InputError(reason)
        labels = self._labelsToRedo(card, made)
        if not labels:
            text = _("The model '{title}' has none of the labels of this segmentation.")
            raise InputError(text.format(title=card.title), _("Choose another way to do it again."))
        return replace(self._request(), model=made or self.models.key, redo=redo, labels=labels)

    def _labelsToRedo(self, card: CardSummary, made: str) -> tuple[int, ...]:
        if made:
            return labelsToRedo(self._output(), card, modelKey(card) == made)
        ticked = {name.casefold() for name in self.labels.ticked()}
        return tuple(
            value
            for value, name in zip(card.label_values, card.labels, strict=True)
            if name.casefold() in ticked
        )

    def _request(self) -> SegmentRequest:
        return SegmentRequest(
            volumes=tuple(self.channels.nodes()),
            model=self.models.key,
            segmentation=self._output(),
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

    def _output(self) -> Any:
        return self._ui.segmentationSelector.currentNode()

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
        self._guessed, self._cleared = [], {}
        self._showModel()
        self._changed()

    def _channelChanged(self) -> None:
        if self._parameters is not None and not slicer.mrmlScene.IsClosing():
            before, now = list(self._parameters.channels), self.channels.nodes()
            for index, node in enumerate(now):
                if node is not None:
                    self._cleared.pop(index, None)
                elif index < len(before) and before[index] is not None:
                    self._cleared[index] = before[index]
            self._parameters.channels = now
            self._guessed = []
            leaveOtherScan(self._ui.segmentationSelector, before, now)
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

    def _changed(self, _what: Any = None) -> None:
        self._onChanged()
