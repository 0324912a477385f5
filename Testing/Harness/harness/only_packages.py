"""A Python in which only some packages can be imported, as where nothing else was installed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata

from packaging.requirements import Requirement

BLOCKER = """
import sys
BLOCKED = set({blocked!r})
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""


def canonical(name: str) -> str:
    """A package's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def with_dependencies(names: Iterable[str]) -> set[str]:
    """The packages and all that pip installs with them."""
    found: set[str] = set()
    waiting = [canonical(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            needs = [Requirement(line) for line in metadata.requires(name) or []]
        except metadata.PackageNotFoundError:
            continue  # for another system
        waiting += [
            canonical(need.name)
            for need in needs
            if need.marker is None or need.marker.evaluate({"extra": ""})
        ]
    return found


def blocked_without(*names: str) -> list[str]:
    """The modules that cannot be imported where only these packages, and what comes with them, are installed."""
    kept = with_dependencies(names)
    return [
        module
        for module, owners in metadata.packages_distributions().items()
        if not {canonical(owner) for owner in owners} & kept
        and not module.startswith(("medcontext", "__editable"))
    ]


def blocker(*names: str) -> str:
    """Code after which only these packages, and what comes with them, can be imported."""
    return BLOCKER.format(blocked=blocked_without(*names))
