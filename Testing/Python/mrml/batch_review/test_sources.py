"""Of which files a case was read, without reading those of all others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("slicer")


def write(path: Path, entries: dict[str, Any]) -> None:
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
    path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def test_each_case_has_its_own_line_whatever_it_is_called(tmp_path: Path) -> None:
    from MedContextSegmentLib.Batch.Sources import Sources

    names = ["a", 'quoted " and \\', "größe", "", "with: colon"]
    entries = {name: {"paths": [f"/scans/{number}"]} for number, name in enumerate(names)}
    path = tmp_path / "sources.json"
    sources = Sources(path)
    assert sources.entry("a") is None
    write(path, entries)
    assert {name: sources.entry(name) for name in names} == entries
    write(path, {"first": {"paths": ["/new"]}, **entries})  # a run that goes on has found more
    assert {name: sources.entry(name) for name in names} == entries
    assert sources.entry("first") == {"paths": ["/new"]}


def test_what_is_damaged_elsewhere_does_not_matter(tmp_path: Path) -> None:
    from MedContextSegmentLib.Batch.Sources import Sources

    path = tmp_path / "sources.json"
    path.write_text('{\n"a": {"paths": ["/a"]},\n"b": {"paths": ["/half\n', encoding="utf-8")
    sources = Sources(path)
    assert sources.entry("a") == {"paths": ["/a"]}
    with pytest.raises(ValueError, match="Unterminated"):
        sources.entry("b")
