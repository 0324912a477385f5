"""Training from the command line: interrupted and resumed, or in the background."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from harness.programs import briefPython
from medcontext.cli.app import app
from medcontext.data.adding import NewCase
from medcontext.data.store import CaseStore
from medcontext.geometry import Geometry, Volume
from medcontext.labels import LabelSet


@pytest.fixture
def a_store(tmp_path: Path) -> Path:
    """Two scans with a bright box each."""
    store = CaseStore.create(tmp_path / "my store", LabelSet.from_names({1: "Box"}), [("T1", "MRI")])
    geometry = Geometry.from_spacing((12, 12, 12))
    for seed in (1, 2):
        labels = np.zeros((1, 12, 12, 12), np.uint8)
        labels[0, 3:8, 4:9, 2 + seed : 7 + seed] = 1
        image = np.random.default_rng(seed).normal(0, 0.2, labels.shape).astype(np.float32) + labels
        store.add_case(NewCase([Volume(image, geometry)], Volume(labels, geometry), case_id=f"box_{seed}"))
    return store.folder


def arguments(store: Path, output: Path, steps: int) -> list[str]:
    small = ["--set", "plan.network.kwargs.filters=[4,8,8]"]
    where = ["--data", str(store), "-o", str(output), "--device", "cpu", "--precision", "fp32"]
    return ["train", *where, "--method", "supervised", "--steps", str(steps), *small]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX systems")
def test_ctrl_c_keeps_a_checkpoint_and_resume_ends_the_run(tmp_path: Path, a_store: Path) -> None:
    command = arguments(a_store, tmp_path / "model", 20)
    process = subprocess.Popen(
        [briefPython(tmp_path, halt=8), "-m", "medcontext", *command, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["stage"] == "train":
            process.send_signal(signal.SIGINT)
            break
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    stopped = json.loads(output.splitlines()[-1])
    assert (stopped["event"], stopped["kind"]) == ("error", "cancelled")
    assert "--resume" in stopped["hint"]
    assert not (tmp_path / "model" / "model.json").exists()

    result = CliRunner().invoke(app, [*command, "--resume"])
    assert result.exit_code == 0, result.stderr
    card = json.loads((tmp_path / "model" / "model.json").read_text(encoding="utf-8"))
    assert card["training"]["steps"] == 20
    log = (tmp_path / "model" / "training" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in log] == list(range(20))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX systems")
def test_ctrl_c_ends_a_training_without_an_end_and_its_model_is_kept(tmp_path: Path, a_store: Path) -> None:
    """Such a training, as each on one device, does without three libraries that take seconds of CPU to load."""
    command = [*arguments(a_store, tmp_path / "model", 1), "--until-stopped", "--json"]
    command = [part for part in command if part not in ("--steps", "1")]
    errors = tmp_path / "errors.txt"
    with errors.open("w", encoding="utf-8") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "medcontext", *command],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["stage"] == "train":
            assert event["value"] is None
            process.send_signal(signal.SIGINT)
            break
    output, _ = process.communicate(timeout=120)
    told = errors.read_text(encoding="utf-8")
    assert process.returncode == 0, told[-3000:]
    ended = json.loads(output.splitlines()[-1])
    assert ended["event"] == "result"
    card = json.loads((tmp_path / "model" / "model.json").read_text(encoding="utf-8"))
    assert card["training"]["steps"] > 0
    loaded = set(re.findall(r"^import time:.*\| *(\S+)$", told, re.MULTILINE))
    assert "torch" in loaded
    assert not loaded & {"monai", "accelerate", "torch._dynamo"}


def test_finetune_ends_with_what_became_of_the_parent(tmp_path: Path, a_store: Path) -> None:
    parent, child = tmp_path / "parent", tmp_path / "child"
    assert CliRunner().invoke(app, arguments(a_store, parent, 2)).exit_code == 0
    where = ["--data", str(a_store), "-o", str(child), "--device", "cpu", "--precision", "fp32"]
    command = ["finetune", "-m", str(parent), *where, "--steps", "2", "--title", "Mine"]
    result = CliRunner().invoke(
        app, [*command, "--labels", "Box", "--exclude", "box_2", "--keep", "all", "--json"]
    )
    assert result.exit_code == 0, result.stderr
    ended = json.loads(result.stdout.splitlines()[-1])
    assert ended["event"] == "result"
    assert (Path(ended["model"]), ended["model_id"], ended["parent"]["id"]) == (child, "child", "parent")
    assert ended["verdict"]["word"] == "too_few"
    assert ended["verdict"]["cases"] == 0
    assert "no held-out case" in ended["verdict"]["sentence"]
    card = json.loads((child / "model.json").read_text(encoding="utf-8"))
    assert card["title"] == "Mine"
    assert card["training"]["shots"] == 1


@pytest.mark.parametrize("pair", [("--minutes=1", "--until-stopped"), ("--steps=2", "--until-stopped")])
def test_a_training_has_one_end(tmp_path: Path, a_store: Path, pair: tuple[str, str]) -> None:
    command = ["train", "--data", str(a_store), "-o", str(tmp_path / "model"), *pair]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "Give one of --minutes, --steps and --until-stopped" in result.stderr


def test_both_commands_take_the_same_options() -> None:
    helps = {name: CliRunner().invoke(app, [name, "--help"]).stdout for name in ("train", "finetune")}
    options = {name: set(re.findall(r"--[a-z][a-z-]+", text)) for name, text in helps.items()}
    assert options["train"] - options["finetune"] == {"--network", "--size"}
    assert options["finetune"] <= options["train"]
