"""What is needed, what is there, and what must not change."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from medcontext.workflows import pack

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def installed(tmp_path: Path) -> Any:
    """``installed(name, version)``: a package in a folder; ``installed.packages``: what that folder holds."""
    from MedContextSegmentLib.Setup.Packages import Packages

    def install(name: str, version: str) -> None:
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (folder / "METADATA").write_text(text, encoding="utf-8")

    install.packages = Packages([str(tmp_path)])  # type: ignore[attr-defined]
    return install


def requirements(*lines: str) -> list[Any]:
    from packaging.requirements import Requirement

    return [Requirement(line) for line in lines]


def declared() -> dict[str, str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {pack.name_of(line): line for line in project["dependencies"]}


@pytest.mark.parametrize("purpose", ["segment", "train"])
def test_the_lists_are_those_of_the_package_without_what_slicer_ships(purpose: str) -> None:
    from MedContextSegmentLib.Setup.Packages import requirementsOf

    listed = requirementsOf(purpose)
    expected = requirements(*(line for name, line in declared().items() if name not in pack.SHIPPED))
    if purpose == "segment":
        expected = [requirement for requirement in expected if requirement.name in pack.TO_SEGMENT]
    assert {str(requirement) for requirement in listed} == {str(requirement) for requirement in expected}
    assert {str(requirement) for requirement in listed} == {
        str(requirement) for requirement in requirements(*pack.requirements(purpose))
    }


def test_dicom_needs_one_more_package() -> None:
    from MedContextSegmentLib.Setup.Packages import requirementsOf

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = [line for line in project["optional-dependencies"]["dicom"] if line.startswith("highdicom")]
    more = {str(requirement) for requirement in requirementsOf("dicom")}
    assert more - {str(requirement) for requirement in requirementsOf("segment")} == set(extra)


def test_a_batch_needs_the_command_and_for_surfaces_their_extra() -> None:
    from MedContextSegmentLib.Setup.Packages import requirementsOf

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    segment, run, drawn = (
        {str(line) for line in requirementsOf(name)} for name in ("segment", "batch", "surfaces")
    )
    assert run - segment == {declared()["typer"], declared()["rich"]}
    assert drawn - run == set(project["optional-dependencies"]["surfaces"])


@pytest.mark.parametrize("purpose", ["segment", "train", "batch", "surfaces"])
def test_the_lists_give_ranges_and_name_nothing_that_slicer_ships(purpose: str) -> None:
    text = (REPOSITORY / f"MedContextSegment/Resources/requirements-{purpose}.txt").read_text(
        encoding="utf-8"
    )
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert not [line for line in lines if "==" in line]
    names = {re.split(r"\W", line)[0].lower() for line in lines}
    assert not names & {"numpy", "scipy", "simpleitk", "pydicom", "highdicom", "vtk", "requests", "dask"}


def test_missing_is_what_is_not_there_or_of_another_version(installed: Any) -> None:
    installed("Safe_Tensors", "0.5")
    installed("monai", "1.3.0")
    installed("torch", "2.9.0+cu128")
    wanted = requirements("safe-tensors>=0.4.5", "monai>=1.5,<2", "torch>=2.5,!=2.9.*", "einops>=0.8")
    missing = [requirement.name for requirement in installed.packages.missing(wanted)]
    assert missing == ["monai", "torch", "einops"]


def test_a_build_for_a_graphics_card_meets_a_range(installed: Any) -> None:
    installed("torch", "2.8.0+cu128")
    assert installed.packages.missing(requirements("torch>=2.5,!=2.9.*")) == []


def test_what_another_system_needs_is_not_missing(installed: Any) -> None:
    assert installed.packages.missing(requirements("colorama; sys_platform == 'nowhere'")) == []


def test_what_an_interrupted_pip_left_does_not_count(installed: Any, tmp_path: Path) -> None:
    (tmp_path / "einops-0.8.dist-info").mkdir()
    (tmp_path / "~inops-0.8.dist-info").mkdir()
    assert [str(r) for r in installed.packages.missing(requirements("einops"))] == ["einops"]
    assert installed.packages.versions() == {}


def test_constraints_keep_everything_but_what_is_wanted(installed: Any) -> None:
    installed("numpy", "2.0.2")
    installed("SimpleITK", "2.5.0rc1.dev12")
    installed("monai", "1.3.0")
    installed("torch", "2.8.0+cpu")
    installed("strange", "custom build")
    wanted = requirements("monai>=1.5", "einops")
    lines = installed.packages.constraints(wanted).splitlines()
    assert lines == ["numpy==2.0.2", "simpleitk==2.5.0rc1.dev12", "torch==2.8.0+cpu"]


def test_torch_is_never_replaced_even_where_it_is_wanted(installed: Any) -> None:
    installed("torch", "2.1.0")
    assert installed.packages.constraints(requirements("torch>=2.5")) == "torch==2.1.0\n"


def test_a_restart_is_for_what_was_imported_and_changed() -> None:
    from MedContextSegmentLib.Setup.Packages import importedAndChanged

    before = {"numpy": "1", "pytest": "1", "einops": "1"}
    after = {"numpy": "1", "pytest": "2", "einops": "2", "packaging": "3"}
    assert importedAndChanged(before, after, {"numpy", "pytest"}) == ["pytest"]
    assert importedAndChanged(before, after, {"packaging"}) == ["packaging"]
    assert importedAndChanged(before, before, sys.modules) == []


def test_intel_macs_are_refused_in_a_sentence_and_others_are_not() -> None:
    from MedContextSegmentLib.Setup.Packages import unsupported

    assert "2.5 or newer" in unsupported("darwin", "x86_64")
    for system, machine in (("darwin", "arm64"), ("linux", "x86_64"), ("win32", "AMD64")):
        assert unsupported(system, machine) == ""
