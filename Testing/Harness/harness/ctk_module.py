"""Stand-ins for CTK widgets: the same properties, methods and signals, plain Qt widgets inside."""

from __future__ import annotations

import types
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from harness.ctk_numbers import ctkDoubleSpinBox, ctkRangeWidget, ctkSliderWidget
from harness.ctk_paths import ctkDirectoryButton, ctkPathLineEdit
from harness.stored import stored


class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A header that shows or hides what is below it."""

    contentsCollapsed = QtCore.Signal(bool)
    collapsed, setCollapsed = stored(bool, False, "_update")
    flat, setFlat = stored(bool, False)
    collapsedHeight, setCollapsedHeight = stored(int, 10)
    contentsLineWidth, setContentsLineWidth = stored(int, 1)
    contentsMidLineWidth, setContentsMidLineWidth = stored(int, 0)
    contentsFrameShape = QtCore.Property(
        QtWidgets.QFrame.Shape, lambda _self: QtWidgets.QFrame.Shape.StyledPanel
    )
    contentsFrameShadow = QtCore.Property(
        QtWidgets.QFrame.Shadow, lambda _self: QtWidgets.QFrame.Shadow.Raised
    )

    def __init__(self, text: Any = None, parent: Any = None) -> None:
        super().__init__(text if isinstance(text, QtWidgets.QWidget) else parent)
        if isinstance(text, str):
            self.setText(text)
        self._hidden: list[Any] = []
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Minimum, QtWidgets.QSizePolicy.Policy.Preferred)
        self.setContentsMargins(0, self._header(), 0, 0)
        self.clicked.connect(lambda: self.setCollapsed(not self.collapsed))

    def _header(self) -> int:
        return self.fontMetrics().height() + 10

    def _update(self) -> None:
        children = [child for child in self.children() if isinstance(child, QtWidgets.QWidget)]
        if self.collapsed:
            self._hidden = [child for child in children if not child.isHidden()]
            for child in self._hidden:
                child.hide()
            self.setMaximumHeight(self._header())
        else:
            self.setMaximumHeight(16777215)
            for child in self._hidden:
                child.show()
        self.updateGeometry()
        self.contentsCollapsed.emit(self.collapsed)

    def sizeHint(self) -> QtCore.QSize:
        if self.collapsed or self.layout() is None:
            return QtCore.QSize(self.fontMetrics().horizontalAdvance(self.text) + 30, self._header())
        return self.layout().totalSizeHint()

    def minimumSizeHint(self) -> QtCore.QSize:
        if self.collapsed or self.layout() is None:
            return QtCore.QSize(self.fontMetrics().horizontalAdvance(self.text) + 30, self._header())
        return self.layout().totalMinimumSize()

    def hitButton(self, pos: QtCore.QPoint) -> bool:
        return pos.y() < self._header()

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        header = QtCore.QRect(0, 0, self.width, self._header())
        painter.setPen(self.palette.color(QtGui.QPalette.ColorRole.Mid))
        painter.drawRect(self.contentsRect().adjusted(0, -1, -1, -1))
        option.rect = header
        self.style().drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, option, painter, self)
        arrows = QtWidgets.QStyle.PrimitiveElement
        option.rect = QtCore.QRect(6, (self._header() - 12) // 2, 12, 12)
        arrow = arrows.PE_IndicatorArrowRight if self.collapsed else arrows.PE_IndicatorArrowDown
        self.style().drawPrimitive(arrow, option, painter, self)
        painter.setPen(self.palette.color(QtGui.QPalette.ColorRole.ButtonText))
        flags = QtCore.Qt.AlignmentFlag.AlignVCenter | QtCore.Qt.TextFlag.TextShowMnemonic
        painter.drawText(header.adjusted(24, 0, 0, 0), flags, self.text)


class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):
    """A group box whose title hides its contents."""

    collapsed, setCollapsed = stored(bool, False, "_update")
    collapsedHeight, setCollapsedHeight = stored(int, 10)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.setCheckable(True)
        self.connect("toggled(bool)", lambda on: self.setCollapsed(not on))

    def _update(self) -> None:
        self.setChecked(not self.collapsed)
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                child.setVisible(not self.collapsed)


class ctkComboBox(QtWidgets.QComboBox):
    """A combo box with a text for "nothing chosen"."""

    defaultText, setDefaultText = stored(str, "", "_update")
    scrollWheelEffect, setScrollWheelEffect = stored(int, 2)

    def _update(self) -> None:
        self.setPlaceholderText(self.defaultText)


class ctkCheckableComboBox(ctkComboBox):
    """A combo box whose entries can be ticked."""

    checkedIndexesChanged = QtCore.Signal()

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.model().connect("dataChanged(QModelIndex,QModelIndex,QList<int>)", self._changed)
        self.model().connect("rowsInserted(QModelIndex,int,int)", self._added)

    def _added(self, _parent: Any, first: int, last: int) -> None:
        for row in range(first, last + 1):
            item = self.model().item(row)
            item.setFlags(item.flags() | QtCore.Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(QtCore.Qt.CheckState.Unchecked)

    def _changed(self, *_args: Any) -> None:
        self.checkedIndexesChanged.emit()

    def checkedIndexes(self) -> tuple[Any, ...]:
        rows = range(self.model().rowCount())
        indexes = [self.model().index(row, 0) for row in rows]
        return tuple(index for index in indexes if self.checkState(index) == QtCore.Qt.CheckState.Checked)

    def checkState(self, index: Any) -> Any:
        return self.model().itemFromIndex(index).checkState()

    def setCheckState(self, index: Any, state: Any) -> None:
        self.model().itemFromIndex(index).setCheckState(state)

    def allChecked(self) -> bool:
        return self.count > 0 and len(self.checkedIndexes()) == self.count

    def noneChecked(self) -> bool:
        return not self.checkedIndexes()


class ctkMenuButton(QtWidgets.QPushButton):
    """A push button with a separate arrow for its menu."""


class ctkPushButton(QtWidgets.QPushButton):
    """A push button with an icon and a text that can be aligned."""


class ctkCheckBox(QtWidgets.QCheckBox):
    """A check box that can show an icon as its indicator."""


class ctkSearchBox(QtWidgets.QLineEdit):
    """A line edit with a magnifier and a button to clear it."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setPlaceholderText("Search...")
        self.setClearButtonEnabled(True)

    showSearchIcon, setShowSearchIcon = stored(bool, False)
    alwaysShowClearIcon, setAlwaysShowClearIcon = stored(bool, False)


class ctkExpandableWidget(QtWidgets.QFrame):
    """A frame whose height a person can drag."""


class ctkFittedTextBrowser(QtWidgets.QTextBrowser):
    """A text browser as high as its text."""

    collapsed, setCollapsed = stored(bool, True)
    showDetailsText, setShowDetailsText = stored(str, "Show details...")
    hideDetailsText, setHideDetailsText = stored(str, "Hide details.")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setVerticalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.connect("textChanged()", self._fit)

    def setCollapsibleText(self, text: str) -> None:
        self.setHtml(text)

    def _fit(self) -> None:
        self.document().setTextWidth(max(self.viewport().width, 100))
        self.setFixedHeight(int(self.document().size().height()) + 2 * self.frameWidth)

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._fit()


class ctkMessageBox(QtWidgets.QMessageBox):
    """A message box with "Don't show this message again"."""

    dontShowAgain, setDontShowAgain = stored(bool, False)
    dontShowAgainVisible, setDontShowAgainVisible = stored(bool, False)
    dontShowAgainSettingsKey, setDontShowAgainSettingsKey = stored(str, "")


class ctkColorPickerButton(QtWidgets.QPushButton):
    """A button that shows and changes a colour."""

    colorChanged = QtCore.Signal(QtGui.QColor)
    color, setColor = stored(QtGui.QColor, QtGui.QColor(), "_update")
    displayColorName, setDisplayColorName = stored(bool, True)

    def _update(self) -> None:
        self.setText(self.color.name() if self.displayColorName else "")
        swatch = QtGui.QPixmap(12, 12)
        swatch.fill(self.color)
        self.setIcon(QtGui.QIcon(swatch))
        self.colorChanged.emit(self.color)


class ctkWidgetsUtils:
    """Static helpers."""

    @staticmethod
    def grabWidget(widget: Any) -> Any:
        return widget.grab().toImage()


CLASSES = (
    ctkCheckBox,
    ctkCheckableComboBox,
    ctkCollapsibleButton,
    ctkCollapsibleGroupBox,
    ctkColorPickerButton,
    ctkComboBox,
    ctkDirectoryButton,
    ctkDoubleSpinBox,
    ctkExpandableWidget,
    ctkFittedTextBrowser,
    ctkMenuButton,
    ctkMessageBox,
    ctkPathLineEdit,
    ctkPushButton,
    ctkRangeWidget,
    ctkSearchBox,
    ctkSliderWidget,
)


def make_module() -> types.ModuleType:
    module = types.ModuleType("ctk")
    for kind in (*CLASSES, ctkWidgetsUtils):
        setattr(module, kind.__name__, kind)
    return module
