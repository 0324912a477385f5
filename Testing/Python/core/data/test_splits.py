"""Which cases are learnt from: shots count every label, patients stay together, test cases stay untouched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medcontext.data.splits import cases_to_hold_out, select
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.events import Event, Reporter
from medcontext.workflows.request import TrainRequest
from medcontext.workflows.training_cases import choose_cases


def a_store(folder: Path, labelled: int, splits: dict[str, Any] | None = None, **more: Any) -> CaseStore:
    """Case files are not needed to choose among cases."""
    entries = [{"image": f"c{n:02d}.nii.gz", "label": f"l/c{n:02d}.nii.gz"} for n in range(labelled)]
    index = {"labels": {"0": "background", "1": "x"}, "modality": {"0": "MRI"}, "training": entries} | more
    (folder / "dataset.json").write_text(json.dumps(index))
    if splits is not None:
        (folder / "splits.json").write_text(json.dumps(splits))
    return CaseStore.open(folder)


def ids(cases: list[Any]) -> list[str]:
    return [case.id for case in cases]


def test_below_ten_labels_all_are_trained_on(tmp_path: Path) -> None:
    split = select(a_store(tmp_path, 9))
    assert len(split.train) == 9
    assert split.validation == []


@pytest.mark.parametrize(("labels", "validation"), [(10, 2), (12, 2), (20, 4), (50, 10)])
def test_from_ten_labels_a_fifth_validates_and_counts_as_shots(
    tmp_path: Path, labels: int, validation: int
) -> None:
    split = select(a_store(tmp_path, 60), shots=labels)
    assert (len(split.train), len(split.validation)) == (labels - validation, validation)
    assert not set(ids(split.train)) & set(ids(split.validation))
    assert len(split.unused) == 60 - labels


def test_listed_shots_are_taken_whatever_the_seed(tmp_path: Path) -> None:
    store = a_store(tmp_path, 9, {"fewshot": {"2": ["c07", "c03.nii.gz"]}})
    assert ids(select(store, 2, seed=0).train) == ids(select(store, 2, seed=5).train) == ["c07", "c03"]


def test_other_shots_are_drawn_by_the_seed_and_nested(tmp_path: Path) -> None:
    store = a_store(tmp_path, 30)
    draws = [set(ids(select(store, n, seed=1).train)) for n in (1, 3, 7)]
    assert [len(draw) for draw in draws] == [1, 3, 7]
    assert draws[0] < draws[1] < draws[2]
    assert draws[2] == set(ids(select(store, 7, seed=1).train))
    assert any(set(ids(select(store, 3, seed=s).train)) != draws[1] for s in range(2, 6))


def test_test_cases_and_cases_held_out_are_in_no_list(tmp_path: Path) -> None:
    entries = [{"image": f"{n}.nii.gz", "label": f"l/{n}.nii.gz"} for n in "abcd"]
    entries[3]["held_out"] = True  # type: ignore[assignment]
    store = a_store(tmp_path, 0, {"test": ["b"]}, training=entries, test=[{"image": "t.nii.gz"}])
    split = select(store)
    assert ids(split.train) == ["a", "c"]
    assert split.validation == split.unlabelled == split.unused == []


def test_scans_without_label_are_offered_as_unlabelled_unless_their_patient_scores(tmp_path: Path) -> None:
    store = a_store(
        tmp_path,
        2,
        unlabelled=[{"image": "u1.nii.gz"}, {"image": "u2.nii.gz", "group": "p"}],
        test=[{"image": "t.nii.gz", "group": "p"}],
    )
    assert ids(select(store).unlabelled) == ["u1"]


def test_a_patient_is_on_one_side_only(tmp_path: Path) -> None:
    entries = [
        {"image": f"c{n:02d}.nii.gz", "label": f"l/c{n:02d}.nii.gz", "group": f"p{n // 3}"} for n in range(18)
    ]
    for seed in range(5):
        split = select(a_store(tmp_path, 0, training=entries), seed=seed)
        assert split.train
        assert len(split.validation) >= 4
        assert not {case.group for case in split.train} & {case.group for case in split.validation}


def test_one_patient_cannot_validate_itself(tmp_path: Path) -> None:
    entries = [{"image": f"{n}.nii.gz", "label": f"l/{n}.nii.gz", "group": "p"} for n in range(12)]
    split = select(a_store(tmp_path, 0, training=entries))
    assert (len(split.train), len(split.validation)) == (12, 0)


@pytest.mark.parametrize("shots", [0, -1, 10])
def test_impossible_shots_are_refused(tmp_path: Path, shots: int) -> None:
    with pytest.raises(InputError, match="9 labelled training cases"):
        select(a_store(tmp_path, 9), shots)


def test_a_list_that_names_a_test_case_is_refused(tmp_path: Path) -> None:
    store = a_store(tmp_path, 9, {"fewshot": {"2": ["c01", "c02"]}, "test": ["c02"]})
    with pytest.raises(InputError, match="c02"):
        select(store, 2)


def test_a_store_without_labels_cannot_train(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no labelled training case"):
        select(a_store(tmp_path, 0, unlabelled=[{"image": "u.nii.gz"}]))


def test_holding_out_takes_whole_patients_and_counts_those_held_out_before(tmp_path: Path) -> None:
    entries: list[dict[str, Any]] = [
        {"image": f"c{n:02d}.nii.gz", "label": f"l/c{n:02d}.nii.gz", "group": f"p{n // 2}"} for n in range(20)
    ]
    entries[0]["held_out"] = True
    chosen = cases_to_hold_out(a_store(tmp_path, 0, training=entries), 0.2)
    assert "c01" in chosen  # the other scan of a patient who scores already
    assert len(chosen) == 3
    for entry in entries:
        entry["held_out"] = entry["image"][:3] in {"c00", *chosen}
    assert cases_to_hold_out(a_store(tmp_path, 0, training=entries), 0.2) == []


def test_the_shared_few_shot_lists_are_used(shared_data: Path) -> None:
    store = CaseStore.open(shared_data / "hippocampus")
    lists = json.loads((shared_data / "hippocampus" / "splits.json").read_text())
    assert ids(select(store, 5).train) == lists["fewshot"]["5"]
    everything = select(store)
    assert len(everything.train) + len(everything.validation) == 170
    assert not set(lists["test"]) & set(ids(everything.train) + ids(everything.validation))


def test_cases_of_a_patient_who_scores_are_not_learnt_from(tmp_path: Path) -> None:
    entries: list[dict[str, Any]] = [
        {"image": f"{n}.nii.gz", "label": f"l/{n}.nii.gz", "group": group}
        for n, group in zip("abcd", "PPQR", strict=True)
    ]
    entries[1]["held_out"] = True
    tests = [{"image": "t.nii.gz", "group": "R"}]
    split = select(a_store(tmp_path, 0, training=entries, test=tests))
    assert ids(split.train) == ["c"]
    assert ids(split.of_scored) == ["a", "d"]
    assert split.remark().startswith("2 annotated cases are not learnt from")
    assert split.remark().endswith(": a, d.")
    with pytest.raises(InputError, match=r"2 shots were asked for; .* holds 1 labelled"):
        select(a_store(tmp_path, 0, training=entries, test=tests), 2)


def test_a_training_says_how_many_cases_it_leaves_out(tmp_path: Path) -> None:
    entries = [{"image": f"{n}.nii.gz", "label": f"l/{n}.nii.gz", "group": n} for n in "abc"]
    store = a_store(tmp_path, 0, training=entries, test=[{"image": "t.nii.gz", "group": "b"}])
    events: list[Event] = []
    split = choose_cases(TrainRequest(store.folder, tmp_path / "model"), store, Reporter(events.append))
    assert ids(split.train) == ["a", "c"]
    assert [event["message"] for event in events] == [split.remark()]
    assert split.remark().startswith("1 annotated case is not learnt from")


def test_without_shared_patients_nothing_is_said(tmp_path: Path) -> None:
    split = select(a_store(tmp_path, 3, test=[{"image": "t.nii.gz"}]))
    assert (len(split.train), split.of_scored, split.remark()) == (3, [], "")


def test_a_store_whose_patients_all_score_says_so(tmp_path: Path) -> None:
    entry = {"image": "a.nii.gz", "label": "l/a.nii.gz", "group": "P"}
    with pytest.raises(InputError, match="held out for scoring"):
        select(a_store(tmp_path, 0, training=[entry], test=[{"image": "t.nii.gz", "group": "P"}]))
