"""Two processes, which torch is loaded for once, compute what one does: trainings and pre-trainings."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medcontext.library import load_encoder_folder

SCRIPT = Path(__file__).with_name("distributed_run.py")
PACKAGE = Path(__file__).resolve().parents[4] / "Training"
TRAINED, PRETRAINED = ("supervised", "medcontext"), ("voco", "mae")


def start_two(scans: Path, output: Path, home: Path) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(PACKAGE),
        "OMP_NUM_THREADS": "1",
        "MEDCONTEXT_HOME": str(home),
    }
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [*torchrun, str(SCRIPT), str(scans), str(output), *TRAINED, *PRETRAINED]
    finished = subprocess.run(
        arguments, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert finished.returncode == 0, finished.stderr[-3000:]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, scans: Path) -> tuple[Path, Path]:
    """Folders of what one process, this one, and what two made; the encoders, of six scans and a broken one."""
    scans = Path(shutil.copytree(scans, tmp_path_factory.mktemp("with_broken") / "scans"))
    (scans / "broken.nii.gz").write_bytes(b"no image")
    home, one, two = (tmp_path_factory.mktemp(name) for name in ("home", "one", "two"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDCONTEXT_HOME", str(home))
        runpy.run_path(str(SCRIPT))["main"](scans, one, (*TRAINED, *PRETRAINED))
    start_two(scans, two, home)
    return one, two


def records(folder: Path) -> list[dict]:
    lines = (folder / "training" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("method", TRAINED)
def test_two_processes_give_the_one_process_loss(made: tuple[Path, Path], method: str) -> None:
    logs = [(folder / method / "log.jsonl").read_text(encoding="utf-8").splitlines() for folder in made]
    one, two = ([json.loads(line)["loss"] for line in lines] for lines in logs)
    assert len(one) == 6
    for a, b in zip(one, two, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", PRETRAINED)
def test_two_processes_learn_what_one_does(made: tuple[Path, Path], method: str) -> None:
    one, two = (folder / method for folder in made)
    first, second = ([r["loss"] for r in records(folder) if "loss" in r] for folder in (one, two))
    assert len(first) == 4
    for a, b in zip(first, second, strict=True):
        assert a == pytest.approx(b, abs=1e-4)
    assert records(one)[-1]["signals"] == pytest.approx(records(two)[-1]["signals"], abs=1e-3)
    cards = [load_encoder_folder(folder).card.training for folder in (one, two)]
    assert set(cards[1].metrics["scans_left_out"]) == {"broken"}
    assert cards[0].unlabelled_hashes == cards[1].unlabelled_hashes
    mine, other = load_encoder_folder(one).state, load_encoder_folder(two).state
    assert all(np.allclose(mine[name], other[name], atol=1e-4) for name in mine)
