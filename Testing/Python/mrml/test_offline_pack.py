"""A pack is used only when it is whole, unchanged and made for this computer."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

import pytest

from medcontext.errors import InputError

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
MACHINE = {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "Päck 1"
    files = {"wheels/einops-0.8-py3-none-any.whl": b"wheel", "models/liver-1.0.zip": b"model"}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(content)
    data = {
        "schema_version": 1,
        "purpose": "segment",
        "python": PYTHON,
        "system": sys.platform,
        "machine": MACHINE,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    (folder / "pack.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


def change(folder: Path, **changes: Any) -> None:
    path = folder / "pack.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def open_it(folder: Path) -> Any:
    from MedContextSegmentLib.Setup.OfflinePack import openPack

    return openPack(folder)


def test_a_good_pack(pack: Path) -> None:
    opened = open_it(pack)
    assert opened.purpose == "segment"
    assert opened.wheels == pack / "wheels"
    assert [path.name for path in opened.models] == ["liver-1.0.zip"]


def test_slicer_gets_its_turn_while_files_are_read(pack: Path) -> None:
    from MedContextSegmentLib.Setup.OfflinePack import openPack

    turns: list[int] = []
    openPack(pack, lambda: turns.append(1))
    assert len(turns) >= 2


@pytest.mark.parametrize("name", ["wheels/einops-0.8-py3-none-any.whl", "models/liver-1.0.zip"])
def test_a_changed_or_missing_file_is_named(pack: Path, name: str) -> None:
    (pack / name).write_bytes(b"evil!")
    with pytest.raises(InputError, match=Path(name).name):
        open_it(pack)
    (pack / name).unlink()
    with pytest.raises(InputError, match="missing"):
        open_it(pack)


def test_a_wheel_that_is_not_listed_is_refused(pack: Path) -> None:
    (pack / "wheels" / "torch-9-py3-none-any.whl").write_bytes(b"")
    with pytest.raises(InputError, match="torch-9"):
        open_it(pack)


@pytest.mark.parametrize(
    "changes", [{"python": "3.9"}, {"system": "plan9"}, {"machine": "mips"}], ids=lambda changes: str(changes)
)
def test_a_pack_for_another_computer_says_for_which(pack: Path, changes: dict[str, str]) -> None:
    change(pack, **changes)
    with pytest.raises(InputError, match=next(iter(changes.values()))):
        open_it(pack)


@pytest.mark.parametrize(
    "name", ["../pack.json", "wheels/../../x", "/etc/passwd", "wheels", "other/x.whl", "wheels\\x"]
)
def test_names_that_leave_the_folder_are_refused(pack: Path, name: str) -> None:
    change(pack, files={name: "0" * 64})
    with pytest.raises(InputError, match="outside"):
        open_it(pack)


def test_a_folder_that_is_no_pack_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_it(tmp_path)
    assert "medcontext pack" in caught.value.hint


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": "1"}', "\x00"])
def test_a_damaged_list_is_refused(pack: Path, text: str) -> None:
    (pack / "pack.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"pack\.json"):
        open_it(pack)


def test_a_pack_of_a_later_version_asks_for_an_update(pack: Path) -> None:
    change(pack, schema_version=2)
    with pytest.raises(InputError, match="newer version"):
        open_it(pack)
