"""qMRMLSegmentsTableView: the segments of a segmentation with visibility, colour, name and status."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from harness.qmrml.observing import Observations
from harness.qmrml.widget import qMRMLWidget
from harness.stored import stored

VISIBLE, COLOR, OPACITY, NAME, STATUS = range(5)
ID_ROLE = QtCore.Qt.ItemDataRole.UserRole
STATUSES = ("Not started", "In progress", "Completed", "Flagged")


class qMRMLSegmentsTableView(qMRMLWidget):
    """Follows the segmentation node; a tick shows or hides a segment, a name can be edited."""

    SIGNALS: ClassVar = {"selectionChanged(QItemSelection,QItemSelection)": "selectionChanged"}
    selectionChanged = QtCore.Signal(QtCore.QItemSelection, QtCore.QItemSelection)
    segmentAboutToBeModified = QtCore.Signal(str)

    selectionMode, setSelectionMode = stored(int, 3, "_columns")
    headerVisible, setHeaderVisible = stored(bool, True, "_columns")
    visibilityColumnVisible, setVisibilityColumnVisible = stored(bool, True, "_columns")
    colorColumnVisible, setColorColumnVisible = stored(bool, True, "_columns")
    opacityColumnVisible, setOpacityColumnVisible = stored(bool, True, "_columns")
    statusColumnVisible, setStatusColumnVisible = stored(bool, False, "_columns")
    layerColumnVisible, setLayerColumnVisible = stored(bool, False)
    readOnly, setReadOnly = stored(bool, False, "_fill_again")
    filterBarVisible, setFilterBarVisible = stored(bool, False)
    textFilter, setTextFilter = stored(str, "", "_fill_again")
    jumpToSelectedSegmentEnabled, setJumpToSelectedSegmentEnabled = stored(bool, False)
    segmentCount = QtCore.Property(int, lambda self: self._table.rowCount)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._filling = False
        self._observations = Observations()
        self._table = QtWidgets.QTableWidget(0, 5, self)
        self._table.setHorizontalHeaderLabels(["", "", "Opacity", "Name", "Status"])
        self._table.verticalHeader().hide()
        self._table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows)
        header = self._table.horizontalHeader()
        for column in (VISIBLE, COLOR, OPACITY, STATUS):
            header.setSectionResizeMode(column, QtWidgets.QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QtWidgets.QHeaderView.ResizeMode.Stretch)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)
        self._table.selectionModel().connect(
            "selectionChanged(QItemSelection,QItemSelection)", self._selected
        )
        self._table.itemChanged.connect(self._edited)
        self._columns()

    def tableWidget(self) -> Any:
        return self._table

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        if node is not None and not node.IsA("vtkMRMLSegmentationNode"):
            node = None
        self._node = node
        self._observations.clear()
        if node is not None:
            segmentation, events = node.GetSegmentation(), slicer.vtkSegmentation
            for event in (
                events.SegmentAdded,
                events.SegmentRemoved,
                events.SegmentModified,
                events.SegmentsOrderModified,
            ):
                self._observations.add(segmentation, event, self._changed)
            self._observations.add(node, slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent, self._changed)
            scene = node.GetScene()
            self._observations.add(
                scene, slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._removed, with_object=True
            )
        self._fill()

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        rows = sorted({index.row() for index in self._table.selectionModel().selectedIndexes})
        return tuple(self.segmentIDForRow(row) for row in rows)

    def setSelectedSegmentIDs(self, segmentIDs: Any) -> None:
        self._table.clearSelection()
        model = self._table.selectionModel()
        flags = QtCore.QItemSelectionModel.SelectionFlag
        for segmentId in segmentIDs:
            row = self.rowForSegmentID(segmentId)
            if row >= 0:
                model.select(self._table.model().index(row, 0), flags.Select | flags.Rows)

    def clearSelection(self) -> None:
        self._table.clearSelection()

    def rowForSegmentID(self, segmentID: str) -> int:
        rows = range(self._table.rowCount)
        return next((row for row in rows if self.segmentIDForRow(row) == segmentID), -1)

    def segmentIDForRow(self, row: int) -> str:
        item = self._table.item(row, NAME)
        return item.data(ID_ROLE) if item else ""

    def displayedSegmentIDs(self) -> tuple[str, ...]:
        return tuple(self.segmentIDForRow(row) for row in range(self._table.rowCount))

    def _changed(self, _data: Any) -> None:
        self._fill_again()

    def _removed(self, node: Any) -> None:
        if node is self._node:
            self.setSegmentationNode(None)

    def _columns(self) -> None:
        self._table.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode(self.selectionMode))
        self._table.horizontalHeader().setVisible(self.headerVisible)
        for column, shown in (
            (VISIBLE, self.visibilityColumnVisible),
            (COLOR, self.colorColumnVisible),
            (OPACITY, self.opacityColumnVisible),
            (STATUS, self.statusColumnVisible),
        ):
            self._table.setColumnHidden(column, not shown)

    def _selected(self, new: Any, old: Any) -> None:
        if not self._filling:
            self.selectionChanged.emit(new, old)

    def _fill_again(self) -> None:
        if self._filling:
            return
        selected = self.selectedSegmentIDs()
        self._fill(selected)
        if self.selectedSegmentIDs() != selected:
            self.selectionChanged.emit(QtCore.QItemSelection(), QtCore.QItemSelection())

    def _fill(self, selected: tuple[str, ...] = ()) -> None:
        self._filling = True
        try:
            segmentation = self._node.GetSegmentation() if self._node else None
            ids = segmentation.GetSegmentIDs() if segmentation else ()
            words = self.textFilter.lower()
            ids = [entry for entry in ids if words in _name(segmentation.GetSegment(entry)).lower()]
            self._table.setRowCount(len(ids))
            for row, segmentId in enumerate(ids):
                self._fill_row(row, segmentId, segmentation.GetSegment(segmentId))
            self.setSelectedSegmentIDs(selected)
        finally:
            self._filling = False

    def _fill_row(self, row: int, segmentId: str, segment: Any) -> None:
        flags = QtCore.Qt.ItemFlag
        editable = flags.NoItemFlags if self.readOnly else flags.ItemIsEditable
        base = flags.ItemIsEnabled | flags.ItemIsSelectable
        display = self._node.GetDisplayNode()
        shown = display is None or segmentId in display.GetVisibleSegmentIDs()
        visible = QtWidgets.QTableWidgetItem()
        visible.setCheckState(QtCore.Qt.CheckState.Checked if shown else QtCore.Qt.CheckState.Unchecked)
        visible.setFlags(base | flags.ItemIsUserCheckable)
        color = QtWidgets.QTableWidgetItem()
        color.setBackground(QtGui.QColor.fromRgbF(*segment.GetColor()))
        color.setFlags(base)
        opacity = QtWidgets.QTableWidgetItem(
            f"{display.GetSegmentOpacity3D(segmentId) if display and shown else 1.0:.2f}"
        )
        opacity.setFlags(base)
        name = QtWidgets.QTableWidgetItem(_name(segment))
        name.setData(ID_ROLE, segmentId)
        name.setFlags(base | editable)
        state = slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentStatus(segment)
        status = QtWidgets.QTableWidgetItem(STATUSES[state])
        status.setFlags(base)
        for column, item in enumerate((visible, color, opacity, name, status)):
            self._table.setItem(row, column, item)

    def _edited(self, item: Any) -> None:
        if self._filling or self._node is None:
            return
        segmentId = self.segmentIDForRow(item.row())
        if item.column() == NAME:
            self.segmentAboutToBeModified.emit(segmentId)
            self._node.GetSegmentation().GetSegment(segmentId).SetName(item.text())
        elif item.column() == VISIBLE and self._node.GetDisplayNode():
            on = item.checkState() == QtCore.Qt.CheckState.Checked
            self._node.GetDisplayNode().SetSegmentVisibility(segmentId, on)


def _name(segment: Any) -> str:
    return segment.GetName() or ""  # a segment that undo brings back is announced before it has its name
