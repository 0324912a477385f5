"""Started by torchrun in test_distributed: trains and pre-trains; what comes of it lies in the folder given."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from medcontext.engine.loop import train
from medcontext.engine.ranks import is_main_process
from medcontext.events import Reporter
from medcontext.workflows.pretrain import PretrainRequest, pretrain

RUNS = Path(__file__).parents[1] / "engine" / "conftest.py"


def train_by(method: str, output: Path) -> None:
    """Train by a method on the small cases of the engine's tests."""
    spec = importlib.util.spec_from_file_location("small_runs", RUNS)
    assert spec is not None
    assert spec.loader is not None
    small = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(small)
    train(small.a_run(output, method, plan=small.a_plan(batch_size=4), steps=6), Reporter())


def pretrain_by(method: str, data: Path, output: Path) -> None:
    """Pre-train by a method on the scans of a folder."""
    mine = ("mask.cell=4",) if method == "mae" else ("projector.hidden=16", "projector.out=16")
    settings = ("crop_size=8", "plan.network.kwargs.filters=[4,8,8]", "plan.batch_size=2", *mine)
    options = {"settings": settings, "steps": 4, "device": "cpu", "precision": "fp32"}
    pretrain(PretrainRequest((data,), output, method=method, **options))


def main(data: Path, output: Path, methods: Sequence[str]) -> None:
    """Train by each method, or pre-train on ``data``."""
    for method in methods:
        if method in ("voco", "mae"):
            pretrain_by(method, data, output / method)
        else:
            train_by(method, output / (method if is_main_process() else f"{method} of the other process"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
