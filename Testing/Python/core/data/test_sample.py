"""The bundled sample is complete, small, licensed and apart from what anything was trained on."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from medcontext.data.checks import check_store
from medcontext.data.splits import select
from medcontext.data.store import CaseStore


@pytest.fixture
def sample() -> CaseStore:
    return CaseStore.open(Path(str(files("medcontext") / "resources" / "samples" / "hippocampus")))


def test_every_file_is_there_and_good(sample: CaseStore) -> None:
    assert check_store(sample) == []
    split = select(sample)
    assert (len(split.train), len(split.unlabelled)) == (4, 6)
    assert sum(case.split == "test" and case.label is not None for case in sample.cases) == 8


def test_it_is_small_and_carries_its_licence(sample: CaseStore) -> None:
    assert sum(path.stat().st_size for path in sample.folder.rglob("*") if path.is_file()) < 2e6
    assert "CC BY-SA 4.0" in (sample.folder / "README.md").read_text()
    assert json.loads((sample.folder / "dataset.json").read_text())["licence"] == "CC-BY-SA 4.0"


def test_labels_carry_snomed_codes_and_differ_in_colour(sample: CaseStore) -> None:
    anterior, posterior = sample.labels
    assert anterior.terminology
    assert posterior.terminology
    assert anterior.terminology.type == posterior.terminology.type
    assert anterior.terminology.modifier != posterior.terminology.modifier
    assert anterior.color != posterior.color


def test_nothing_differs_from_the_shared_set_and_test_cases_are_its_test_cases(
    sample: CaseStore, shared_data: Path
) -> None:
    source = CaseStore.open(shared_data / "hippocampus")
    for case in sample.cases:
        original = source.case(case.id)
        assert (case.split == "test") == (original.split == "test")
        image, there = sample.read_image(case), source.read_image(original)
        assert np.array_equal(image.array, there.array)
        assert image.geometry.same_grid(there.geometry)
        if case.label is not None:
            assert np.array_equal(sample.read_labels(case).array, source.read_labels(original).array)
    assert {case.id for case in select(sample).train} <= set(source.fewshot["5"])
