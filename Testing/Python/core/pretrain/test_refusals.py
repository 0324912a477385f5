"""Scans and options that cannot be used: one sentence each, through the command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from harness.commands import Told, toldWithoutWriting
from medcontext.cli.app import app
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_volume

Scan = Callable[..., Volume]

AT_ONCE = {
    "pretrain --data nowhere -o new": "nowhere",
    "pretrain --data empty -o new": "no image",
    "pretrain --data mixed -o new": "scan_0.nii.gz has 1 channel and",
    "pretrain --data scans --exclude scan_9 -o new": "There is no scan 'scan_9' to leave out",
    "pretrain --data scans -o file/below": "cannot be written",
    "pretrain --data scans -o done": "holds a model already",
    "pretrain --data scans -o new --steps 3 --minutes 1": "Give one of --minutes, --steps and --until-stopped",
    "pretrain --data scans -o new --method medcontext": "--method takes voco or mae, not 'medcontext'",
    "pretrain --data scans -o new --method mae --preset repo": "Method 'mae' has no preset 'repo'",
    "pretrain --data scans -o new --preset old": "--preset takes default, teacher, repo, paper or v2, not 'old'",
    "pretrain --data scans -o new --config nowhere.yaml": "nowhere.yaml does not exist",
    "pretrain --data scans -o new --set foo=2": "There is no setting 'foo'",
    "pretrain --data scans -o new --set plan.foo=2": "There is no setting 'foo'",
    "pretrain --data scans -o new --set grid=[1,1,1]": "at least two base crops",
    "pretrain --data scans -o new --set grid=[1,3]": "grid",
    "pretrain --data scans -o new --set crop_size=2": "crop_size needs at least",
    "pretrain --data scans -o new --preset repo --set crop_size=128 --set cell=128": "more than resize_volume",
    "pretrain --data scans -o new --plan nowhere": "nowhere is neither a plan nor a model",
    "pretrain --data scans -o new --plan hippocampus --network unetr": "is of a dynunet, not a unetr",
    "pretrain --data scans -o new --plan hippocampus --size large": "has its own size",
    "pretrain --data scans -o new --init-from hippocampus": "goes on from an encoder",
    "pretrain --data scans -o new --init-from nothing": "There is no model 'nothing'",
    "pretrain --data scans -o new --init-from encoder --network unetr": "is of a dynunet, not a unetr",
    "pretrain --data two -o new --detach": "two",
    "pretrain --data scans": "Missing option '--output'",
}  # fmt: skip
"""Commands, and a part of what each is told before torch is loaded and before anything is written."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, scan: Scan, encoder) -> Path:
    """Folders of scans of every sort."""
    root = tmp_path_factory.mktemp("place")
    for name in ("scans", "empty", "mixed", "small", "flat", "done"):
        (root / name).mkdir()
    for seed in range(5):
        write_volume(root / "scans" / f"scan_{seed}.nii.gz", scan(seed))
        write_volume(root / "small" / f"small_{seed}.nii.gz", scan(seed, (10, 20, 30)))
        flat = Volume(np.full((1, 10, 30, 30), seed, np.float32), Geometry.from_spacing((10, 30, 30)))
        write_volume(root / "flat" / f"flat_{seed}.nii.gz", flat)
    write_volume(root / "mixed" / "scan_0.nii.gz", scan(0))
    write_volume(root / "mixed" / "scan_1.nii.gz", scan(1, channels=2))
    (root / "empty" / "notes.txt").write_text("no scan", encoding="utf-8")
    (root / "file").write_text("in the way", encoding="utf-8")
    (root / "done" / "model.json").write_text("{}", encoding="utf-8")
    (root / "encoder").symlink_to(encoder.result.folder)
    return root


@pytest.fixture(scope="module")
def told(place: Path) -> Told:
    """What each of the commands says, and whether torch was loaded by then."""
    return toldWithoutWriting(AT_ONCE, place)


@pytest.mark.parametrize("command", AT_ONCE)
def test_it_is_said_in_a_sentence_before_torch_is_loaded(command: str, told: Told) -> None:
    code, sentence, torch_loaded = told[command]
    assert code == 2, sentence
    assert AT_ONCE[command] in sentence
    assert "Error: " in sentence
    assert len(sentence.splitlines()) <= 3
    assert not torch_loaded


def refused(line: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.chdir(place)
    small = "--steps 2 --device cpu --set projector.hidden=8 --set projector.out=8"
    result = CliRunner().invoke(app, shlex.split(f"pretrain {line} -o new {small}"))
    assert result.exit_code == 2, result.stderr
    assert not (place / "new" / "model.json").exists()
    return result


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "--data small --set crop_size=8",
            "It has 10 x 20 x 30 voxels (K, J, I); at least 8 x 24 x 24 are needed",
        ),
        ("--data flat --set crop_size=8", "None of the 5 scans can be learnt from"),
        ("--data flat --set crop_size=8", "All its voxels have the same value"),
        ("--data scans --set crop_size=13", "The network dynunet cannot take a patch of 13 x 13 x 13 voxels"),
        (
            "--data scans --network swin_unetr --set crop_size=32",
            "its sides must be multiples of 32 x 32 x 32",
        ),
        ("--data scans --set plan.patch_size=[8,9,8]", "cannot take a patch of 8 x 9 x 8"),
        ("--data scans --plan hippocampus --init-from encoder", "tensors of the encoder of this dynunet are"),
    ],
)
def test_scans_crops_and_networks_that_do_not_fit_are_one_sentence(
    place: Path, monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    assert said in refused(line, place, monkeypatch).stderr


def test_one_broken_scan_among_many_is_left_out_and_named(
    tmp_path: Path, scan: Scan, ran, request_of
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    for seed in range(7):
        write_volume(folder / f"scan_{seed}.nii.gz", scan(seed))
    whole = (folder / "scan_3.nii.gz").read_bytes()
    (folder / "broken.nii.gz").write_bytes(whole[: len(whole) // 2])
    done = ran(request_of(folder, tmp_path / "encoder", steps=5))
    assert done.told("warning").count("broken (") == 2  # at once, and in the list at the end
    assert "1 of 7 scans were left out: broken (" in done.told("warning")
    metrics = done.result.card.training.metrics
    assert set(metrics["scans_left_out"]) == {"broken"}
    assert done.result.card.training.unlabelled == 6
    listed = json.loads((done.result.folder / "training" / "scans.json").read_text(encoding="utf-8"))
    assert "broken" in listed["left_out"]
    assert "broken" in (done.result.folder / "README.md").read_text(encoding="utf-8")
