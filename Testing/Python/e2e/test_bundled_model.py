"""The model that comes with the program, used as a person uses it: by its id, on real scans it never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import medcontext
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.io import read_labelmap, read_segmentation, write_volume
from medcontext.library import load_model, verify
from medcontext.workflows.evaluate import evaluate
from medcontext.workflows.segment import segment

RESOURCES = Path(medcontext.__file__).parent / "resources"
SAMPLE = RESOURCES / "samples" / "hippocampus"
LARGEST_BYTES = 10_000_000


def test_it_is_whole_small_and_says_what_its_labels_mean() -> None:
    model = load_model("hippocampus")
    assert model.folder == RESOURCES / "models" / "hippocampus"
    assert not verify("hippocampus")
    assert sum(path.stat().st_size for path in model.folder.rglob("*") if path.is_file()) < LARGEST_BYTES
    assert model.card.method == "medcontext"
    assert [label.name.lower() for label in model.card.label_set] == ["anterior", "posterior"]
    assert all(label.terminology and label.terminology.type.scheme == "SCT" for label in model.card.label_set)


def test_it_never_learnt_from_the_scans_it_is_scored_on() -> None:
    from medcontext.data.cache import files_hash

    learnt = set(load_model("hippocampus").card.training.case_hashes)
    cases = CaseStore.open(SAMPLE).cases
    assert len(learnt) == 170
    assert not learnt & {files_hash(case.images) for case in cases if case.split == "test" or case.held_out}


def test_it_finds_the_hippocampus_of_held_out_scans() -> None:
    scores = evaluate(SAMPLE, model="hippocampus", device="cpu", precision="fp32")
    assert scores.cases == 8
    assert scores.mean_dice > 0.87


def test_a_scan_becomes_a_labelmap_and_named_segments_on_its_own_grid(tmp_path: Path) -> None:
    case = next(case for case in CaseStore.open(SAMPLE).cases if case.split == "test")
    (result,) = segment(case.images[0], "hippocampus", tmp_path, formats=["seg.nrrd"], device="cpu")
    labelmap = read_labelmap(result.files["nii.gz"])
    assert labelmap.geometry.same_grid(CaseStore.open(SAMPLE).read_image(case).geometry)
    assert set(np.unique(labelmap.array)) == {0, 1, 2}
    segments, labels = read_segmentation(result.files["seg.nrrd"])
    assert np.array_equal(segments.array, labelmap.array)
    assert [label.name for label in labels] == [
        label.name for label in load_model("hippocampus").card.label_set
    ]


def test_a_whole_head_needs_a_region_and_gets_nothing_outside_of_it(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(100, 20, (1, 120, 140, 120)).astype(np.float32)
    head = tmp_path / "head.nii.gz"
    write_volume(head, Volume(noise, Geometry.from_spacing((120, 140, 120))))
    with pytest.raises(InputError, match=r"120 x 140 x 120 mm.*--roi"):
        segment(head, "hippocampus", tmp_path / "out", device="cpu")
    (result,) = segment(head, "hippocampus", tmp_path / "out", roi="40:80,50:100,40:76", device="cpu")
    labelmap = read_labelmap(result.files["nii.gz"]).array[0]
    labelmap[40:80, 50:100, 40:76] = 0
    assert not labelmap.any()
