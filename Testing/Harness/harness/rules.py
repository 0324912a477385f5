"""What PythonQt and Slicer reject in the Python of a module, found without running it.

It is decidable only where the source says that something is a Qt object: constructors (``qt.QLabel(...)``), variables
and attributes assigned from one, and the children of a .ui file (``ui.name``, ``self.ui.name``).
"""

from __future__ import annotations

import ast
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import slicer_names

FOREIGN = {"PySide2", "PySide6", "PyQt5", "PyQt6", "shiboken6", "imp"}
AT_FILE_SCOPE = set(sys.stdlib_module_names) - {"imp"} | {"numpy", "vtk", "slicer", "qt", "ctk"}
# Of medcontext.
FLOOR_0 = {
    "batch_ledger",
    "case_list",
    "cards",
    "correction_facts",
    "dataset_form",
    "disk",
    "errors",
    "events",
    "exchange",
    "geometry",
    "home",
    "jobs",
    "label_matching",
    "labels",
    "redo_forms",
}
ONLY_IN_PYSIDE = {"Signal", "Slot", "Property", "SIGNAL", "SLOT", "pyqtSignal", "pyqtSlot", "Q_ARG"}
TRANSLATIONS = {"_": 0, "tr": 0, "translate": 1}  # function -> position of the text
NAMES = {"qt": slicer_names.QT, "ctk": slicer_names.CTK}


@dataclass(frozen=True)
class Problem:
    """One finding: the line and a sentence."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


def check_file(path: Path, own: frozenset[str] = frozenset()) -> list[Problem]:
    """Check one .py file. `own`: packages of the module that may be imported at file scope."""
    return check_source(path.read_text(encoding="utf-8"), str(path), own)


def check_source(source: str, name: str = "<source>", own: frozenset[str] = frozenset()) -> list[Problem]:
    """Check source text; see :func:`check_file`."""
    tree = ast.parse(source, name)
    found = [*_imports(tree, own), *_Rules(tree).problems()]
    return [Problem(name, line, text) for line, text in sorted(set(found))]


def check_ui(path: Path) -> list[Problem]:
    """Widget classes of a .ui file that neither Qt, CTK nor Slicer has."""
    known = slicer_names.QT | slicer_names.CTK | slicer_names.SLICER | {"Line"}
    classes = {node.get("class", "") for node in ElementTree.parse(path).getroot().iter("widget")}
    return [Problem(str(path), 0, f"unknown widget class {name}") for name in sorted(classes - known)]


def _imports(tree: ast.Module, own: frozenset[str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        for module in _modules(node):
            if module.split(".")[0] in FOREIGN:
                yield node.lineno, f"{module} does not exist in Slicer"  # type: ignore[attr-defined]
    for node in _file_scope(tree.body):
        for module in _modules(node):
            top, _, rest = module.partition(".")
            floor = top == "medcontext" and (not rest or rest.split(".")[0] in FLOOR_0)
            if top not in AT_FILE_SCOPE | own and not floor and top not in FOREIGN:
                yield node.lineno, f"{module} is imported at file scope; import it where it is used"


def _file_scope(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
            yield from _file_scope([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            handlers = [statement for handler in node.handlers for statement in handler.body]
            yield from _file_scope([*node.body, *handlers, *node.orelse, *node.finalbody])
        elif isinstance(node, (ast.With, ast.ClassDef)):
            yield from _file_scope(node.body)


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        if node.module == "medcontext":
            return [f"medcontext.{alias.name}" for alias in node.names]
        return [node.module or ""]
    return []


class _Rules:
    """The rules that need to know which expressions are Qt objects."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._kinds: dict[str, str] = {}  # variable or attribute -> class it was constructed from
        for node in ast.walk(tree):
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                kind = _constructed(node.value)
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if kind:
                        self._kinds[ast.unparse(target)] = kind

    def problems(self) -> Iterator[tuple[int, str]]:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Attribute):
                yield from _names(node)
            elif isinstance(node, ast.Call):
                yield from self._call(node)

    def _call(self, node: ast.Call) -> Iterator[tuple[int, str]]:
        function = node.func
        method = function.attr if isinstance(function, ast.Attribute) else ""
        if method == "exec":
            yield node.lineno, "exec() is not in every Slicer; exec_() is"
        kind = self._kind(function.value) if isinstance(function, ast.Attribute) else ""
        if node.keywords and (kind or _constructed(node)):
            yield node.lineno, f"{ast.unparse(function)}() takes no keyword arguments in PythonQt"
        has_properties = kind not in ("", "class") and kind not in slicer_names.WITHOUT_PROPERTIES
        if has_properties and method in slicer_names.PROPERTIES:
            yield node.lineno, f"{ast.unparse(function)} is a property; it cannot be called"
        yield from _translation(node)

    def _kind(self, node: ast.expr) -> str:
        """Class of a Qt object; "widget" for a child of a .ui file, "class" for a class, "" for anything else."""
        text = ast.unparse(node)
        if text in self._kinds or _constructed(node):
            return self._kinds.get(text) or _constructed(node)
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            if owner in ("qt", "ctk"):
                return "class"
            return "widget" if owner in ("ui", "self.ui", "self._ui") else ""
        return ""


def _constructed(node: ast.expr) -> str:
    """The class in ``qt.QX(...)``, ``ctk.ctkX(...)`` or ``slicer.qX(...)``, else ""."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return ""
    owner, name = node.func.value, node.func.attr
    if not isinstance(owner, ast.Name):
        return ""
    known = owner.id in ("qt", "ctk") or (owner.id == "slicer" and name.startswith(("qMRML", "qSlicer")))
    return name if known else ""


def _names(node: ast.Attribute) -> Iterator[tuple[int, str]]:
    if not isinstance(node.value, ast.Name):
        return
    owner, name = node.value.id, node.attr
    if owner == "qt" and name in ONLY_IN_PYSIDE:
        yield node.lineno, f"qt.{name} does not exist in PythonQt"
    elif owner in NAMES and name not in NAMES[owner]:
        yield node.lineno, f"{owner}.{name} is not in the list of names that exist in Slicer"
    elif owner == "slicer" and name.startswith(("qMRML", "qSlicer")) and name not in slicer_names.SLICER:
        yield node.lineno, f"slicer.{name} is not in the list of names that exist in Slicer"


def _translation(node: ast.Call) -> Iterator[tuple[int, str]]:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    position = TRANSLATIONS.get(name)
    if position is None or len(node.args) <= position:
        return
    text = node.args[position]
    if not (isinstance(text, ast.Constant) and isinstance(text.value, str)):
        yield node.lineno, f"{name}() takes a literal text; put values in with .format() outside"
