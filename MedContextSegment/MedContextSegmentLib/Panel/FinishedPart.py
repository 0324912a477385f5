"""What of a case is finished: which labels were looked for, and where; the rest is ignored."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import qt
import vtk
from slicer.i18n import tr as _

from medcontext.errors import InputError
from MedContextSegmentLib.Learn.AddCase import CaseProposal
from MedContextSegmentLib.Panel.MappingTable import swatch
from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo, quiet, showRow
from MedContextSegmentLib.Scene.PaintedSlices import AXES, slicesText
from MedContextSegmentLib.Scene.Rois import fitRoi, isEmptyRoi

WHOLE, SLICES, ROI = "whole", "slices", "roi"
VISIBLE_LABELS = 5

_RANGE = re.compile(r"(\d+)(?:\s*-\s*(\d+))?")


class FinishedLabels:
    """Tick boxes of the labels of the store and of those that the case brings along.

    A label of which something was painted is ticked until a person says otherwise.

    Args:
        labelList: a QListWidget.
        onChanged: called when a tick was set or removed.
    """

    def __init__(self, labelList: Any, onChanged: Callable[[], None]) -> None:
        self._list, self._onChanged = labelList, onChanged
        self._values: list[int] = []
        self._said: dict[int, bool] = {}
        labelList.connect("itemChanged(QListWidgetItem*)", self._itemChanged)

    def forget(self) -> None:
        """Another segmentation: what was said about the last one does not count."""
        self._said = {}

    def show(self, proposal: CaseProposal) -> None:
        """Show the labels that the case can have now."""
        widget, labels, painted = self._list, proposal.known, set(proposal.paintedValues)
        self._values = [label.value for label in labels]
        with quiet(widget):
            widget.clear()
            for row, label in enumerate(labels):
                widget.addItem(label.name)
                item = widget.item(row)
                item.setIcon(qt.QIcon(swatch(label.color)))
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
                ticked = self._said.get(label.value, label.value in painted)
                item.setCheckState(qt.Qt.Checked if ticked else qt.Qt.Unchecked)
        rows = min(VISIBLE_LABELS, max(1, len(labels)))
        height = widget.sizeHintForRow(0) if labels else 0
        widget.setFixedHeight(rows * height + 2 * widget.frameWidth)

    def values(self) -> tuple[int, ...]:
        """Values of the ticked labels."""
        return tuple(
            value
            for row, value in enumerate(self._values)
            if self._list.item(row).checkState() == qt.Qt.Checked
        )

    def _itemChanged(self, item: Any) -> None:
        self._said[self._values[self._list.row(item)]] = item.checkState() == qt.Qt.Checked
        self._onChanged()


class FinishedPart:
    """Where the labels are finished: everywhere, in some slices, or in an ROI.

    Args:
        ui: widgets ``finishedRegionSelector``, ``finishedAxisSelector``, ``finishedSlicesEdit`` and
            ``finishedRoiSelector`` with their labels.
        onChanged: called when anything was chosen.
    """

    def __init__(self, ui: Any, onChanged: Callable[[], None]) -> None:
        self._ui, self._onChanged = ui, onChanged
        self._proposal: CaseProposal | None = None
        ui.finishedRoiSelector.addEnabled = True
        ui.finishedRegionSelector.connect("currentIndexChanged(int)", self._regionChanged)
        ui.finishedAxisSelector.connect("currentIndexChanged(int)", self._axisChanged)
        ui.finishedSlicesEdit.connect("textChanged(QString)", self._changed)
        ui.finishedRoiSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._roiChanged)

    def show(self, proposal: CaseProposal) -> None:
        """Show what is proposed."""
        ui, volume = self._ui, proposal.volumes[0]
        self._proposal = proposal
        regions = [
            (_("The whole image"), WHOLE, _("Every voxel is what it was painted as, else background.")),
            (_("These slices"), SLICES, _("The slices in between are ignored.")),
            (_("Inside an ROI"), ROI, _("What lies outside of the box is ignored.")),
        ]
        fillCombo(ui.finishedRegionSelector, regions, proposal.region)
        axes = [(axisTitle(volume, axis), axis, "") for axis in AXES]
        fillCombo(ui.finishedAxisSelector, axes, proposal.axis)
        with quiet(ui.finishedSlicesEdit):
            ui.finishedSlicesEdit.text = slicesText(proposal.slices)
        self._showRows()

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
            count = sliceCount(proposal.volumes[0], proposal.axis)
            proposal.slices = sliceNumbers(ui.finishedSlicesEdit.text, count)

    def _showRows(self) -> None:
        region = comboData(self._ui.finishedRegionSelector)
        showRow(self._ui, "finishedAxisSelector", region == SLICES)
        showRow(self._ui, "finishedRoiSelector", region == ROI)
        for name in ("finishedSlicesEdit", "finishedSlicesLabel"):
            getattr(self._ui, name).setVisible(region == SLICES)

    def _regionChanged(self, _index: int) -> None:
        self._showRows()
        self._onChanged()

    def _axisChanged(self, _index: int) -> None:
        if self._proposal is not None:
            painted = self._proposal.painted.along(comboData(self._ui.finishedAxisSelector))
            with quiet(self._ui.finishedSlicesEdit):
                self._ui.finishedSlicesEdit.text = slicesText(painted)
        self._onChanged()

    def _roiChanged(self, roi: Any) -> None:
        if roi is not None and isEmptyRoi(roi) and self._proposal is not None:
            fitRoi(roi, self._proposal.volumes[0])
        self._onChanged()

    def _changed(self, _what: Any = None) -> None:
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


def sliceCount(volumeNode: Any, axis: str) -> int:
    """How many slices a volume has along "k", "j" or "i"."""
    return int(volumeNode.GetImageData().GetDimensions()["ijk".index(axis)])


def axisTitle(volumeNode: Any, axis: str) -> str:
    """What slices along an axis of the volume are called, and how many there are: "axial, 48 slices"."""
    along = int(np.argmax(np.abs(_directions(volumeNode)[:, "ijk".index(axis)])))
    names = (_("sagittal"), _("coronal"), _("axial"))
    return _("{name}, {count} slices").format(name=names[along], count=sliceCount(volumeNode, axis))


def _directions(volumeNode: Any) -> np.ndarray:
    """Columns: where the axes i, j, k point to in RAS."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASDirectionMatrix(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(3)] for row in range(3)])
