"""Stands in for ``slicer.packaging`` (Slicer 5.12 and later): records what would be installed and installs nothing.

Tests look at `requested`; the question goes through slicer.util, so :mod:`harness.dialogs` records and answers it.
"""

from __future__ import annotations

import importlib.metadata
import shlex
from pathlib import Path
from typing import Any

import slicer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

requested: list[tuple[str, Any, dict[str, Any]]] = []


def reset() -> None:
    """Forget what was requested."""
    requested.clear()


def _requirements(given: Any) -> list[Requirement]:
    entries = (
        shlex.split(given) if isinstance(given, str) else [given] if isinstance(given, Requirement) else given
    )
    return [entry if isinstance(entry, Requirement) else Requirement(entry) for entry in entries]


def load_requirements(path: str | Path) -> list[Requirement]:
    """The requirements of a text file, comments left out."""
    lines = (line.split("#")[0].strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


def pip_check(requirements: Any) -> bool:
    """Whether all requirements are met."""
    return all(_is_met(entry) for entry in _requirements(requirements))


def _is_met(requirement: Requirement) -> bool:
    if requirement.marker and not requirement.marker.evaluate():
        return True
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def pip_ensure(
    requirements: Any,
    constraints: str | Path | None = None,
    skip_packages: list[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,  # noqa: ARG001 - part of Slicer's signature
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> list[str] | None:
    """Ask and install what is missing; RuntimeError when the person refuses."""
    missing = [entry for entry in _requirements(requirements) if not pip_check(entry)]
    if not missing or (skip_in_testing and slicer.app.testingEnabled()):
        return None
    names = [str(entry) for entry in missing]
    title = f"{requester} - Install Python Packages" if requester else "Install Python Packages"
    text = f"{len(names)} Python packages need to be installed."
    if prompt_install and not slicer.util.confirmOkCancelDisplay(text, title, detailedText="\n".join(names)):
        raise RuntimeError("User declined package installation")
    options = {"constraints": constraints, "show_progress": show_progress, "requester": requester}
    return pip_install(names, skip_packages=skip_packages, **options)


def pip_install(
    requirements: Any, skip_packages: list[str] | None = None, **options: Any
) -> list[str] | None:
    """Record the installation; the packages that were skipped, as Slicer returns them."""
    entries = shlex.split(requirements) if isinstance(requirements, str) else list(requirements)
    options = {name: value for name, value in options.items() if value is not None}
    requested.append(
        ("pip_install", entries, {**options, **({"skip_packages": skip_packages} if skip_packages else {})})
    )
    return [canonicalize_name(name) for name in skip_packages] if skip_packages else None


def pip_uninstall(requirements: Any, **options: Any) -> None:
    entries = shlex.split(requirements) if isinstance(requirements, str) else list(requirements)
    requested.append(("pip_uninstall", entries, options))


def isPipInstallInProgress() -> bool:
    return False
