"""Two processes compute what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("distributed_run.py")
PACKAGE = Path(__file__).resolve().parents[4] / "Training"


def start(arguments: list[str]) -> None:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(PACKAGE), str(SCRIPT.parent)]),
        "OMP_NUM_THREADS": "1",
    }
    finished = subprocess.run(
        arguments, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert finished.returncode == 0, finished.stderr[-3000:]


METHODS = ("supervised", "medcontext")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders with the logs of each method, of one process and of two; torch is loaded once for both methods."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    start([sys.executable, str(SCRIPT), str(one), *METHODS])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    start([*torchrun, str(SCRIPT), str(two), *METHODS])
    return one, two


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_give_the_one_process_loss(logs: tuple[Path, Path], method: str) -> None:
    one, two = (
        [json.loads(line)["loss"] for line in (folder / method / "log.jsonl").read_text().splitlines()]
        for folder in logs
    )
    assert len(one) == 6
    for a, b in zip(one, two, strict=True):
        assert a == pytest.approx(b, abs=1e-5)
