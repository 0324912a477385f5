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


@pytest.mark.slow
@pytest.mark.parametrize("method", ["supervised", "medcontext"])
def test_two_processes_give_the_one_process_loss(tmp_path, method):
    one, two = tmp_path / "one", tmp_path / "two"
    start([sys.executable, str(SCRIPT), str(one), method])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    start([*torchrun, str(SCRIPT), str(two), method])
    logs = [
        [json.loads(line)["loss"] for line in (f / "log.jsonl").read_text().splitlines()] for f in (one, two)
    ]
    assert len(logs[0]) == 6
    for a, b in zip(*logs, strict=True):
        assert a == pytest.approx(b, abs=1e-5)
