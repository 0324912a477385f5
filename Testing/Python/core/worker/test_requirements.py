"""What segmenting needs is what the module installs: it works where nothing else can be imported."""

from __future__ import annotations

import json
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


EACH_IN_TURN = """
import json
import sys
import traceback

import torch  # once: it takes longest, and nothing does without it


def load_everything():
    from medcontext import networks
    from medcontext.events import Reporter
    from medcontext.worker.handlers import Services
    Services().models.get('hippocampus', 'cpu', 'auto', Reporter())
    assert 'monai' not in sys.modules, 'a worker with the bundled model loaded what takes longer than torch'
    for name in networks.names():
        kwargs = networks.default_kwargs(name, (64, 64, 64), (1.0, 1.0, 1.0), 'small')
        networks.build(name, 1, 2, **kwargs)


logs = {}
for name, blocked in json.load(sys.stdin).items():
    BLOCKED = set(blocked)
    for module in list(sys.modules):
        if module.partition(".")[0] in {"medcontext", "monai", *BLOCKED}:
            del sys.modules[module]
    try:
        load_everything()
        logs[name] = ""
    except Exception:
        logs[name] = traceback.format_exc()
print(json.dumps(logs))
"""
NAMES = sorted({*TO_SEGMENT} - {"torch", "monai"})


@pytest.fixture(scope="module")
def logs() -> dict[str, str]:
    """What loading the bundled model and building every network says, with all packages ("") and without each."""
    wanted = (*TO_SEGMENT, *SHIPPED)
    blocked = {name: blocked_without(*(other for other in wanted if other != name)) for name in ("", *NAMES)}
    done = subprocess.run(
        [sys.executable, "-c", blocker("torch", *SHIPPED) + EACH_IN_TURN],
        input=json.dumps(blocked),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_every_network_can_be_built(logs: dict[str, str]) -> None:
    assert logs[""] == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_the_list_is_there_for_nothing(logs: dict[str, str], name: str) -> None:
    module = {"PyYAML": "yaml"}.get(name, name.replace("-", "_"))
    assert f"No module named '{module}" in logs[name]
