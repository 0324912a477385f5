"""What the module imports into Slicer's own process: light things, from Slicer or from the lowest floor."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[4] / "MedContextSegment"
FILES = sorted(MODULE.rglob("*.py"))

FLOOR_0 = {
    "errors",
    "geometry",
    "labels",
    "events",
    "cards",
    "jobs",
    "home",
    "exchange",
    "redo_forms",
    "batch_ledger",
    "disk",
    "case_list",
    "correction_facts",
    "dataset_form",
    "label_matching",
}
OF_SLICER = {"slicer", "qt", "ctk", "vtk", "numpy"}
OWN = {"MedContextSegmentLib", "MedContextSegment"}
LATER = {"packaging", "PyTorchUtils", "SampleData", "SegmentStatistics", "DICOMLib"}
"""Parts of Slicer and of its extensions that may be imported inside functions only: not every Slicer has them."""


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module a file imports, and whether it does so when it is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [f"{module}.{alias.name}" if module == "medcontext" else module for alias in node.names]
        for name in names:
            yield name, id(node) not in inner


def allowed(name: str, at_file_scope: bool) -> bool:
    top, _, rest = name.partition(".")
    if top == "medcontext":
        return not rest or rest.partition(".")[0] in FLOOR_0
    return top in sys.stdlib_module_names | OF_SLICER | OWN or (not at_file_scope and top in LATER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_only_light_things_are_imported(path: Path) -> None:
    assert [name for name, at_file_scope in imports(path) if not allowed(name, at_file_scope)] == []


def test_the_check_finds_what_it_is_for(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    lines = [
        "import torch",
        "from medcontext import library, errors",
        "import json, vtk.util",
        "import PyTorchUtils",
    ]
    lines += ["def f():", "    import SampleData", "    import monai.networks"]
    path.write_text("\n".join(lines), encoding="utf-8")
    wrong = {name for name, at_file_scope in imports(path) if not allowed(name, at_file_scope)}
    assert wrong == {"torch", "medcontext.library", "monai.networks", "PyTorchUtils"}
