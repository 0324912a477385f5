"""Changes of a store that need no scene, and which models learnt from a case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import harness.application  # noqa: F401  makes slicer.i18n importable
from harness.runs import SAMPLE, Recorder
from medcontext.cards import CardSummary, bundled_models, read_summary
from medcontext.case_list import CaseSummary, read_store
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.labels import LabelSet
from MedContextSegmentLib.Learn.StoreEdits import StoreRequest
from MedContextSegmentLib.Learn.TrainedOn import modelsByHash, trainedOn

LABELS = LabelSet.from_names({1: "Anterior", 2: "Posterior"})


def test_a_store_is_made_filled_and_edited_by_the_worker(
    worker: Any, tmp_path: Path, finish: Callable[[Any], Any]
) -> None:
    folder = tmp_path / "store"
    fields: dict[str, Any] = {"folder": str(folder), "name": "mine", "labels": LABELS.to_json()}
    fields["channels"] = [{"name": "T1", "modality": "MR"}]
    assert finish(StoreRequest(worker, "create_store", fields))["folder"] == str(folder)
    scans = [str(SAMPLE / "images" / f"hippocampus_{n}.nii.gz") for n in ("067", "011")]
    listener = Recorder()
    answer = finish(StoreRequest(worker, "add_unlabelled", {"store": str(folder), "paths": scans}, listener))
    assert len(answer["added"]) == 2
    assert [case.kind for case in read_store(folder).cases] == ["unlabelled"] * 2
    assert len(listener.ends) == 1
    edit = {"store": str(folder), "action": "remove", "cases": answer["added"][:1]}
    assert finish(StoreRequest(worker, "edit_store", edit))["cases"] == 1


def test_what_the_worker_refuses_is_the_error_of_the_run(
    worker: Any, tmp_path: Path, finish: Callable[[Any], Any]
) -> None:
    CaseStore.create(tmp_path / "store", LABELS, [("T1", "MR")])
    run = StoreRequest(
        worker, "edit_store", {"store": str(tmp_path / "store"), "action": "remove", "cases": ["x"]}
    )
    with pytest.raises(InputError, match="x"):
        finish(run)
    assert run.state == "failed"
    assert not run.poll()


def test_only_requests_about_stores_are_sent(worker: Any) -> None:
    with pytest.raises(ValueError, match="segment"):
        StoreRequest(worker, "segment", {})


def card(**changes: Any) -> CardSummary:
    return replace(read_summary(bundled_models() / "hippocampus"), **changes)


def test_models_that_learnt_from_a_case_are_found_by_file_or_by_voxels() -> None:
    case = CaseSummary("a", "annotated", (Path("a.nii.gz"),), content_hash="f1", voxels="v1")
    models = [
        card(folder=Path("1"), title="by file", case_hashes=("x", "f1")),
        card(folder=Path("2"), title="by voxels", case_hashes=("v1",)),
        card(folder=Path("3"), title="by both", case_hashes=("v1", "f1")),
        card(folder=Path("4"), title="another", case_hashes=("f2", "v2")),
    ]
    assert sorted(trainedOn(case, models)) == ["by both", "by file", "by voxels"]
    assert sorted(trainedOn(case, modelsByHash(models))) == ["by both", "by file", "by voxels"]
    unknown = CaseSummary("b", "annotated", (Path("b.nii.gz"),))
    assert trainedOn(unknown, [card(case_hashes=("",))]) == []


def test_two_models_of_one_title_are_told_apart() -> None:
    case = CaseSummary("a", "annotated", (Path("a.nii.gz"),), voxels="v1")
    models = [card(folder=Path(v), version=v, title="mine", case_hashes=("v1",)) for v in ("1.0", "2.0")]
    assert trainedOn(case, models) == ["mine 1.0", "mine 2.0"]
