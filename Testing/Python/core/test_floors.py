"""The floors of the design: imports point down, siblings form no cycle, nothing knows the application."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3] / "Training" / "medcontext"

FLOORS = {
    0: {
        "errors",
        "geometry",
        "labels",
        "events",
        "cards",
        "jobs",
        "home",
        "exchange",
        "redo_forms",
        "correction_facts",
        "disk",
        "label_matching",
        "batch_ledger",
        "case_list",
        "dataset_form",
    },
    1: {
        "config",
        "plan",
        "card_schema",
        "devices",
        "io",
        "resample",
        "cubic",
        "intensity",
        "voxel_counts",
        "data",
    },
    2: {"networks", "losses", "masking"},
    3: {"engine", "inference", "metrics", "regions"},
    4: {"methods"},
    5: {"library", "workflows", "batch", "api", "cli", "worker", "__main__"},
}
FLOOR_OF = {unit: floor for floor, units in FLOORS.items() for unit in units}
APPLICATION = {"slicer", "vtk", "qt", "ctk"}


@dataclass(frozen=True)
class Import:
    """File ``source`` (dotted, below the package) imports ``target``, at ``line``."""

    source: str
    target: str
    line: int

    @property
    def units(self) -> tuple[str, str]:
        """The top-level parts both ends belong to; an import of another project has an empty second one."""
        parts = self.target.split(".")
        return self.source.split(".")[0], parts[1] if parts[0] == "medcontext" and len(parts) > 1 else ""

    def __str__(self) -> str:
        return f"{self.source} (line {self.line}) imports {self.target}"


def modules(package: Path) -> dict[str, Path]:
    """Dotted name below the package -> file; a folder's ``__init__`` goes by the folder's name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:  # the package's own __init__ belongs to no floor
            found[name] = path
    return found


def imports(package: Path) -> list[Import]:
    """Every import in the package, those inside functions included, resolved to files where it has them."""
    known = modules(package)
    return [found for name, path in known.items() for found in _imports_of(name, path, known)]


def _imports_of(name: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    here = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = (node.module or "").split(".") if node.module else []
            if node.level:
                base = ["medcontext", *here[: len(here) - node.level + 1], *base]
            for alias in node.names:
                longer = [*base, alias.name]
                is_file = longer[0] == "medcontext" and ".".join(longer[1:]) in known
                yield Import(name, ".".join(longer if is_file else base), node.lineno)


def floor_breaches(package: Path) -> list[str]:
    """Imports that point up, files without a floor, methods that know each other."""
    breaches = []
    for found in imports(package):
        source, target = found.units
        if source not in FLOOR_OF:
            breaches.append(f"{source} has no floor in DESIGN 3")
        elif target and target not in FLOOR_OF:
            breaches.append(f"{found}, which has no floor in DESIGN 3")
        elif target and FLOOR_OF[target] > FLOOR_OF[source]:
            breaches.append(f"{found}: floor {FLOOR_OF[source]} knows floor {FLOOR_OF[target]}")
        elif source == target == "methods":
            one, other = (
                _method(name, package) for name in (found.source, found.target[len("medcontext.") :])
            )
            if one and other and one != other:
                breaches.append(f"{found}: one method knows another")
    return breaches


def _method(module: str, package: Path) -> str:
    """The folder of a method's file; nothing for the registry and for what all methods share."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (package / "methods" / parts[1]).is_dir() else ""


def cycle(edges: dict[str, set[str]]) -> list[str]:
    """One cycle of a directed graph as a closed path, or nothing."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for following in sorted(edges.get(node, ())):
            if found := visit(following, [*path, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(edges) if (found := visit(node, []))), [])


def unit_edges(package: Path) -> dict[str, set[str]]:
    edges: dict[str, set[str]] = {}
    for found in imports(package):
        source, target = found.units
        if target and source != target:
            edges.setdefault(source, set()).add(target)
    return edges


def file_edges(package: Path) -> dict[str, set[str]]:
    known = modules(package)
    edges: dict[str, set[str]] = {}
    for found in imports(package):
        target = found.target.removeprefix("medcontext.")
        if target in known and target != found.source:
            edges.setdefault(found.source, set()).add(target)
    return edges


def foreign_imports(package: Path, allowed: set[str]) -> list[str]:
    """Imports on floor 0 of anything beside the standard library, the package and ``allowed``."""
    fine = sys.stdlib_module_names | allowed | {"medcontext"}
    return [
        str(found)
        for found in imports(package)
        if FLOOR_OF.get(found.units[0]) == 0 and found.target.split(".")[0] not in fine
    ]


def application_imports(package: Path) -> list[str]:
    return [str(found) for found in imports(package) if found.target.split(".")[0] in APPLICATION]


def test_imports_point_down() -> None:
    assert floor_breaches(PACKAGE) == []


def test_parts_form_no_cycle() -> None:
    assert cycle(unit_edges(PACKAGE)) == []


def test_files_form_no_cycle() -> None:
    assert cycle(file_edges(PACKAGE)) == []


def test_floor_0_needs_only_the_standard_library_and_numpy() -> None:
    assert foreign_imports(PACKAGE, {"numpy"}) == []


def test_nothing_in_the_package_knows_the_application() -> None:
    assert application_imports(PACKAGE) == []


@pytest.fixture
def a_package(tmp_path: Path) -> Path:
    """A small package with one breach of each rule."""
    files = {
        "errors.py": "import torch\n",
        "geometry.py": "def f():\n    from medcontext.io import read\n",
        "io/__init__.py": "from .read import read_volume\n",
        "io/read.py": "from medcontext import io\nimport slicer\n",
        "attic.py": "import json\n",
        "data/__init__.py": "from medcontext import resample\n",
        "resample.py": "from medcontext.data import x\n",
        "methods/__init__.py": "from medcontext.methods import one\n",
        "methods/one/__init__.py": "from medcontext.methods.two import x\n",
        "methods/two/__init__.py": "x = 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_walk_finds_breaches(a_package: Path) -> None:
    breaches = floor_breaches(a_package)
    assert any("geometry (line 2)" in text and "floor 0 knows floor 1" in text for text in breaches)
    assert any("attic has no floor" in text for text in breaches)
    assert any("methods.one (line 1)" in text and "one method knows another" in text for text in breaches)
    assert len(breaches) == 3
    assert cycle(unit_edges(a_package)) == ["data", "resample", "data"]
    files = file_edges(a_package)
    assert cycle({"io": files["io"], "io.read": files["io.read"]}) == ["io", "io.read", "io"]
    assert foreign_imports(a_package, {"numpy"}) == ["errors (line 1) imports torch"]
    assert application_imports(a_package) == ["io.read (line 2) imports slicer"]
