"""The module's Python keeps to what PythonQt accepts; the check itself is tested on good and bad samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import rules

MODULE = Path(__file__).resolve().parents[3] / "MedContextSegment"
OWN = frozenset({"MedContextSegmentLib"})

GOOD = """
from __future__ import annotations
import json
import numpy as np
import ctk, qt, slicer, vtk
from slicer.i18n import tr as _, translate
from medcontext.errors import InputError
from MedContextSegmentLib.Worker.Results import SegmentLabel
class W:
    def setup(self):
        import torch
        label = qt.QLabel(_("Text"))
        label.text = _("{n} labels").format(n=3)
        label.setText("x")
        self.timer = qt.QTimer()
        self.timer.connect("timeout()", self.poll)
        qt.QTimer.singleShot(0, self.poll)
        box = ctk.ctkCollapsibleButton()
        box.collapsed = True
        self.ui.applyButton.connect("clicked(bool)", self.poll)
        if self.ui.applyButton.enabled and self.ui.combo.currentIndex >= 0:
            self.ui.table.item(0, 0).text()
        item = qt.QTableWidgetItem("x")
        item.text() + str(qt.QSettings().value("key"))
        slicer.util.errorDisplay("x", detailedText="y")
        return sorted([3], key=lambda x: -x)
translate("context", "text")
"""

BAD = {
    "label = qt.QLabel(text='x')": "keyword",
    "ctk.ctkPathLineEdit(parent=None)": "keyword",
    "slicer.qMRMLNodeComboBox(parent=None)": "keyword",
    "b = qt.QPushButton('x')\nb.setText(text='y')": "keyword",
    "class A:\n def f(self):\n  self.t = qt.QTimer()\n  self.t.start(msec=3)": "keyword",
    "class A:\n def f(self):\n  self.ui.combo.addItem(text='a')": "keyword",
    "class A:\n def f(self):\n  return self.ui.combo.currentText()": "property",
    "ui.edit.text()": "property",
    "b = qt.QPushButton('x')\nif b.enabled(): pass": "property",
    "qt.Signal(int)": "PythonQt",
    "@qt.Slot()\ndef f(): pass": "PythonQt",
    "from PySide6 import QtCore": "does not exist",
    "def f():\n import PyQt5": "does not exist",
    "import imp": "does not exist",
    "dialog.exec()": "exec_",
    "_(f'{x} labels')": "literal",
    "_('{x}'.format(x=1))": "literal",
    "translate('context', text)": "literal",
    "qt.QWebEngineWidget()": "list of names",
    "ctk.ctkNothing()": "list of names",
    "slicer.qMRMLNothing()": "list of names",
    "import torch": "file scope",
    "try:\n import scipy\nexcept ImportError: pass": "file scope",
    "from medcontext.inference import run": "file scope",
    "class A:\n import monai": "file scope",
}


def test_good_code_passes() -> None:
    assert rules.check_source(GOOD, own=OWN) == []


@pytest.mark.parametrize(("source", "word"), BAD.items(), ids=list(BAD))
def test_bad_code_is_found(source: str, word: str) -> None:
    problems = rules.check_source(source)
    assert len(problems) == 1
    assert word in problems[0].text


def test_unknown_widget_class_in_a_ui_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.ui"
    path.write_text(
        '<ui><widget class="QWidget"><widget class="ctkNothing"/></widget></ui>', encoding="utf-8"
    )
    assert ["ctkNothing" in problem.text for problem in rules.check_ui(path)] == [True]


def test_the_module_keeps_to_the_rules() -> None:
    files = sorted(MODULE.rglob("*.py"))
    assert files, "the module has no Python files"
    problems = [problem for path in files for problem in rules.check_file(path, OWN)]
    assert not problems, "\n".join(map(str, problems))


def test_the_panels_use_widgets_that_exist() -> None:
    files = sorted(MODULE.rglob("*.ui"))
    assert files, "the module has no panel"
    problems = [problem for path in files for problem in rules.check_ui(path)]
    assert not problems, "\n".join(map(str, problems))
