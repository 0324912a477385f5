"""What segmenting needs is what the module installs: it works where nothing else can be imported."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from medcontext.workflows.pack import SHIPPED, TO_SEGMENT

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


def blocker(*names: str) -> str:
    """Code after which only these packages and what comes with them can be imported."""
    kept = with_dependencies(names)
    blocked = [
        module
        for module, owners in metadata.packages_distributions().items()
        if not {canonical(owner) for owner in owners} & kept
        and not module.startswith(("medcontext", "__editable"))
    ]
    assert "typer" in blocked
    return BLOCKER.format(blocked=blocked)


def test_a_worker_segments_examines_imports_models_and_keeps_cases(
    start: Callable[..., Any], crop: Any, request_for: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    code = blocker(*TO_SEGMENT, *SHIPPED) + "from medcontext.worker.__main__ import main\nmain()\n"
    worker = start(code=code)
    answer = worker.ask("segment", **request_for(crop, certainty="masked"))
    assert answer["event"] == "result", answer
    assert worker.ask("doctor")["event"] == "result"
    assert worker.ask("import_model", archive="nowhere.zip")["kind"] == "input"
    assert worker.ask("suggest", store="nowhere", model="hippocampus")["kind"] == "input"
    store = str(tmp_path / "store")
    assert worker.ask("create_store", folder=store, channels=[{"name": "T1"}])["event"] == "result"
    added = worker.ask("add_case", store=store, images=request_for(crop)["channels"], name="crop")
    assert added["case"] == "crop"


def load_everything(*names: str) -> tuple[int, str]:
    """Load the bundled model and build every network, with these packages only; exit code and log."""
    code = (
        "from medcontext import networks\n"
        "from medcontext.events import Reporter\n"
        "from medcontext.worker.handlers import Services\n"
        "Services().models.get('hippocampus', 'cpu', 'auto', Reporter())\n"
        "for name in networks.names():\n"
        "    kwargs = networks.default_kwargs(name, (64, 64, 64), (1.0, 1.0, 1.0), 'small')\n"
        "    networks.build(name, 1, 2, **kwargs)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", blocker(*names) + code], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


def test_every_network_can_be_built() -> None:
    code, log = load_everything(*TO_SEGMENT, *SHIPPED)
    assert code == 0, log


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*TO_SEGMENT} - {"torch", "monai"}))
def test_nothing_in_the_list_is_there_for_nothing(name: str) -> None:
    others = [other for other in (*TO_SEGMENT, *SHIPPED) if other != name]
    code, log = load_everything(*others)
    assert code != 0
    assert f"No module named '{'yaml' if name == 'PyYAML' else name}" in log
