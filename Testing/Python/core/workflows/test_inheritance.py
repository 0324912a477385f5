"""What a fine-tuned model takes over: by label, whatever the order, and nothing that was known is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medcontext import networks
from medcontext.errors import InputError
from medcontext.labels import IGNORE, Code, Label, LabelSet, Terminology
from medcontext.plan import NetworkSpec
from medcontext.workflows.heads import Glance, Row, inherit, row_of_new
from medcontext.workflows.inheritance import Inheritance, decide
from medcontext.workflows.parents_answer import Answer, lesson

PATCH = {"unetr": (32, 32, 32), "swin_unetr": (64, 32, 32)}
ORGAN = Code("SCT", "123037004", "Anatomical structure")


def coded(value: int, name: str, code: str) -> Label:
    return Label(value, name, (value, 0, 0), Terminology(ORGAN, Code("SCT", code, name)))


def named(*names: str, first: int = 1) -> LabelSet:
    return LabelSet.from_names(dict(enumerate(names, start=first)))


def glance(*seen: Sequence[int]) -> Glance:
    """Counts alone: background, then each class learnt, by class of the parent."""
    nothing, counts = Glance.nothing(len(seen) - 1, len(seen[0])), np.array(seen)
    return replace(nothing, seen=counts, asked=np.tile(counts.sum(0), (len(seen), 1)))


@pytest.mark.parametrize("name", networks.names())
def test_every_output_of_every_network_follows_its_label(name: str) -> None:
    torch.manual_seed(0)
    size = PATCH.get(name, (16, 16, 16))
    spec = NetworkSpec(name=name, kwargs=networks.default_kwargs(name, size, (1.0, 1.0, 1.0), "small"))
    parent, child = networks.build(spec, 1, 3).eval(), networks.build(spec, 1, 4).eval()
    inherit(child, parent, [Row.of(0), Row.of(2), Row({1: 0.5, 2: 0.5}, 3.0), Row()])
    image = torch.rand(1, 1, *size)
    with torch.inference_mode():
        heads = list(zip(child.forward_deep(image), parent.forward_deep(image), strict=True))
    for mine, theirs in heads:
        assert torch.allclose(mine[:, 0], theirs[:, 0], atol=1e-4)
        assert torch.allclose(mine[:, 1], theirs[:, 2], atol=1e-4)
        assert torch.allclose(mine[:, 2], theirs[:, 1:].mean(1) + 3, atol=1e-4)


def test_a_parent_of_another_shape_is_refused() -> None:
    kwargs = {"filters": [4, 8, 8], "strides": [[1] * 3, [2] * 3, [2] * 3], "kernels": [[3] * 3] * 3}
    wide = kwargs | {"filters": [8, 16, 16]}
    child, parent = (networks.build(NetworkSpec(name="dynunet", kwargs=k), 1, 2) for k in (kwargs, wide))
    with pytest.raises(InputError, match="of the parent fit this network"):
        inherit(child, parent, [Row.of(0), Row.of(1)])


def test_labels_are_found_by_code_or_name_in_whatever_order() -> None:
    parent = LabelSet(
        (coded(1, "Liver", "10200004"), coded(2, "Spleen", "78961009"), *named("Cyst", first=3))
    )
    store = LabelSet((*named("cyst", first=1), coded(2, "Milz", "78961009")))
    result = decide(store, (1, 2), parent, "auto", glance([9, 9, 9, 9], [0] * 4, [0] * 4))
    assert [row.weights for row in result.rows] == [{0: 1.0}, {3: 1.0}, {2: 1.0}, {1: 1.0}]
    assert [(label.value, label.name) for label in result.labels] == [(1, "cyst"), (2, "Milz"), (3, "Liver")]
    assert result.kept == {1: 3}
    assert "It knows cyst, Milz already" in result.told
    assert "Kept as the parent sees it: Liver" in result.told


def test_what_the_new_structure_covers_is_replaced_what_it_lies_in_is_kept() -> None:
    parent, store = named("Anterior", "Posterior", "Liver"), named("Hippocampus")
    seen = glance([900, 5, 40, 90], [10, 95, 60, 10])
    result = decide(store, (1,), parent, "auto", seen)
    assert [label.name for label in result.labels] == ["Hippocampus", "Liver"]
    assert "Anterior is replaced: 95% of it" in result.told
    assert "Hippocampus is new and starts from Anterior (54%) and Posterior (34%)" in result.told
    everything = decide(store, (1,), parent, "all", seen)
    assert [label.name for label in everything.labels] == ["Hippocampus", "Anterior", "Posterior", "Liver"]
    nothing = decide(store, (1,), parent, "none", seen)
    assert [label.name for label in nothing.labels] == ["Hippocampus"]
    assert "Given up: Liver" in decide(store, (1,), named("Liver"), "none", glance([9, 9], [9, 0])).told


def test_a_structure_that_no_case_shows_is_kept_and_said_to_be_at_risk() -> None:
    result = decide(named("Cyst"), (1,), named("Liver", "Spleen"), "auto", glance([50, 9, 0], [4, 1, 0]))
    assert [label.name for label in result.labels] == ["Cyst", "Liver", "Spleen"]
    assert "sees no Spleen in these cases" in result.told


def test_kept_labels_get_values_names_and_colours_of_their_own() -> None:
    red, blue = (255, 0, 0), (0, 0, 255)
    codes = [Terminology(ORGAN, Code("SCT", code, "x")) for code in ("1", "2")]
    store = LabelSet((Label(1, "Lesion", red, codes[0]), Label(3, "Spleen", blue), Label(2, "Duct", blue)))
    parent = LabelSet((Label(1, "Liver", red), Label(2, "lesion", red, codes[1]), Label(9, "spleen", red)))
    result = decide(store, (1, 3), parent, "all", glance([9] * 4, [0] * 4, [0] * 4))
    kept = list(result.labels)[2:]
    # The spleen is not learnt from this data set, but it is called there as everywhere else in it.
    assert [(label.value, label.name) for label in kept] == [(4, "Liver"), (5, "lesion 2"), (3, "Spleen")]
    assert len({label.color for label in result.labels}) == 5


def test_a_structure_that_may_be_either_of_two_is_never_guessed() -> None:
    parent = LabelSet((coded(1, "Kidney", "64033007"), coded(2, "kidney ", "64033007")))
    result = decide(named("kidney"), (1,), parent, "auto", glance([9, 0, 50], [0, 50, 0]))
    assert [(label.value, label.name) for label in result.labels] == [(1, "kidney"), (2, "kidney 2")]
    assert "Kidney is replaced" in result.told


def test_two_structures_merged_into_one_start_nearly_right() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, 4000)
    scores = generator.normal(0, 1, (4000, 3))
    scores[np.arange(4000), truth] += 5
    merged = (truth > 0).astype(np.uint8)
    seen = np.zeros((2, 3), np.int64)
    np.add.at(seen, (merged, scores.argmax(1)), 1)
    known = np.ones((4000, 2), bool)
    row = row_of_new(Glance(seen, seen, scores, merged, np.ones(4000), known), 1, [0])
    mixed = scores @ np.array([row.weights.get(place, 0.0) for place in range(3)]) + row.bias
    agreement = float(((mixed > scores[:, 0]) == (merged > 0)).mean())
    assert agreement > float(((scores.argmax(1) > 0) == (merged > 0)).mean()) - 0.02


def test_a_structure_that_nobody_painted_starts_anew() -> None:
    result = decide(named("Liver", "Cyst"), (1, 2), named("Liver"), "auto", glance([9, 9], [0, 9], [0, 0]))
    assert result.rows[2] == Row()
    assert "Cyst starts anew" in result.told


def test_the_parent_speaks_only_where_a_person_saw_nothing_and_it_is_sure() -> None:
    inheritance = decide(named("Cyst"), (1,), named("Liver", "Spleen"), "auto", glance([99, 9, 9], [1, 0, 0]))
    labels = np.array([0, 0, 0, 1, IGNORE, 0, 0], np.uint8)
    best = np.array([0, 1, 1, 1, 1, 2, 0], np.uint8)
    rival = np.array([0, 1, 0, 1, 1, 2, 1], np.uint8)
    #                 nothing, liver, liver?, painted, nobody looked, spleen, liver?
    expected = [0, 2, IGNORE, 1, IGNORE, 3, IGNORE]
    shape = (1, 1, 7)
    answer = Answer(best.reshape(shape), rival.reshape(shape))
    assert lesson(labels.reshape(shape), answer, inheritance).ravel().tolist() == expected


def test_a_run_that_goes_on_finds_the_same_inheritance_and_refuses_another_parent(tmp_path: Path) -> None:
    result = decide(named("Cyst"), (1,), named("Liver"), "auto", glance([50, 9], [3, 1]))
    result.write(tmp_path / "inheritance.json", "abc")
    assert Inheritance.read(tmp_path / "inheritance.json", "abc") == result
    with pytest.raises(InputError, match="exchanged for another one"):
        Inheritance.read(tmp_path / "inheritance.json", "def")
    with pytest.raises(InputError, match="missing or broken"):
        Inheritance.read(tmp_path / "nothing.json", "abc")
