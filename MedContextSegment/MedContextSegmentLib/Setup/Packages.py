"""Which Python packages are needed, which are there, and which must stay as they are. Imports none of them."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

RESOURCES = Path(__file__).resolve().parents[2] / "Resources"
SEGMENT, TRAIN, DICOM = "segment", "train", "dicom"
BATCH, SURFACES = "batch", "surfaces"
TORCH = "torch"

_LISTS = {
    SEGMENT: (SEGMENT,),
    TRAIN: (TRAIN,),
    DICOM: (SEGMENT, DICOM),
    BATCH: (SEGMENT, BATCH),
    SURFACES: (SEGMENT, BATCH, SURFACES),
}
"""Purpose -> the files ``requirements-*.txt`` that say what it needs."""


def requirementsOf(purpose: str) -> list[Any]:
    """What a purpose needs beside what Slicer ships.

    Args:
        purpose: segmenting ("segment"), learning ("train"), writing DICOM SEG ("dicom"), a batch ("batch"), or a batch
            with surfaces ("surfaces").

    Returns:
        ``packaging.requirements.Requirement`` objects, in the order of the file.
    """
    from packaging.requirements import Requirement

    paths = [RESOURCES / f"requirements-{name}.txt" for name in _LISTS[purpose]]
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line]


def canonical(name: str) -> str:
    """A package's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


class Packages:
    """The packages that are installed.

    Args:
        paths: folders to look in; where Python itself looks when None.
    """

    def __init__(self, paths: Sequence[str] | None = None) -> None:
        self._paths = paths

    def versions(self, *names: str) -> dict[str, str]:
        """Installed versions by canonical name: of some packages, or of all.

        Of two of one name the one that is imported counts.
        """
        context: dict[str, Any] = {} if self._paths is None else {"path": list(self._paths)}
        found: dict[str, str] = {}
        for lookup in [{**context, "name": name} for name in names] or [context]:
            for distribution in importlib.metadata.distributions(**lookup):
                # A folder that an interrupted pip left behind says nothing, or raises (the package importlib_metadata
                # takes the place of the standard library's finder once something imports it).
                try:
                    metadata = distribution.metadata
                except FileNotFoundError:
                    continue
                name, version = metadata["Name"], metadata["Version"]
                if name and version:
                    found.setdefault(canonical(name), version)
        return found

    def missing(self, requirements: Sequence[Any]) -> list[Any]:
        """Requirements that are not met: not installed, or in another version."""
        versions = self.versions(*(requirement.name for requirement in requirements))
        return [
            requirement
            for requirement in requirements
            if (requirement.marker is None or requirement.marker.evaluate())
            and not _meets(versions.get(canonical(requirement.name)), requirement)
        ]

    def constraints(self, wanted: Sequence[Any]) -> str:
        """The content of a constraints file for pip: everything installed stays as it is.

        Slicer ships packages built for it, and other extensions rely on theirs. With every version fixed pip looks for
        versions of the new ones that fit, and changes nothing else, or says that there are none.

        Args:
            wanted: requirements that may be installed in another version.
        """
        free = {canonical(requirement.name) for requirement in wanted} - {TORCH}
        lines = [
            f"{name}=={version}"
            for name, version in sorted(self.versions().items())
            if name not in free and _isVersion(version)
        ]
        return "\n".join(lines) + "\n"


def _meets(version: str | None, requirement: Any) -> bool:
    if version is None or not _isVersion(version):
        return False
    return bool(requirement.specifier.contains(version, prereleases=True))


def _isVersion(text: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def importedAndChanged(before: dict[str, str], after: dict[str, str], loaded: Collection[str]) -> list[str]:
    """Packages that are in use in another version than the one now installed: they need a restart.

    Args:
        before: versions by canonical name.
        after: likewise, after an installation.
        loaded: names of the modules that had been imported before it.
    """
    modules: dict[str, set[str]] = {}
    for module, names in importlib.metadata.packages_distributions().items():
        for name in names:
            modules.setdefault(canonical(name), set()).add(module)
    return [
        name
        for name, version in sorted(after.items())
        if before.get(name) != version and modules.get(name, set()).intersection(loaded)
    ]


def unsupported(system: str = sys.platform, machine: str = "") -> str:
    """Why nothing can be installed on this computer, in one sentence; empty where it can."""
    if system == "darwin" and (machine or platform.machine()) == "x86_64":
        return _(
            "On Macs with Intel processors, and in a Slicer that runs by Rosetta, PyTorch ends at version 2.2; "
            "MedContext needs 2.5 or newer."
        )
    return ""
