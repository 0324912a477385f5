"""What a user relies on: what they painted lands in the label that means it, and where that is not certain they
are asked."""

from __future__ import annotations

import pytest

from medcontext.label_matching import LabelMatch, match_labels, plain_name
from medcontext.labels import UNCODED, Code, Label, Terminology

STRUCTURE = Code("SCT", "123037004", "Anatomical Structure")
KIDNEY = Code("SCT", "64033007", "Kidney")
LIVER = Code("SCT", "10200004", "Liver")
TUMOUR = Code("SCT", "108369006", "Neoplasm")
LEFT, RIGHT = Code("SCT", "7771000", "Left"), Code("SCT", "24028007", "Right")
LEFT_KIDNEY, RIGHT_KIDNEY = Terminology(STRUCTURE, KIDNEY, LEFT), Terminology(STRUCTURE, KIDNEY, RIGHT)
IN_LIVER = Terminology(STRUCTURE, TUMOUR, None, LIVER)
IN_KIDNEY = Terminology(STRUCTURE, TUMOUR, None, KIDNEY)
ANYWHERE = Terminology(STRUCTURE, TUMOUR)


def label(name: str, terminology: Terminology | None = None, value: int = 1) -> Label:
    return Label(value, name, (1, 2, 3), terminology)


def only(source: Label, *targets: Label) -> LabelMatch:
    (match,) = match_labels([source], targets)
    return match


def outcome(match: LabelMatch) -> tuple[str | None, str]:
    return match.target.name if match.target else None, match.how


def test_codes_count_more_than_names() -> None:
    targets = [label("Niere links", LEFT_KIDNEY), label("my kidney", RIGHT_KIDNEY, 2)]
    assert outcome(only(label("my kidney", LEFT_KIDNEY), *targets)) == ("Niere links", "terminology")


def test_the_wording_of_a_code_does_not_count() -> None:
    other = Terminology(
        STRUCTURE, Code("SCT", "64033007", "kidney structure"), Code("SCT", "7771000", "left side")
    )
    assert outcome(only(label("a", other), label("b", LEFT_KIDNEY))) == ("b", "terminology")


def test_left_is_never_right() -> None:
    assert outcome(only(label("left", LEFT_KIDNEY), label("right", RIGHT_KIDNEY))) == (None, "none")
    sides = [label("l", LEFT_KIDNEY), label("r", RIGHT_KIDNEY, 2)]
    matches = match_labels([label("R", RIGHT_KIDNEY), label("L", LEFT_KIDNEY)], sides)
    assert [outcome(match) for match in matches] == [("r", "terminology"), ("l", "terminology")]


def test_a_kidney_of_no_side_is_not_the_left_one() -> None:
    assert only(label("a", Terminology(STRUCTURE, KIDNEY)), label("b", LEFT_KIDNEY)).target is None


def test_the_same_name_with_other_codes_is_asked_about() -> None:
    match = only(label("kidney", LEFT_KIDNEY), label("Kidney", RIGHT_KIDNEY))
    assert outcome(match) == (None, "ambiguous")
    assert [candidate.name for candidate in match.candidates] == ["Kidney"]


@pytest.mark.parametrize("name", ["Left_Kidney", "left kidney", " LEFT  kidney ", "left_ kidney"])
def test_spelling_of_names_does_not_count(name: str) -> None:
    assert outcome(only(label(name), label("left kidney"), label("right kidney", None, 2))) == (
        "left kidney",
        "name",
    )


def test_a_name_without_codes_is_found_among_those_with_codes_and_the_other_way_round() -> None:
    assert outcome(only(label("kidney"), label("Kidney", LEFT_KIDNEY))) == ("Kidney", "name")
    assert outcome(only(label("kidney", LEFT_KIDNEY), label("Kidney"))) == ("Kidney", "name")


def test_what_nobody_coded_is_alike_in_nothing() -> None:
    assert outcome(only(label("Segment_1", UNCODED), label("spleen", UNCODED))) == (None, "none")
    assert outcome(only(label("Spleen", UNCODED), label("spleen", LEFT_KIDNEY))) == ("spleen", "name")


def test_two_targets_are_asked_about() -> None:
    match = only(label("x", LEFT_KIDNEY), label("a", LEFT_KIDNEY), label("b", LEFT_KIDNEY, 2))
    assert outcome(match) == (None, "ambiguous")
    assert [candidate.name for candidate in match.candidates] == ["a", "b"]


def test_two_sources_for_one_target_are_asked_about_and_others_are_not() -> None:
    sources = [label("lesion"), label("Lesion "), label("liver")]
    matches = match_labels(sources, [label("lesion"), label("liver", None, 2)])
    assert [outcome(match) for match in matches] == [
        (None, "ambiguous"),
        (None, "ambiguous"),
        ("liver", "name"),
    ]


def test_regions_part_only_when_both_are_given() -> None:
    assert only(label("a", IN_LIVER), label("b", IN_KIDNEY)).target is None
    assert outcome(only(label("a", IN_LIVER), label("b", ANYWHERE))) == ("b", "terminology")
    both = [label("liver tumour", IN_LIVER), label("tumour", ANYWHERE, 2)]
    assert outcome(only(label("a", IN_LIVER), *both)) == ("liver tumour", "terminology")
    several = [label("liver tumour", IN_LIVER), label("kidney tumour", IN_KIDNEY, 2)]
    assert outcome(only(label("a", ANYWHERE), *several)) == (None, "ambiguous")


def test_nothing_matches_nothing() -> None:
    assert match_labels([], [label("a")]) == []
    assert outcome(only(label("a"))) == (None, "none")


def test_names_of_two_scripts_stay_two() -> None:
    assert plain_name("Niere_\u0394") == plain_name("NIERE \u03b4")  # capital and small delta
    assert plain_name("A") != plain_name("\u0410")  # Latin and Cyrillic
