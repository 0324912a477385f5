"""What a user relies on: a label value means one structure, and its name, colour and codes survive files."""

from __future__ import annotations

import json

import pytest

from medcontext.errors import InputError
from medcontext.labels import IGNORE, TISSUE, Code, Label, LabelSet, Terminology, default_color

LEFT = Code("SCT", "7771000", "Left")
KIDNEY = Terminology(TISSUE, Code("SCT", "64033007", "Kidney"), LEFT, Code("SCT", "818983003", "Abdomen"))


def a_set() -> LabelSet:
    return LabelSet((Label(3, "left kidney", (10, 20, 30), KIDNEY), Label(7, "Cyst", (0, 255, 1))))


@pytest.mark.parametrize("value", [-1, 0, IGNORE, 256])
def test_values_that_mean_background_or_ignore_or_do_not_fit_a_labelmap_are_refused(value: int) -> None:
    with pytest.raises(InputError, match=r"must lie in 1\.\.254") as error:
        LabelSet((Label(1, "a", (0, 0, 0)), Label(value, "b", (0, 0, 0))))
    assert str(value) in error.value.message


@pytest.mark.parametrize(
    "labels",
    [
        (Label(1, "a", (0, 0, 0)), Label(1, "b", (0, 0, 0))),
        (Label(1, "a", (0, 0, 0)), Label(2, "a", (0, 0, 0))),
        (Label(1, "", (0, 0, 0)),),
    ],
    ids=["value twice", "name twice", "no name"],
)
def test_a_value_or_name_that_is_not_unique_is_refused(labels: tuple[Label, ...]) -> None:
    with pytest.raises(InputError, match="a value and a name of its own") as error:
        LabelSet(labels)
    assert labels[0].name in error.value.message


def test_the_smallest_and_largest_value_are_allowed() -> None:
    assert LabelSet.from_names({254: "last", 1: "first"}).values == (1, 254)


def test_labels_survive_json_with_colours_and_codes() -> None:
    text = json.dumps(a_set().to_json())
    assert LabelSet.from_json(json.loads(text)) == a_set()


def test_order_is_kept_because_network_channels_follow_it() -> None:
    labels = LabelSet((Label(9, "late", (0, 0, 0)), Label(2, "early", (0, 0, 0))))
    assert labels.values == (9, 2)
    assert LabelSet.from_json(labels.to_json()).values == (9, 2)
    assert [label.name for label in labels] == ["late", "early"]
    assert len(labels) == 2


def test_side_and_region_are_optional_and_stay_out_of_the_file() -> None:
    bare = Terminology(TISSUE, Code("SCT", "64033007", "Kidney"))
    assert set(bare.to_json()) == {"category", "type"}
    assert Terminology.from_json(bare.to_json()) == bare
    assert set(KIDNEY.to_json()) == {"category", "type", "modifier", "region"}
    assert Terminology.from_json(KIDNEY.to_json()) == KIDNEY


def test_a_label_without_colour_gets_one_of_its_own() -> None:
    labels = LabelSet.from_json([{"value": v, "name": f"structure {v}"} for v in range(1, 41)])
    colors = [label.color for label in labels]
    assert len(set(colors)) == 40
    assert all(0 <= part <= 255 for color in colors for part in color)
    assert colors[4] == default_color(5)


def test_neighbouring_values_look_different() -> None:
    for value in range(1, 254):
        here, there = default_color(value), default_color(value + 1)
        assert sum(abs(a - b) for a, b in zip(here, there, strict=True)) > 100


def test_names_alone_make_a_set_and_background_is_left_out() -> None:
    labels = LabelSet.from_names({2: "b", 0: "background", 1: "a"})
    assert [(label.value, label.name) for label in labels] == [(1, "a"), (2, "b")]


@pytest.mark.parametrize("name", ["Cyst", "cyst", "CYST"])
def test_a_label_is_found_by_name_however_it_is_written(name: str) -> None:
    assert a_set().named(name).value == 7


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="no label 'spleen'") as error:
        a_set().named("spleen")
    assert error.value.hint == "Known labels: left kidney, Cyst."


def test_names_that_differ_only_in_case_are_one_name_too_many() -> None:
    with pytest.raises(InputError, match="name of its own"):
        LabelSet.from_names({1: "Liver", 2: "liver"})
