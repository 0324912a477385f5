"""The user's folder lies where each platform puts such things."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from medcontext.home import home


def test_the_variable_overrides_the_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDCONTEXT_HOME", str(tmp_path / "a b"))
    assert home() == tmp_path / "a b"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDCONTEXT_HOME", "relative")
    assert home() == tmp_path / "relative"


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, ".local/share/medcontext"),
        ("linux", {"XDG_DATA_HOME": "{user}/data"}, "data/medcontext"),
        ("linux", {"XDG_DATA_HOME": "not/absolute"}, ".local/share/medcontext"),
        ("darwin", {"XDG_DATA_HOME": "{user}/data"}, "Library/Application Support/MedContext"),
        ("win32", {}, "AppData/Local/MedContext"),
        ("win32", {"LOCALAPPDATA": "{user}/L"}, "L/MedContext"),
    ],
)
def test_each_platform_has_its_place(
    platform: str, variables: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "platform", platform)
    for name in ("MEDCONTEXT_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(user=tmp_path))
    assert home() == tmp_path / expected
