"""What segmenting needs is what the module installs: it works where nothing else can be imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.only_packages import blocked_without, blocker
from medcontext.workflows.pack import SHIPPED, TO_SEGMENT


def test_the_command_is_not_among_what_segmenting_needs() -> None:
    assert "typer" in blocked_without(*TO_SEGMENT, *SHIPPED)


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
