"""Offline packs: what is downloaded, for whom, and that only whole packs appear. No network is used."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medcontext.api import PackRequest, make_pack
from medcontext.cli.app import app
from medcontext.errors import CancelledError, InputError
from medcontext.events import Reporter
from medcontext.workflows import pack

MakeWheel = Callable[..., Path]

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"

VERSIONS = {
    "dynamic-network-architectures": "0.3.1",
    "einops": "0.8.1", "monai": "1.5.0", "psutil": "7.0", "pydantic": "2.11.0", "PyYAML": "6.0.2",
    "safetensors": "0.5.0", "torch": "2.7.0", "accelerate": "1.6", "filelock": "3.18", "matplotlib": "3.10",
    "rich": "14.0", "typer": "0.16",
}  # fmt: skip


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_wheel: MakeWheel) -> Path:
    """A folder in place of the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, version in VERSIONS.items():
        make_wheel(folder, name, version)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def contents(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "pack.json").read_text(encoding="utf-8"))


def test_a_pack_holds_packages_models_and_their_hashes(index: Path, tmp_path: Path) -> None:
    assert index.is_dir()
    folder = tmp_path / "Päck für Büro 3"
    make_pack(PackRequest(folder, models=["hippocampus"], python="3.12"))
    data = contents(folder)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {
        "pack.json"
    }
    assert set(data["files"]) == files
    for name, digest in data["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    wheels = {name.split("/")[1].split("-")[0] for name in files if name.startswith("wheels/")}
    assert wheels == {
        "dynamic_network_architectures",
        "einops",
        "monai",
        "psutil",
        "pydantic",
        "pyyaml",
        "safetensors",
        "torch",
    }
    assert len([name for name in files if name.startswith("models/hippocampus-")]) == 1
    assert (data["python"], data["purpose"]) == ("3.12", "segment")


def test_training_needs_everything_but_what_slicer_ships(index: Path, tmp_path: Path) -> None:
    assert index.is_dir()
    make_pack(PackRequest(tmp_path / "pack", purpose="train"))
    wheels = {path.name.split("-")[0] for path in (tmp_path / "pack" / "wheels").iterdir()}
    assert wheels == {name.lower().replace("-", "_") for name in VERSIONS}


def test_wheels_are_those_of_the_other_computer(index: Path, tmp_path: Path, make_wheel: MakeWheel) -> None:
    for path in index.glob("torch*"):
        path.unlink()
    wanted = make_wheel(index, "torch", "2.8.0", "cp312-cp312-manylinux_2_28_x86_64")
    make_wheel(index, "torch", "2.8.0", "cp312-cp312-win_amd64")
    make_wheel(index, "torch", "2.8.0", "cp311-cp311-manylinux_2_28_x86_64")
    make_wheel(index, "torch", "2.8.0", "cp312-cp312-manylinux_2_39_x86_64")
    make_pack(PackRequest(tmp_path / "pack", system="linux", python="3.12"))
    assert [path.name for path in (tmp_path / "pack" / "wheels").glob("torch*")] == [wanted.name]


def test_versions_of_the_other_computer_are_kept(index: Path, tmp_path: Path, make_wheel: MakeWheel) -> None:
    make_wheel(index, "pydantic", "2.8.0")
    frozen = tmp_path / "frozen.txt"
    frozen.write_text("pydantic==2.8.0\nnumpy==2.0.2\n", encoding="utf-8")
    make_pack(PackRequest(tmp_path / "pack", constraints=frozen))
    names = [path.name for path in (tmp_path / "pack" / "wheels").glob("pydantic*")]
    assert names == ["pydantic-2.8.0-py3-none-any.whl"]


def test_a_version_that_must_not_be_used_is_not_packed(
    index: Path, tmp_path: Path, make_wheel: MakeWheel
) -> None:
    make_wheel(index, "torch", "2.9.1")
    make_pack(PackRequest(tmp_path / "pack"))
    assert [path.name for path in (tmp_path / "pack" / "wheels").glob("torch*")] == [
        "torch-2.7.0-py3-none-any.whl"
    ]


@pytest.mark.parametrize("broken", ["no wheel", "no model"])
def test_nothing_appears_when_something_is_missing(index: Path, tmp_path: Path, broken: str) -> None:
    if broken == "no wheel":
        next(index.glob("monai*")).unlink()
    models = ["nothing"] if broken == "no model" else []
    with pytest.raises(InputError, match="monai" if broken == "no wheel" else "There is no model 'nothing'"):
        make_pack(PackRequest(tmp_path / "packs" / "pack", models=models))
    assert not (tmp_path / "packs").exists() or not list((tmp_path / "packs").iterdir())


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="not empty"):
        make_pack(PackRequest(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("python", ["3", "twelve", "3.12.1", "2.7"])
def test_a_strange_python_version_is_refused(tmp_path: Path, python: str) -> None:
    with pytest.raises(InputError, match="no Python version"):
        make_pack(PackRequest(tmp_path / "pack", python=python))


def test_stopping_ends_pip_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = tmp_path / "pid"
    code = f"import os, time; open({str(pids)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    monkeypatch.setattr(pack, "_download", lambda *args: pack._run([sys.executable, "-c", code], args[-1]))
    stop = threading.Event()
    threading.Thread(target=lambda: (wait_for(pids), stop.set()), daemon=True).start()
    with pytest.raises(CancelledError):
        make_pack(PackRequest(tmp_path / "out" / "pack"), Reporter(None, stop.is_set))
    assert not list((tmp_path / "out").iterdir())


def wait_for(path: Path) -> None:
    ends = time.monotonic() + 30
    while not path.exists() and time.monotonic() < ends:
        time.sleep(0.01)


def test_the_command_says_what_it_packed(index: Path, tmp_path: Path) -> None:
    assert index.is_dir()
    arguments = ["pack", "-o", str(tmp_path / "pack"), "-m", "hippocampus", "--python", HERE, "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    event = json.loads(result.stdout.splitlines()[-1])
    assert len(event["wheels"]) == len(pack.TO_SEGMENT)
    assert event["models"] == [path.name for path in (tmp_path / "pack" / "models").iterdir()]
