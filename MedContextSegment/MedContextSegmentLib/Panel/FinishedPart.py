"""What of a case is finished: which labels were looked for, and where; the rest is ignored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import qt
from slicer.i18n import tr as _

from medcontext.errors import InputError
from medcontext.labels import Label
from MedContextSegmentLib.Learn.AddCase import CaseProposal
from MedContextSegmentLib.Panel.MappingTable import swatch
from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo, quiet, selectData, showRow
from MedContextSegmentLib.Scene.PaintedSlices import AXES, slicesText
from MedContextSegmentLib.Scene.Rois import fitRoi, isEmptyRoi

WHOLE, SLICES, ROI, AS_BEFORE = "whole", "slices", "roi", "as before"
VISIBLE_LABELS = 5

_RANGE = re.compile(r"(\d+)(?:\s*-\s*(\d+))?")


class FinishedLabels:
    """Tick boxes of the labels of the store and of those that the case brings along.

    A label of which something was painted is ticked until a person says otherwise; in a case that was opened from the
    store those that were finished there are, and those of which something was painted by another answer since.

    Args:
        labelList: a QListWidget.
        onChanged: called when a tick was set or removed.
    """

    def __init__(self, labelList: Any, onChanged: Callable[[], None]) -> None:
        self._list, self._onChanged = labelList, onChanged
        self._labels: list[Label] = []
        # By name: a label that is yet to be declared may get another value when a person answers.
        self._said: dict[str, bool] = {}
        self._proposed: set[str] | None = None
        self._paintedFirst: set[str] = set()
        labelList.connect("itemChanged(QListWidgetItem*)", self._itemChanged)

    def begin(self, proposal: CaseProposal) -> None:
        """Another proposal: what was said about the last one does not count."""
        self._said = {}
        self._proposed = _names(proposal, proposal.finished) if proposal.stored else None
        self._paintedFirst = _names(proposal, proposal.paintedValues)

    def show(self, proposal: CaseProposal) -> None:
        """Show the labels that the case can have now."""
        widget, labels, painted = self._list, proposal.known, _names(proposal, proposal.paintedValues)
        if self._proposed is not None:
            painted = self._proposed | (painted - self._paintedFirst)
        self._labels = labels
        with quiet(widget):
            widget.clear()
            for row, label in enumerate(labels):
                widget.addItem(label.name)
                item = widget.item(row)
                item.setIcon(qt.QIcon(swatch(label.color)))
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
                ticked = self._said.get(label.name, label.name in painted)
                item.setCheckState(qt.Qt.Checked if ticked else qt.Qt.Unchecked)
        rows = min(VISIBLE_LABELS, max(1, len(labels)))
        height = widget.sizeHintForRow(0) if labels else 0
        widget.setFixedHeight(rows * height + 2 * widget.frameWidth)

    def values(self) -> tuple[int, ...]:
        """Values of the ticked labels."""
        return tuple(
            label.value
            for row, label in enumerate(self._labels)
            if self._list.item(row).checkState() == qt.Qt.Checked
        )

    def _itemChanged(self, item: Any) -> None:
        self._said[self._labels[self._list.row(item)].name] = item.checkState() == qt.Qt.Checked
        self._onChanged()


def _names(proposal: CaseProposal, values: Iterable[int]) -> set[str]:
    wanted = set(values)
    return {label.name for label in proposal.known if label.value in wanted}


class FinishedPart:
    """Where the labels are finished: everywhere, in some slices, or in an ROI.

    What is offered follows the labels that are ticked until a person says something else.

    Args:
        ui: widgets ``finishedRegionSelector``, ``finishedAxisSelector``, ``finishedSlicesEdit`` and
            ``finishedRoiSelector`` with their labels.
        onChanged: called when anything was chosen.
    """

    def __init__(self, ui: Any, onChanged: Callable[[], None]) -> None:
        self._ui, self._onChanged = ui, onChanged
        self._proposal: CaseProposal | None = None
        self._saidWhere = self._saidSlices = False
        ui.finishedRoiSelector.addEnabled = True
        ui.finishedRegionSelector.connect("currentIndexChanged(int)", self._regionChanged)
        ui.finishedAxisSelector.connect("currentIndexChanged(int)", self._axisChanged)
        ui.finishedSlicesEdit.connect("textChanged(QString)", self._slicesChanged)
        ui.finishedRoiSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._roiChanged)

    def show(self, proposal: CaseProposal) -> None:
        """Show what is proposed."""
        ui, self._proposal = self._ui, proposal
        self._saidWhere = self._saidSlices = proposal.stored
        regions = [
            (_("The whole image"), WHOLE, _("Every voxel is what it was painted as, else background.")),
            (_("These slices"), SLICES, _("The slices in between are ignored.")),
            (_("Inside an ROI"), ROI, _("What lies outside of the box is ignored.")),
        ]
        if proposal.region == AS_BEFORE:
            text = _(
                "The part that was finished when the case was opened; what lies outside of it is ignored."
            )
            regions.insert(0, (_("As before"), AS_BEFORE, text))
        fillCombo(ui.finishedRegionSelector, regions, proposal.region)
        axes = [(axisTitle(proposal, axis), axis, "") for axis in AXES]
        fillCombo(ui.finishedAxisSelector, axes, proposal.axis)
        with quiet(ui.finishedSlicesEdit):
            ui.finishedSlicesEdit.text = slicesText(proposal.slices)
        self._showRows()

    def follow(self, proposal: CaseProposal) -> None:
        """Offer what the labels that are ticked now say, where a person has not said something else."""
        ui = self._ui
        if self._saidSlices:
            return
        if not self._saidWhere:
            proposal.offerPart()
            selectData(ui.finishedRegionSelector, proposal.region)
            selectData(ui.finishedAxisSelector, proposal.axis)
            self._showRows()
        self._showPainted(proposal)

    def apply(self, proposal: CaseProposal) -> None:
        """Write what was chosen into the proposal.

        Raises:
            InputError: the slices are no numbers, or there are no such slices.
        """
        ui = self._ui
        proposal.region = comboData(ui.finishedRegionSelector)  # type: ignore[assignment]
        proposal.axis = comboData(ui.finishedAxisSelector) or "k"
        proposal.roi = ui.finishedRoiSelector.currentNode() if proposal.region == ROI else None
        if proposal.region == SLICES:
            count = proposal.sliceCount(proposal.axis)
            proposal.slices = sliceNumbers(ui.finishedSlicesEdit.text, count)

    def _showRows(self) -> None:
        region = comboData(self._ui.finishedRegionSelector)
        showRow(self._ui, "finishedAxisSelector", region == SLICES)
        showRow(self._ui, "finishedRoiSelector", region == ROI)
        for name in ("finishedSlicesEdit", "finishedSlicesLabel"):
            getattr(self._ui, name).setVisible(region == SLICES)

    def _showPainted(self, proposal: CaseProposal) -> None:
        """Offer the slices that were painted along the chosen axis."""
        painted = proposal.painted.along(comboData(self._ui.finishedAxisSelector))
        if slicesText(painted) != self._ui.finishedSlicesEdit.text:
            with quiet(self._ui.finishedSlicesEdit):
                self._ui.finishedSlicesEdit.text = slicesText(painted)

    def _regionChanged(self, _index: int) -> None:
        self._saidWhere = True
        self._showRows()
        self._onChanged()

    def _axisChanged(self, _index: int) -> None:
        # Slices of another direction are other slices, whatever was said about the last one.
        self._saidWhere, self._saidSlices = True, False
        if self._proposal is not None:
            self._showPainted(self._proposal)
        self._onChanged()

    def _slicesChanged(self, _text: str) -> None:
        self._saidWhere = self._saidSlices = True
        self._onChanged()

    def _roiChanged(self, roi: Any) -> None:
        if roi is not None and isEmptyRoi(roi) and self._proposal is not None:
            fitRoi(roi, self._proposal.volumes[0])
        self._onChanged()


def sliceNumbers(text: str, count: int) -> tuple[int, ...]:
    """Numbers such as "3, 7-9" as ``(3, 7, 8, 9)``.

    Args:
        text: what a person typed.
        count: how many slices there are; they are counted from 0.

    Raises:
        InputError: it is something else, or there are no such slices.
    """
    found: set[int] = set()
    for part in re.split(r"[,;]", text):
        if not part.strip():
            continue
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise InputError(
                _("'{text}' is no slice number: write them like 12, 16, 20-24.").format(text=part.strip())
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < count:
            wrong = _("There are no slices {text}: the image has the slices 0 to {last}.")
            raise InputError(wrong.format(text=part.strip(), last=count - 1))
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def axisTitle(proposal: CaseProposal, axis: str) -> str:
    """What slices along an axis of the voxels are called, and how many there are: "axial, 48 slices"."""
    along = int(np.argmax(np.abs(proposal.directions[:, "ijk".index(axis)])))
    names = (_("sagittal"), _("coronal"), _("axial"))
    return _("{name}, {count} slices").format(name=names[along], count=proposal.sliceCount(axis))
