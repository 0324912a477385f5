"""The folders of the module: what a person sees on top, what touches the scene or the worker below."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

LIB = Path(__file__).resolve().parents[4] / "MedContextSegment" / "MedContextSegmentLib"

BELOW = {
    "Setup": {"Worker", "Scene"},
    "Worker": set(),
    "Scene": {"Worker"},
    "Export": {"Worker", "Scene"},
    "Run": {"Worker", "Scene", "Setup"},
    "Learn": {"Worker", "Scene", "Setup", "Run"},
    "Explore": {"Worker", "Scene", "Setup", "Run", "Learn"},
    "Batch": {"Worker", "Scene", "Export", "Run", "Setup", "Learn"},
    "Panel": {"Worker", "Scene", "Export", "Run", "Setup", "Learn", "Explore", "Batch"},
}
"""Which folders each folder may import from, besides itself."""


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def breaches(lib: Path) -> list[str]:
    found = []
    for path in sorted(lib.rglob("*.py")):
        folder = path.relative_to(lib).parts[0]
        for name in imported(path):
            parts = name.split(".")
            other = parts[1] if parts[0] == "MedContextSegmentLib" and len(parts) > 1 else folder
            if folder in BELOW and other != folder and other not in BELOW[folder]:
                found.append(f"{path.relative_to(lib)} imports {name}")
    return found


def test_every_file_has_a_folder() -> None:
    assert [path.name for path in LIB.glob("*.py")] == ["__init__.py"]
    assert {path.name for path in LIB.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(BELOW)


def test_folders_import_only_from_those_below() -> None:
    assert breaches(LIB) == []


def test_the_check_finds_breaches(tmp_path: Path) -> None:
    (tmp_path / "Scene").mkdir()
    (tmp_path / "Scene" / "x.py").write_text("from MedContextSegmentLib.Panel.y import z\n", encoding="utf-8")
    assert len(breaches(tmp_path)) == 1
