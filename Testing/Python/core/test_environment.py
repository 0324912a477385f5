"""What ``make test`` does on a computer that lacks something: install it where it may, else say so and go on."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ci_{name}", REPOSITORY / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def env() -> ModuleType:
    return script("env")


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script on a Linux without libEGL and without fonts."""
    module = script("libraries")
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setattr(module, "is_there", lambda library: library != "libEGL.so.1")
    monkeypatch.setattr(module, "has_font", lambda: False)
    return module


def test_where_there_is_no_slicer_core_the_rest_is_installed(
    env: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def pip(*arguments: str) -> str:
        asked.append(arguments[-1])
        return (
            "ERROR: No matching distribution found for slicer-core>=5.11" if "slicer" in arguments[-1] else ""
        )

    monkeypatch.setattr(env, "pip", pip)
    env.install()
    assert asked == [".[test,dicom,surfaces,cluster,slicer]", ".[test,dicom,surfaces,cluster]"]
    assert "tests of the Slicer module are skipped" in capsys.readouterr().err


def test_another_failure_ends_it_with_the_reason(
    env: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(env, "pip", lambda *_arguments: "ERROR: Could not connect")
    with pytest.raises(SystemExit, match="Installing failed"):
        env.install()
    assert "Could not connect" in capsys.readouterr().err


def test_where_nothing_is_missing_nothing_is_done(
    libraries: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(libraries, "is_there", lambda _library: True)
    monkeypatch.setattr(libraries, "has_font", lambda: True)
    monkeypatch.setattr(libraries, "root_prefix", lambda: pytest.fail("asked for root"))
    libraries.main()
    assert capsys.readouterr().err == ""


def test_other_systems_need_nothing(libraries: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries.sys, "platform", "darwin")
    monkeypatch.setattr(libraries, "missing", lambda: pytest.fail("looked"))
    libraries.main()


def fake_apt(folder: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> Path:
    """An ``apt-get`` that writes down what it is asked for."""
    log = folder / "log"
    program = folder / "apt-get"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> "{log}"\necho "E: no network" >&2\nexit {code}\n', encoding="utf-8"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return log


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_what_is_missing_is_installed_where_that_is_allowed(
    libraries: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = fake_apt(tmp_path, monkeypatch, 0)
    monkeypatch.setattr(libraries, "root_prefix", list)
    libraries.main()
    update, install = log.read_text(encoding="utf-8").splitlines()
    assert "update" in update
    assert install == "-qq install -y --no-install-recommends libegl1 fonts-dejavu-core"
    assert "skipped" not in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
@pytest.mark.parametrize("allowed", [True, False])
def test_what_cannot_be_installed_is_named_and_the_tests_go_on(
    libraries: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    allowed: bool,
) -> None:
    log = fake_apt(tmp_path, monkeypatch, 100)
    monkeypatch.setattr(libraries, "root_prefix", lambda: [] if allowed else None)
    libraries.main()
    assert log.exists() is allowed
    said = capsys.readouterr().err
    assert "sudo apt-get install --no-install-recommends libegl1 fonts-dejavu-core" in said
    assert "skipped" in said
    assert ("no network" in said) is allowed


def test_the_harness_names_the_same_libraries() -> None:
    script_ = script("libraries")
    text = (REPOSITORY / "Testing/Harness/harness/missing.py").read_text(encoding="utf-8")
    for package in (*script_.LIBRARIES.values(), script_.FONT):
        assert package in text


def test_make_test_asks_for_both() -> None:
    lines = (REPOSITORY / "Makefile").read_text(encoding="utf-8").splitlines()
    assert "test: env libraries" in lines
