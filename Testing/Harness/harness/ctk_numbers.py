"""Stand-ins for CTK's number widgets."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

STEPS = 1000  # positions of a slider over its range


class ctkDoubleSpinBox(QtWidgets.QWidget):
    """A spin box for numbers with decimals."""

    valueChanged = QtCore.Signal(float)
    decimalsChanged = QtCore.Signal(int)
    editingFinished = QtCore.Signal()

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._box = QtWidgets.QDoubleSpinBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.valueChanged.connect(self.valueChanged)
        self._box.editingFinished.connect(self.editingFinished)

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    def setMinimum(self, value: float) -> None:
        self._box.setMinimum(value)

    def setMaximum(self, value: float) -> None:
        self._box.setMaximum(value)

    def setRange(self, low: float, high: float) -> None:
        self._box.setRange(low, high)

    def setSingleStep(self, value: float) -> None:
        self._box.setSingleStep(value)

    def setDecimals(self, value: int) -> None:
        self._box.setDecimals(value)

    def setPrefix(self, value: str) -> None:
        self._box.setPrefix(value)

    def setSuffix(self, value: str) -> None:
        self._box.setSuffix(value)

    value = QtCore.Property(float, lambda self: self._box.value, setValue)
    minimum = QtCore.Property(float, lambda self: self._box.minimum, setMinimum)
    maximum = QtCore.Property(float, lambda self: self._box.maximum, setMaximum)
    singleStep = QtCore.Property(float, lambda self: self._box.singleStep, setSingleStep)
    decimals = QtCore.Property(int, lambda self: self._box.decimals, setDecimals)
    prefix = QtCore.Property(str, lambda self: self._box.prefix, setPrefix)
    suffix = QtCore.Property(str, lambda self: self._box.suffix, setSuffix)


class ctkSliderWidget(ctkDoubleSpinBox):
    """A slider and a spin box for one number."""

    valueIsChanging = QtCore.Signal(float)
    rangeChanged = QtCore.Signal(float, float)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        self._slider.setRange(0, STEPS)
        self.layout().insertWidget(0, self._slider, 1)
        self._page = 10.0
        self._tracking = True
        self._slider.valueChanged.connect(self._slid)
        self._box.valueChanged.connect(self._follow)
        self.setRange(0, 99)
        self.setDecimals(2)

    def _slid(self, position: int) -> None:
        if self._slider.hasFocus() or self._slider.isSliderDown():
            self.setValue(self.minimum + (self.maximum - self.minimum) * position / STEPS)

    def _follow(self, *_args: Any) -> None:
        span = self.maximum - self.minimum
        self._slider.setValue(round((self.value - self.minimum) / span * STEPS) if span else 0)

    def setMinimum(self, value: float) -> None:
        super().setMinimum(value)
        self._ranged()

    def setMaximum(self, value: float) -> None:
        super().setMaximum(value)
        self._ranged()

    def setRange(self, low: float, high: float) -> None:
        super().setRange(low, high)
        self._ranged()

    def _ranged(self) -> None:
        self._follow()
        self.rangeChanged.emit(self.minimum, self.maximum)

    def setPageStep(self, value: float) -> None:
        self._page = value

    def setTracking(self, value: bool) -> None:
        self._tracking = value

    def setSpinBoxVisible(self, value: bool) -> None:
        self._box.setVisible(value)

    minimum = QtCore.Property(float, lambda self: self._box.minimum, setMinimum)
    maximum = QtCore.Property(float, lambda self: self._box.maximum, setMaximum)
    pageStep = QtCore.Property(float, lambda self: self._page, setPageStep)
    tracking = QtCore.Property(bool, lambda self: self._tracking, setTracking)
    spinBoxVisible = QtCore.Property(bool, lambda self: not self._box.isHidden(), setSpinBoxVisible)


class ctkRangeWidget(QtWidgets.QWidget):
    """Two numbers, the lower never above the upper."""

    valuesChanged = QtCore.Signal(float, float)
    minimumValueChanged = QtCore.Signal(float)
    maximumValueChanged = QtCore.Signal(float)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._boxes = (QtWidgets.QDoubleSpinBox(), QtWidgets.QDoubleSpinBox())
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for box in self._boxes:
            layout.addWidget(box)
            box.valueChanged.connect(self._changed)

    def _changed(self, *_args: Any) -> None:
        self._boxes[0].setMaximum(self._boxes[1].value)
        self.minimumValueChanged.emit(self.minimumValue)
        self.maximumValueChanged.emit(self.maximumValue)
        self.valuesChanged.emit(self.minimumValue, self.maximumValue)

    def setMinimum(self, value: float) -> None:
        for box in self._boxes:
            box.setMinimum(value)

    def setMaximum(self, value: float) -> None:
        for box in self._boxes:
            box.setMaximum(value)

    def setMinimumValue(self, value: float) -> None:
        self._boxes[0].setValue(value)

    def setMaximumValue(self, value: float) -> None:
        self._boxes[1].setValue(value)

    def setValues(self, low: float, high: float) -> None:
        self.setMaximumValue(high)
        self.setMinimumValue(low)

    minimum = QtCore.Property(float, lambda self: self._boxes[0].minimum, setMinimum)
    maximum = QtCore.Property(float, lambda self: self._boxes[1].maximum, setMaximum)
    minimumValue = QtCore.Property(float, lambda self: self._boxes[0].value, setMinimumValue)
    maximumValue = QtCore.Property(float, lambda self: self._boxes[1].value, setMaximumValue)
