"""In a fresh Slicer nothing of what learning and segmenting needs is there: the module loads, and lists its models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
ABSENT = [
    "torch", "monai", "SimpleITK", "pydantic", "typer", "safetensors", "psutil", "scipy", "yaml", "einops",
    "accelerate", "dynamic_network_architectures", "matplotlib", "rich", "filelock", "highdicom",
]  # fmt: skip

CODE = """
import json, sys
from pathlib import Path

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

ABSENT = json.loads(sys.argv[1])
sys.meta_path.insert(0, Blocker())

from harness import slicer_qt
app = slicer_qt.start()
widget = slicer_qt.load_module(Path(sys.argv[2]))
from MedContextSegmentLib.Setup import Install
from MedContextSegmentLib.Run import Models
Install.missingPackages = lambda: ["torch>=2.5"]
slicer_qt.enter(widget)
app.processEvents()
facts = {
    "models": [card.id for card in Models.listModels()],
    "offered": widget.ui.modelSelector.count,
    "errors": slicer_qt.errors,
    "loaded": sorted(set(ABSENT) & {name.partition(".")[0] for name in sys.modules}),
    "worker": widget.logic.worker.running,
}
slicer_qt.unload(widget)
sys.stdout.write("\\n" + json.dumps(facts) + "\\n")
sys.stdout.flush()
"""


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    """What a fresh Slicer says of itself after the module was loaded and opened."""
    paths = [REPOSITORY / "Testing" / "Harness"]  # the package is found by the module itself
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "QT_QPA_PLATFORM": "offscreen",
    }
    file = REPOSITORY / "MedContextSegment" / "MedContextSegment.py"
    command = [sys.executable, "-c", CODE, json.dumps(ABSENT), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_module_loads_and_opens(facts: dict[str, Any]) -> None:
    assert facts["errors"] == []


def test_the_models_are_listed(facts: dict[str, Any]) -> None:
    assert "hippocampus" in facts["models"]
    assert facts["offered"] >= 1


def test_nothing_heavy_was_imported(facts: dict[str, Any]) -> None:
    assert facts["loaded"] == []


def test_no_worker_is_started_before_its_packages_are_there(facts: dict[str, Any]) -> None:
    assert facts["worker"] is False
