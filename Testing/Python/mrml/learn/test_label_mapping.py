"""What the table of *Add case* offers: certain answers, open questions, new labels with free values."""

from __future__ import annotations

from typing import Any

import pytest
import slicer

import harness.application  # noqa: F401  makes slicer.i18n importable
from medcontext.errors import InputError
from medcontext.labels import Code, Label, LabelSet, Terminology
from MedContextSegmentLib.Learn.LabelMapping import (
    choose,
    leaveOut,
    makeNew,
    mappingProblem,
    mapSegments,
    mergedText,
    newLabels,
    valuesOf,
)
from MedContextSegmentLib.Scene.Terminology import setTerminology

STRUCTURE = Code("SCT", "123037004", "Anatomical Structure")
KIDNEY = Code("SCT", "64033007", "Kidney")
LEFT, RIGHT = Code("SCT", "7771000", "Left"), Code("SCT", "24028007", "Right")


def segmentation(*names: str) -> tuple[Any, list[str]]:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    ids = [
        str(node.GetSegmentation().AddEmptySegment("", name, [0.0, number / 10, 1.0]))
        for number, name in enumerate(names)
    ]
    return node, ids


def code(node: Any, segmentId: str, side: Code) -> None:
    terms = Terminology(STRUCTURE, KIDNEY, side)
    setTerminology(node.GetSegmentation().GetSegment(segmentId), terms.to_json())


def store(*names: str) -> LabelSet:
    return LabelSet.from_names({2 * n + 1: name for n, name in enumerate(names)})


def test_segments_find_the_labels_of_the_store_and_the_rest_is_asked() -> None:
    node, ids = segmentation("Left_Kidney", "lesion", "spleen")
    rows = mapSegments(node, ids, store("spleen", "left kidney", "liver"))
    assert [(row.name, row.target.name if row.target else None, row.how) for row in rows] == [
        ("Left_Kidney", "left kidney", "name"),
        ("lesion", None, "none"),
        ("spleen", "spleen", "name"),
    ]
    assert [row.needsAnswer for row in rows] == [False, True, False]
    assert mappingProblem(rows) == "Say which label these segments are: lesion."


def test_codes_of_slicer_find_the_side() -> None:
    node, ids = segmentation("Segment_1", "Segment_2")
    code(node, ids[0], RIGHT)
    code(node, ids[1], LEFT)
    labels = LabelSet(
        (
            Label(1, "Niere links", (1, 1, 1), Terminology(STRUCTURE, KIDNEY, LEFT)),
            Label(4, "Niere rechts", (1, 1, 1), Terminology(STRUCTURE, KIDNEY, RIGHT)),
        )
    )
    rows = mapSegments(node, ids, labels)
    assert valuesOf(rows) == {ids[0]: 4, ids[1]: 1}
    assert {row.how for row in rows} == {"terminology"}


def test_segments_that_nobody_coded_are_not_alike() -> None:
    node, ids = segmentation("a", "b")
    for segmentId in ids:
        setTerminology(node.GetSegmentation().GetSegment(segmentId), None)  # Slicer's "Tissue"
    rows = mapSegments(node, ids, LabelSet((Label(1, "c", (1, 1, 1)),)))
    assert {row.how for row in rows} == {"none"}


def test_two_segments_of_one_name_are_asked_and_merged_when_a_person_says_so() -> None:
    node, ids = segmentation("lesion", "Lesion")
    labels = store("liver", "lesion")
    rows = mapSegments(node, ids, labels)
    assert [row.how for row in rows] == ["ambiguous", "ambiguous"]
    assert [label.name for label in rows[0].candidates] == ["lesion"]
    assert mappingProblem(rows)
    for row in rows:
        choose(row, row.candidates[0])
    assert mappingProblem(rows) == ""
    assert valuesOf(rows) == {ids[0]: 3, ids[1]: 3}
    assert mergedText(rows) == ["'lesion' + 'Lesion' are merged into the label 'lesion'."]


def test_a_store_that_is_yet_to_be_made_gets_a_label_for_each_segment() -> None:
    node, ids = segmentation("liver", "spleen")
    code(node, ids[1], LEFT)
    rows = mapSegments(node, ids, None)
    assert [row.how for row in rows] == ["new", "new"]
    assert [(label.value, label.name, label.color) for label in newLabels(rows, None)] == [
        (1, "liver", (0, 0, 255)),
        (2, "spleen", (0, 26, 255)),
    ]
    assert newLabels(rows, None)[1].terminology == Terminology(STRUCTURE, KIDNEY, LEFT)
    assert mappingProblem(rows) == ""


def test_in_a_new_store_two_segments_that_may_mean_one_thing_are_asked() -> None:
    node, ids = segmentation("tumor", "Tumor ", "liver")
    rows = mapSegments(node, ids, None)
    assert [row.needsAnswer for row in rows] == [True, True, False]
    first = makeNew(rows, rows[0], None)
    second = makeNew(rows, rows[1], None)
    assert (first.name, second.name) == ("tumor", "Tumor (2)")
    assert sorted(valuesOf(rows).values()) == [1, 2, 3]


def test_a_new_label_takes_the_lowest_free_value() -> None:
    node, ids = segmentation("cyst", "stone")
    labels = store("a", "b")  # 1 and 3
    rows = mapSegments(node, ids, labels)
    assert makeNew(rows, rows[0], labels).value == 2
    assert makeNew(rows, rows[1], labels, " Kidney  stone ").name == "Kidney stone"
    assert rows[1].target is not None
    assert rows[1].target.value == 4
    assert [label.value for label in newLabels(rows, labels)] == [2, 4]
    choose(rows[1], labels.named("b"))
    assert [label.value for label in newLabels(rows, labels)] == [2]


def test_a_new_label_chosen_for_two_segments_is_declared_once() -> None:
    node, ids = segmentation("cyst", "other cyst")
    labels = store("a")
    rows = mapSegments(node, ids, labels)
    choose(rows[1], makeNew(rows, rows[0], labels))
    assert [label.name for label in newLabels(rows, labels)] == ["cyst"]


def test_a_taken_name_is_refused_in_one_sentence() -> None:
    node, ids = segmentation("cyst")
    labels = store("liver")
    rows = mapSegments(node, ids, labels)
    with pytest.raises(InputError, match="There is a label 'LIVER' already"):
        makeNew(rows, rows[0], labels, "LIVER")
    assert rows[0].needsAnswer


def test_a_full_store_is_one_sentence() -> None:
    node, ids = segmentation("cyst")
    labels = LabelSet.from_names({value: f"part {value}" for value in range(1, 255)})
    rows = mapSegments(node, ids, labels)
    with pytest.raises(InputError, match="254 labels"):
        makeNew(rows, rows[0], labels)


def test_segments_can_be_left_out_but_not_all() -> None:
    node, ids = segmentation("liver", "scribble")
    rows = mapSegments(node, ids, store("liver"))
    leaveOut(rows[1])
    assert mappingProblem(rows) == ""
    assert valuesOf(rows) == {ids[0]: 1}
    leaveOut(rows[0])
    assert mappingProblem(rows) == "No segment is chosen to learn from."


def test_a_segment_without_a_name_goes_by_its_id() -> None:
    node, ids = segmentation("  ")
    rows = mapSegments(node, ids, None)
    assert rows[0].name == ids[0]


def test_a_segment_that_is_gone_is_one_sentence() -> None:
    node, _ids = segmentation("liver")
    with pytest.raises(InputError, match="A chosen segment is gone"):
        mapSegments(node, ["x"], None)
