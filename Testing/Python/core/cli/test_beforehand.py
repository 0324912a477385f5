"""What is wrong with a command is said at once: before torch is loaded, and before anything is written."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.commands import Told, toldWithoutWriting
from medcontext.data.adding import NewCase
from medcontext.data.store import CaseStore
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_volume
from medcontext.labels import LabelSet

WRONG = {
    "train --data nowhere -o new": "nowhere is not a case store",
    "train --data store -o new --exclude a,b": "holds no case 'a,b'",
    "train --data store -o new --exclude a --exclude b": "no labelled training case",
    "train --data store -o new --labels Liver": "no label 'Liver'",
    "train --data store -o new --shots 3": "3 shots were asked for",
    "train --data store -o new --unlabelled nowhere": "--unlabelled nowhere is not a folder",
    "train --data store -o new --method supervised --unlabelled store": "cannot learn from scans without labels",
    "train --data store -o file/below": "cannot be written",
    "train --data store -o done": "holds a model already",
    "train --data store -o new --config nowhere.yaml": "nowhere.yaml does not exist",
    "train --data store -o new --plan nowhere.json": "nowhere.json does not exist",
    "train --data store -o new --set mask.ratio=2": "mask.ratio",
    "train --data store -o new --set foo=2": "There is no setting 'foo'",
    "train --data store -o new --set plan.foo=2": "There is no setting 'foo'",
    "train --data store -o new --keep all": "--keep is about",
    "train --data store -o new --network unet": "There is no network 'unet'",
    "train --data store -o new --device gpu": "--device takes auto, cpu, mps, cuda or cuda:NUMBER, not 'gpu'",
    "train --data store -o new --minutes 0": "--minutes takes a number of at least 0.05, not '0'",
    "train --data store -o new --steps=-1": "--steps takes a whole number of at least 1, not '-1'",
    "train --data store -o new --steps some": "--steps takes a whole number of at least 1, not 'some'",
    "train --data store -o new --until-stopped --leave-one-out": "has no end with --until-stopped",
    "train --data store -o new --detach --shots 3": "3 shots were asked for",
    "finetune --data store -o new -m nothing": "There is no model 'nothing'",
    "finetune --data store -o new -m hippocampus --keep foo": "--keep takes auto, all or none, not 'foo'",
    "finetune --data two -o new -m hippocampus": "takes 1 channel(s)",
    "finetune --data store -o new": "Missing option '--init-from'",
    "evaluate --data nowhere -m hippocampus": "nowhere is not a case store",
    "evaluate --data store": "either a model",
    "evaluate --data store -m nothing --split all": "There is no model 'nothing'",
    "evaluate --data store -m hippocampus --split all": "share no label",
    "evaluate --data store -m hippocampus": "no labelled case in the split 'test'",
    "evaluate --data store nowhere --split all": "nowhere is not a folder",
    "evaluate --data store -m hippocampus --split all -o file/below": "cannot be written",
    "evaluate --data store -m hippocampus --split some": "--split takes test, training or all, not 'some'",
    "next --data store -m hippocampus": "holds no unlabelled scan",
    "next --data two -m hippocampus": "takes 1 channel(s)",
    "next --data two -m nothing": "There is no model 'nothing'",
    "next --data two -m hippocampus -o ranking.txt": "ends in .json or .csv",
    "next --data two -m hippocampus --count 0": "--count takes a whole number of at least 1, not '0'",
    "segment scan.nii.gz -m nothing -o new": "There is no model 'nothing'",
    "segment scan.nii.gz a.nii.gz b.nii.gz -m hippocampus -o new": "2 of 3 paths do not exist: a.nii.gz, b.nii.gz",
    "segment scan.nii.gz -m hippocampus -o file": "cannot be written",
    "segment scan.nii.gz -m hippocampus -o new --roi nowhere.nii.gz": "region file nowhere.nii.gz does not exist",
    "segment scan.nii.gz -m hippocampus -o new --probability liver": "no label 'liver'",
    "segment scan.nii.gz -m hippocampus -o .": "would replace the image",
    "segment scan.nii.gz -m hippocampus -o new --format nrrd --format jpg": "seg.nrrd, not 'jpg'",
}  # fmt: skip


def _store(folder: Path, channels: int, labelled: str) -> None:
    store = CaseStore.create(
        folder, LabelSet.from_names({1: "Box"}), [(f"T{n}", "MRI") for n in range(channels)]
    )
    geometry = Geometry.from_spacing((8, 8, 8))
    for seed, name in enumerate("ab"):
        image = np.random.default_rng(seed).normal(size=(channels, 8, 8, 8)).astype(np.float32)
        labels = Volume(np.ones((1, 8, 8, 8), np.uint8), geometry) if name in labelled else None
        store.add_case(NewCase([Volume(image, geometry)], labels, case_id=name))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two stores, a scan, a file and the folder of a model."""
    folder = tmp_path_factory.mktemp("place")
    _store(folder / "store", 1, labelled="ab")
    _store(folder / "two", 2, labelled="a")
    (folder / "file").write_text("in the way", encoding="utf-8")
    (folder / "done").mkdir()
    (folder / "done" / "model.json").write_text("{}", encoding="utf-8")
    write_volume(
        folder / "scan.nii.gz", Volume(np.zeros((1, 8, 8, 8), np.float32), Geometry.from_spacing((8, 8, 8)))
    )
    return folder


@pytest.fixture(scope="module")
def told(place: Path) -> Told:
    """What each of the wrong commands says, and whether torch was loaded by then."""
    return toldWithoutWriting(WRONG, place)


@pytest.mark.parametrize("command", WRONG)
def test_it_is_said_in_a_sentence_before_torch_is_loaded(command: str, told: Told) -> None:
    code, sentence, torch_loaded = told[command]
    assert code == 2, sentence
    assert WRONG[command] in sentence
    assert sentence.startswith("Error: ")
    assert len(sentence.splitlines()) <= 2
    assert not torch_loaded


def test_with_json_a_wrong_option_is_an_event(place: Path) -> None:
    command = shlex.split("-m medcontext train --data store -o new --keep foo --json")
    done = subprocess.run([sys.executable, *command], cwd=place, text=True, capture_output=True)
    last = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, last["event"], last["kind"]) == (2, "error", "input")
    assert last["message"] == "--keep takes auto, all or none, not 'foo'."
    assert "medcontext train --help" in last["hint"]
