"""Stands in for ``slicer.packaging`` (Slicer 5.12 and later): records what would be installed and installs nothing.

Tests look at `requested`, and set `refuse` to answer the question with no.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

requested: list[tuple[str, Any, dict[str, Any]]] = []
refuse = False


def reset() -> None:
    """Forget what was requested; the next question is answered with yes."""
    global refuse
    requested.clear()
    refuse = False


def _as_list(requirements: Any) -> list[str]:
    return requirements.split() if isinstance(requirements, str) else [str(entry) for entry in requirements]


def load_requirements(path: str | Path) -> list[Any]:
    """The requirements of a text file, comments left out, as packaging.requirements.Requirement."""
    from packaging.requirements import Requirement

    lines = (line.split("#")[0].strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


def pip_check(requirements: Any) -> bool:
    """Whether all requirements are met."""
    from packaging.requirements import Requirement

    entries = requirements if isinstance(requirements, Sequence) else [requirements]
    for entry in [entries] if isinstance(entries, str) else entries:
        requirement = entry if isinstance(entry, Requirement) else Requirement(str(entry))
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            return False
        if not requirement.specifier.contains(version, prereleases=True):
            return False
    return True


def pip_ensure(
    requirements: Sequence[Any], prompt: str | None = "install_needed", **kwargs: Any
) -> list[str]:
    """Install what is missing after asking; RuntimeError when the user refuses."""
    missing = [entry for entry in requirements if not pip_check([entry])]
    names = {re.split(r"[^\w.-]", name)[0].lower() for name in kwargs.get("skip_packages") or ()}
    missing = [entry for entry in missing if getattr(entry, "name", str(entry)).lower() not in names]
    if not missing:
        return []
    if refuse and prompt:
        raise RuntimeError("User declined installation")
    requested.append(("pip_ensure", [str(entry) for entry in missing], kwargs))
    return []


def pip_install(requirements: Any, **kwargs: Any) -> list[str]:
    requested.append(("pip_install", _as_list(requirements), kwargs))
    return []


def pip_uninstall(requirements: Any, **kwargs: Any) -> None:
    requested.append(("pip_uninstall", _as_list(requirements), kwargs))


def isPipInstallInProgress() -> bool:
    return False
