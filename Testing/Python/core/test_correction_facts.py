"""What is said of learning from a correction is what was measured, and only what helps is offered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from medcontext import correction_facts
from medcontext.cards import bundled_models, read_summary
from medcontext.correction_facts import FACTS, FEW_SHOTS, offered_for

RESULTS = Path(__file__).resolve().parents[2] / "Benchmarks" / "results" / "correction.json"


def test_the_numbers_are_those_measured() -> None:
    measured = json.loads(RESULTS.read_text(encoding="utf-8"))["summary"]
    expected = {
        (model, correction)
        for model, corrections in measured.items()
        for correction, found in corrections.items()
        if found is not None
    }
    assert {(fact.model, fact.correction) for fact in FACTS} == expected
    for fact in FACTS:
        found = measured[fact.model][fact.correction]
        adapted = found["adapted"]
        interval = adapted["interval"]
        assert (fact.cases, fact.before, fact.after) == (found["cases"], found["before"], adapted["after"])
        assert (fact.low, fact.high) == (interval["low"], interval["high"])
        assert fact.helps == (adapted["verdict"] == "better") == (fact.low > 0)


def test_few_cases_prove_nothing() -> None:
    assert all(fact.cases >= 10 for fact in FACTS)


@pytest.mark.parametrize(
    ("shots", "kind"), [(3, "few-shot"), (FEW_SHOTS, "few-shot"), (FEW_SHOTS + 1, "bundled"), (0, "bundled")]
)
def test_a_model_is_offered_what_helped_models_like_it(
    monkeypatch: pytest.MonkeyPatch, shots: int, kind: str
) -> None:
    card = replace(read_summary(bundled_models() / "hippocampus"), shots=shots)
    helped = correction_facts.CorrectionFact("few-shot", "1 slice", 16, 0.8, 0.9, 0.05, 0.15, True)
    facts = (helped, replace(helped, model="bundled", low=-0.05, helps=False))
    monkeypatch.setattr(correction_facts, "FACTS", facts)
    assert offered_for(card) is (kind == "few-shot")


def test_one_kind_of_correction_that_does_not_help_is_enough_not_to_offer_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = read_summary(bundled_models() / "hippocampus")
    helped = correction_facts.CorrectionFact("bundled", "1 slice", 16, 0.8, 0.9, 0.05, 0.15, True)
    monkeypatch.setattr(correction_facts, "FACTS", (helped, replace(helped, helps=False)))
    assert not offered_for(card)
    monkeypatch.setattr(correction_facts, "FACTS", ())
    assert not offered_for(card)


def test_the_bundled_model_is_offered_it_as_it_was_measured() -> None:
    card = read_summary(bundled_models() / "hippocampus")
    assert offered_for(card) is all(fact.helps for fact in FACTS if fact.model == "bundled")
