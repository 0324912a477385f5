"""Proposed regions in the scene: where they lie, what the pointer finds, and that nothing else hears of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

from medcontext.errors import InputError


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("transformed", [False, True])
def test_they_lie_on_the_slice_and_the_pointer_finds_them(
    scan: Callable[..., Any],
    moved: Callable[[Any], Any],
    world: Callable[..., list[float]],
    propose: Callable[..., Any],
    axis: int,
    transformed: bool,
) -> None:
    volume = moved(scan()) if transformed else scan()
    proposed = propose(volume, axis, 4)
    expected = np.zeros((10, 12, 14), np.uint8)
    expected[tuple(4 if n == axis else slice(None) for n in range(3))] = proposed.proposal.regions.squeeze()
    parts = proposed.node.GetSegmentation()
    for number in (1, 2, 3):
        name = parts.GetNthSegmentID(number - 1)
        found = slicer.util.arrayFromSegmentBinaryLabelmap(proposed.node, name, volume)
        np.testing.assert_array_equal(found > 0, expected == number)
    for index in np.ndindex(10, 12, 14):
        assert proposed.regionAt(world(volume, *index)) == expected[index]
    beyond = [4, 4, 4]
    beyond[(axis + 1) % 3] = -1
    assert proposed.regionAt(world(volume, *beyond)) == 0


def test_no_selector_no_tree_and_no_file_holds_them(
    scan: Callable[..., Any], propose: Callable[..., Any], tmp_path: Path
) -> None:
    node = propose(scan()).node
    assert node.GetHideFromEditors()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert hierarchy.GetItemByDataNode(node) == 0
    slicer.util.saveScene(str(tmp_path / "scene.mrml"))
    text = (tmp_path / "scene.mrml").read_text(encoding="utf-8")
    assert "<Segmentation" not in text
    assert "scan" in text


def test_the_region_below_the_pointer_is_brighter(
    scan: Callable[..., Any], propose: Callable[..., Any]
) -> None:
    proposed = propose(scan())
    display, parts = proposed.node.GetDisplayNode(), proposed.node.GetSegmentation()

    def opacities() -> list[float]:
        return [display.GetSegmentOpacity2DFill(parts.GetNthSegmentID(n)) for n in range(3)]

    assert opacities() == [0.2, 0.2, 0.2]
    proposed.brighten(2)
    assert opacities() == [0.2, 0.6, 0.2]
    proposed.brighten(3)
    assert opacities() == [0.2, 0.2, 0.6]
    proposed.brighten(0)
    assert opacities() == [0.2, 0.2, 0.2]


def test_what_a_region_encloses_comes_with_it_if_wanted(
    scan: Callable[..., Any], propose: Callable[..., Any]
) -> None:
    proposed = propose(scan())
    regions = proposed.proposal.regions
    np.testing.assert_array_equal(proposed.mask(2), regions == 2)
    np.testing.assert_array_equal(proposed.mask(2, fillHoles=True), regions >= 2)
    np.testing.assert_array_equal(proposed.mask(1, fillHoles=True), np.ones(regions.shape, bool))


def test_holes_of_a_volume_are_closed_on_all_sides() -> None:
    from MedContextSegmentLib.Explore.Holes import filled

    shell = np.zeros((7, 8, 9), bool)
    shell[1:6, 1:7, 1:8] = True
    whole = shell.copy()
    shell[2:5, 2:6, 2:7] = False
    np.testing.assert_array_equal(filled(shell), whole)
    shell[1, 3, 3] = False  # now it is open
    np.testing.assert_array_equal(filled(shell), shell)


def test_facts_are_told_in_words(scan: Callable[..., Any], propose: Callable[..., Any]) -> None:
    from MedContextSegmentLib.Explore.ProposedRegions import readFacts

    assert propose(scan()).describe(2) == "Region 2: 12 mm² (25.0 %), mean 12.5"
    flat = {"value": 1, "area_mm2": 41.23, "share": 0.5, "mean": [131.2, 90.0, 80.04]}
    solid = {"value": 7, "volume_ml": 0.0123, "share": 0.1, "mean": [3.0]}
    facts = readFacts([flat, solid])
    assert (facts[1].size, facts[1].means) == ("41.2 mm²", (131.2, 90.0, 80.04))
    assert facts[7].size == "0.0123 mL"


def test_they_go_when_discarded_and_are_gone_with_the_volume(
    scan: Callable[..., Any], propose: Callable[..., Any]
) -> None:
    volume = scan()
    proposed = propose(volume)
    assert proposed.shown
    slicer.mrmlScene.RemoveNode(volume)
    assert not proposed.shown
    proposed.discard()
    proposed.discard()
    proposed.brighten(1)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_nothing_is_shown_of_a_volume_that_is_gone(
    scan: Callable[..., Any], propose: Callable[..., Any]
) -> None:
    from MedContextSegmentLib.Explore.ProposedRegions import ProposedRegions

    volume = scan()
    proposal = propose(volume).proposal
    slicer.mrmlScene.RemoveNode(volume)
    before = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    with pytest.raises(InputError, match="'scan' was deleted"):
        ProposedRegions(proposal)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == before
