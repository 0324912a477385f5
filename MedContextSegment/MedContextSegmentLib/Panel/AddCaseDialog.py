"""The dialog *Add case*: which images, what each segment is, and what is finished. Nothing is guessed silently."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from medcontext.case_list import StoreSummary
from medcontext.errors import InputError, MedContextError
from MedContextSegmentLib.Learn.AddCase import CaseProposal, proposing
from MedContextSegmentLib.Learn.ChannelChoice import channelsOf, volumesFor
from MedContextSegmentLib.Learn.LabelMapping import mergedText
from MedContextSegmentLib.Panel.ChannelRows import ChannelRows
from MedContextSegmentLib.Panel.Dialogs import makeDialog, runDialog
from MedContextSegmentLib.Panel.FinishedPart import FinishedLabels, FinishedPart
from MedContextSegmentLib.Panel.MappingTable import MappingTable
from MedContextSegmentLib.Panel.QtHelpers import quiet, showText
from MedContextSegmentLib.Panel.RunControl import INTERVAL_MS
from MedContextSegmentLib.Run.SegmentationRun import FRAME_SECONDS

FIRST_ROW = 1
"""The store is named above the channels."""


class AddCaseDialog:
    """Asks what is to be learnt from. The segments are read in small steps while the dialog is open already.

    Args:
        store: where the case goes; its folder need not be there yet.
        volumes: the volumes that are chosen in the panel.
        segmentation: the segmentation under review.
        names: the channel of the model that each volume is chosen for.
        isNew: whether the store is yet to be made.
        whole: whether somebody looked at all of the image, so that all of it is offered as finished.

    Attributes:
        proposal: the case as it would be added; None while the segments are read, or where they cannot be.
    """

    def __init__(
        self,
        store: StoreSummary,
        volumes: Sequence[Any],
        segmentation: Any,
        names: Sequence[str] = (),
        isNew: bool = False,
        whole: bool = False,
    ) -> None:
        self._store, self._whole = store, whole
        self._saidPatient = self._saidHeldOut = False
        self._problem = ""
        self._reading: Generator[float, None, CaseProposal] | None = None
        self.proposal: CaseProposal | None = None
        self.dialog, self.ui = makeDialog("AddCase", _("Add case"))
        ui = self.ui
        name = _("{name} (new)").format(name=store.name) if isNew else store.name
        ui.addCaseStoreNameLabel.text, ui.addCaseStoreNameLabel.toolTip = name, str(store.folder)
        self.channels = ChannelRows(ui.imagesArea.layout(), FIRST_ROW, self._otherImages)
        self.channels.show(channelsOf(store))
        self.channels.setNodes(_arranged(store, volumes, names, isNew))
        with quiet(ui.addCaseSegmentationSelector):
            ui.addCaseSegmentationSelector.setCurrentNode(segmentation)
        self.mapping = MappingTable(ui.mappingTable, self._changed, self._say)
        self.labels = FinishedLabels(ui.finishedList, self._changed)
        self.part = FinishedPart(ui, self._changed)
        self._ok = ui.addCaseButtonBox.button(qt.QDialogButtonBox.Ok)
        self._ok.text = _("Add case")
        ui.addCaseSegmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._read)
        ui.patientEdit.connect("textChanged(QString)", self._patientSaid)
        ui.heldOutCheckBox.connect("toggled(bool)", self._heldOutSaid)
        ui.addCaseButtonBox.connect("accepted()", self.dialog.accept)
        ui.addCaseButtonBox.connect("rejected()", self.dialog.reject)
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._poll)
        self._read()

    @property
    def reading(self) -> bool:
        """Whether the segments are still being read."""
        return self._reading is not None

    def ask(self) -> CaseProposal | None:
        """Show the dialog; None when the person gave up."""
        try:
            return self.proposal if runDialog(self.dialog) else None
        finally:
            self._timer.stop()

    def _otherImages(self) -> None:
        """Another scan may be somebody else's: what was said about the last one does not count."""
        self._saidPatient = self._saidHeldOut = False
        self._read()

    def _read(self, _node: Any = None) -> None:
        """Other images or segments were chosen: look at them."""
        self.proposal, self._problem = None, ""
        segmentation = self.ui.addCaseSegmentationSelector.currentNode()
        self._reading = proposing(self.channels.nodes(), segmentation, self._store)
        self._timer.start()
        self._show()

    def _poll(self) -> None:
        if self._reading is None:
            return
        ends = time.monotonic() + FRAME_SECONDS
        try:
            while time.monotonic() < ends:
                next(self._reading)
        except StopIteration as end:
            self._take(end.value)
        except MedContextError as error:
            self._stop(str(error))

    def _take(self, proposal: CaseProposal) -> None:
        self.proposal = proposal
        if self._whole:
            proposal.region = "whole"
        self._stop("")
        ui = self.ui
        self.mapping.show(proposal.mapping, proposal.labels)
        self.labels.begin(proposal)
        self.part.show(proposal)
        with quiet(ui.patientEdit, ui.heldOutCheckBox):
            if not self._saidPatient:
                ui.patientEdit.text = proposal.patient
            if proposal.heldOut or not self._saidHeldOut:
                ui.heldOutCheckBox.checked = proposal.heldOut
        ui.heldOutCheckBox.enabled = not proposal.heldOut  # what is held out stays so
        self._changed()

    def _stop(self, problem: str) -> None:
        self._timer.stop()
        self._reading, self._problem = None, problem
        self._show()

    def _patientSaid(self, _text: str) -> None:
        self._saidPatient = True
        self._changed()

    def _heldOutSaid(self, _checked: bool) -> None:
        self._saidHeldOut = True
        self._changed()

    def _changed(self, _what: Any = None) -> None:
        """A person chose something."""
        proposal = self.proposal
        if proposal is None:
            return
        self.labels.show(proposal)
        proposal.finished = self.labels.values()
        proposal.patient = self.ui.patientEdit.text.strip()
        proposal.heldOut = bool(self.ui.heldOutCheckBox.checked)
        self.part.follow(proposal)
        try:
            self.part.apply(proposal)
            self._problem = proposal.problem
        except InputError as error:
            self._problem = error.message
        self._show()

    def _say(self, text: str) -> None:
        self._problem = text
        self._show()

    def _show(self) -> None:
        proposal = self.proposal
        for box in (self.ui.mappingGroupBox, self.ui.finishedGroupBox):
            box.enabled = proposal is not None
        self._ok.enabled = proposal is not None and not self._problem
        if self.reading:
            text = _("Looking at the segments...")
        elif self._problem or proposal is None:
            text = self._problem
        else:
            text = "\n".join([*mergedText(proposal.mapping), *proposal.notes])
        showText(self.ui.addCaseStatusLabel, text)


def _arranged(
    store: StoreSummary, volumes: Sequence[Any], names: Sequence[str], isNew: bool
) -> Sequence[Any]:
    """The volumes by channel; those of a new store were named after the volumes in their order."""
    found = volumesFor(store, volumes, names)
    left = iter([node for node in volumes if node is not None and node not in found])
    return [node or next(left, None) for node in found] if isNew else found
