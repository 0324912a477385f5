"""README and documentation say what the committed results say, and their links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
BENCHMARKS = REPOSITORY / "Testing" / "Benchmarks"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} points to {target}"


def test_tables_are_those_of_the_results() -> None:
    code = (
        "import tables\n"
        "for page in tables.PAGES:\n"
        "    text = page.read_text(encoding='utf-8')\n"
        "    assert '<!-- end -->' in text, page\n"
        "    assert tables.rendered(text) == text, f'{page.name} is not up to date: run tables.py'\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr


def test_commands_in_the_pages_exist() -> None:
    from typer.main import get_command

    from medcontext.cli.app import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    for page in PAGES:
        for word in re.findall(r"^ {4}medcontext (\w+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert word in known, f"{page.name} names the command {word}"
