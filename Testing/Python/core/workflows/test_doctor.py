"""The doctor finds what would stop a user, and says what to do about it."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from typer.testing import CliRunner

from medcontext.cli.app import app
from medcontext.workflows import doctor
from medcontext.workflows.doctor import Finding, examine


def named(findings: list[Finding], name: str) -> list[Finding]:
    return [finding for finding in findings if finding.name == name]


def test_a_good_model_is_listed_and_a_changed_one_is_found(own_home: Path, a_model: Path) -> None:
    for name in ("good", "changed"):
        shutil.copytree(a_model, own_home / "models" / name)
    weights = own_home / "models" / "changed" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    found = [finding for finding in named(examine(), "Model") if "hippocampus" not in finding.value]
    assert sorted(finding.ok for finding in found) == [False, True]
    broken = next(finding for finding in found if not finding.ok)
    assert broken.advice


def test_little_memory_and_disk_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ENOUGH_MEMORY_GB", 1e6)
    monkeypatch.setattr(doctor, "ENOUGH_DISK_GB", 1e6)
    findings = examine()
    for name in ("Memory", "Disk"):
        (finding,) = named(findings, name)
        assert not finding.ok
        assert finding.advice


def test_held_back_threads_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 64)  # noqa: ARG005
    (finding,) = named(examine(), "Threads")
    assert "OMP_NUM_THREADS" in finding.advice


def test_the_report_names_versions_and_device_as_text_and_as_data() -> None:
    text = CliRunner().invoke(app, ["doctor"])
    assert text.exit_code == 0
    for word in ("MedContext", "Python", "torch", "Device", "Threads", "Memory", "Disk", "Model"):
        assert word in text.stdout
    lines = CliRunner().invoke(app, ["doctor", "--json"]).stdout.splitlines()
    assert {"name", "value", "ok", "advice"} == set(json.loads(lines[-1])["findings"][0])


@pytest.mark.parametrize(("library", "ok"), [("accelerate", True), ("monai", False)])
def test_a_missing_library_counts_where_segmenting_needs_it(
    monkeypatch: pytest.MonkeyPatch, library: str, ok: bool
) -> None:
    def version(name: str) -> str:
        if name == library:
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(doctor, "version", version)
    (finding,) = named(doctor._libraries(), "Missing")
    assert (finding.value, finding.ok) == (library, ok)
