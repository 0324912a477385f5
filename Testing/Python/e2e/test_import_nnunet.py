"""From the folder of an nnU-Net to segments of a scan, as a person does it: look, import, segment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import medcontext
from harness.nnunet_folders import configuration, exported, nnunet_folder, plans_json
from medcontext.cli.app import app
from medcontext.data.store import CaseStore
from medcontext.io import read_labelmap

SAMPLE = Path(medcontext.__file__).parent / "resources" / "samples" / "hippocampus"


def run(*arguments: object) -> dict[str, Any]:
    """The last event of a command that must succeed."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    last: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return last


@pytest.mark.parametrize("name", ["3d_fullres", "2d"])
def test_a_zip_of_nnunet_becomes_a_model_that_segments(tmp_path: Path, name: str) -> None:
    few_windows: dict[str, dict[str, Any]] = {
        "3d_fullres": {"patch_size": [32, 48, 32]},
        "2d": {"dims": 2, "patch_size": [64, 64]},
    }
    plans = plans_json({key: configuration(**said) for key, said in few_windows.items()})
    nnunet_folder(tmp_path / "results", plans, name=name, folds=(0, 1), inference_allowed_mirroring_axes=None)
    archive = exported(tmp_path / "results", tmp_path / "Hippocampus ö.zip")
    found = run("model", "import", archive, "--inspect")
    assert (found["form"], found["chosen"]["folds"]) == ("nnU-Net v2", ["0", "1"])
    labels = tmp_path / "labels.json"
    labels.write_text('[{"value": 2, "name": "Tail", "color": [10, 20, 30]}]', encoding="utf-8")
    imported = run("model", "import", archive, "--id", "mine", "--folds", 1, "--labels", labels)
    assert (imported["id"], imported["form"], imported["notes"]) == ("mine", "nnU-Net v2", found["notes"])
    shown = run("model", "show", "mine")["card"]
    assert [(label["value"], label["name"]) for label in shown["labels"]] == [(1, "Anterior"), (2, "Tail")]
    assert len(shown["weights"]) == 1

    store = CaseStore.open(SAMPLE)
    case = next(case for case in store.cases if case.split == "test")
    run("segment", case.images[0], "-m", "mine", "-o", tmp_path / "out", "--device", "cpu")
    (written,) = (tmp_path / "out").glob("*.nii.gz")
    labelmap = read_labelmap(written)
    assert labelmap.geometry.same_grid(store.read_image(case).geometry)
    assert set(np.unique(labelmap.array)) <= {0, 1, 2}


def test_what_was_found_is_told_to_people(tmp_path: Path) -> None:
    nnunet_folder(tmp_path, folds=(0, 1))
    looked = CliRunner().invoke(app, ["model", "import", str(tmp_path), "--inspect"])
    text = " ".join(looked.output.split())
    for said in (
        "nnU-Net v2",
        "1 Anterior, 2 Posterior",
        "0, 1 of 0, 1",
        "Note: Images are taken as they are stored",
    ):
        assert said in text
    assert "dataset004" not in CliRunner().invoke(app, ["model", "list"]).output
    told = CliRunner().invoke(app, ["model", "import", str(tmp_path), "--orientation", "RAS"])
    assert "Imported as dataset004_hippocampus-3d_fullres" in told.output
    assert "Note" not in told.output
