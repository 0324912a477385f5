"""What is said before a run, and that it agrees with what the worker would say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import slicer

import harness.application  # noqa: F401  makes slicer.i18n importable
from medcontext.cards import CardSummary, bundled_models, read_summary
from MedContextSegmentLib.Run.InputChecks import Finding, check, geometryOf, smallestValue

CARD = read_summary(bundled_models() / "hippocampus")


def makeVolume(
    shape: tuple[int, int, int] = (36, 50, 35),
    spacing: float = 1.0,
    low: float = 0,
    className: str = "vtkMRMLScalarVolumeNode",
    name: str = "scan",
) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass(className, name)
    array = np.zeros(shape, np.int16)
    array.flat[0], array.flat[-1] = low, 1000
    slicer.util.updateVolumeFromArray(node, array)
    node.SetSpacing(spacing, spacing, spacing)
    return node


def said(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.severity, finding.text) for finding in findings]


def two(card: CardSummary = CARD) -> CardSummary:
    return replace(card, channels=("T1", "FLAIR"), modalities=("MRI", "MRI"))


def test_an_image_as_in_training_gives_no_finding() -> None:
    assert check([makeVolume()], CARD) == []


@pytest.mark.parametrize("nodes", [[], [None]])
def test_no_volume_is_an_error(nodes: list[Any]) -> None:
    ((severity, text),) = said(check(nodes, CARD))
    assert (severity, text) == ("error", "No volume is selected.")


def test_a_missing_channel_is_named() -> None:
    ((severity, text),) = said(check([makeVolume(), None], two()))
    assert severity == "error"
    assert "FLAIR (MRI)" in text


def test_label_maps_and_slices_are_refused() -> None:
    labels = makeVolume(className="vtkMRMLLabelMapVolumeNode")
    (finding,) = check([labels], CARD)
    assert (finding.severity, "label map" in finding.text) == ("error", True)
    (finding,) = check([makeVolume((1, 50, 35))], CARD)
    assert (finding.severity, "single slice" in finding.text) == ("error", True)


def test_one_volume_for_two_channels_is_an_error() -> None:
    node = makeVolume()
    (finding,) = check([node, node], two())
    assert (finding.severity, "several channels" in finding.text) == ("error", True)


def test_a_far_larger_image_is_refused_unless_there_is_a_region() -> None:
    head = makeVolume((100, 200, 200))
    (finding,) = check([head], CARD)
    assert finding.severity == "error"
    assert "200 x 200 x 100 mm" in finding.text
    assert "ROI" in finding.hint
    assert check([head], CARD, boxed=True) == []


def makeRoi(size: tuple[float, float, float], center: tuple[float, float, float]) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "region")
    node.SetSize(*size)
    node.SetCenter(*center)
    return node


def test_a_region_as_large_as_the_image_is_refused_like_the_image() -> None:
    head = makeVolume((100, 200, 200))
    (finding,) = check([head], CARD, True, makeRoi((300, 300, 300), (100, 100, 50)))
    assert finding.severity == "error"
    assert "The region measures 200 x 200 x 100 mm" in finding.text
    assert finding.hint == "Choose a smaller region."
    assert check([head], CARD, True, makeRoi((40, 50, 35), (100, 100, 50))) == []
    assert check([head], CARD, True, makeRoi((40, 50, 35), (-500, 0, 0))) == []


def test_errors_are_the_ones_the_worker_would_raise() -> None:
    from medcontext.errors import InputError
    from medcontext.events import Reporter
    from medcontext.geometry import Volume
    from medcontext.inference.checks import check_image
    from medcontext.library import read_card

    card = read_card(CARD.folder)
    warnings: list[str] = []
    for shape, spacing in [((36, 50, 35), 1.0), ((100, 200, 200), 1.0), ((100, 40, 40), 1.0), ((12, 18, 12), 3.0),
                           ((18, 25, 20), 2.0)]:  # fmt: skip
        node = makeVolume(shape, spacing)
        findings = check([node], CARD)
        warnings.clear()
        reporter = Reporter(lambda event: warnings.append(event["message"]))
        geometry = geometryOf(node)
        assert geometry is not None
        try:
            check_image(Volume(np.zeros((1, *shape), np.int16), geometry), card, None, reporter)
            refused = ""
        except InputError as error:
            refused = error.message
        assert [f.text for f in findings if f.severity == "error"] == ([refused] if refused else [])
        spacings = [f"{f.text[:-1]}: look" for f in findings if "spacing" in f.text]
        if not refused:
            assert [message.startswith(text) for message, text in zip(warnings, spacings, strict=True)] == [
                True for _ in warnings
            ]


def test_unusual_spacing_and_a_small_image_are_warned_of() -> None:
    texts = [finding.text for finding in check([makeVolume((12, 18, 12), 3.0)], CARD)]
    assert texts == ["The image has a spacing of 3 x 3 x 3 mm, the model was trained on 1 x 1 x 1 mm."]
    (finding,) = check([makeVolume((10, 50, 35))], CARD)
    assert (finding.severity, finding.text) == (
        "warning",
        "The image measures 35 x 50 x 10 mm, the model was trained on images of at least 31 x 41 x 26 mm.",
    )


def test_sizes_are_compared_along_the_axes_of_the_model() -> None:
    """A sagittal acquisition: the same box, its array axes in another order."""
    node = makeVolume((35, 36, 50))  # slices from left to right, rows from below to above
    matrix = np.zeros((4, 4))
    matrix[0, 2], matrix[1, 0], matrix[2, 1], matrix[3, 3] = 1, 1, 1, 1
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    card = replace(CARD, field_of_view_range=((30, 45, 30), (40, 55, 40)), spacing_range=None)
    assert check([node], card) == []
    low = replace(CARD, field_of_view_range=((36, 50, 71), (36, 50, 71)), spacing_range=None)
    (finding,) = check([node], low)
    assert "35 x 50 x 36 mm" in finding.text


def test_a_model_of_images_as_they_are_stored_has_axes_of_its_own() -> None:
    """The same scan turned: its columns lie where the model has its slices."""
    sizes = ((30, 45, 30), (40, 55, 40))
    card = replace(CARD, orientation="stored", field_of_view_range=sizes, spacing_range=None)
    assert check([makeVolume((35, 50, 36))], card) == []
    turned = replace(card, transpose=(2, 0, 1))
    assert check([makeVolume((50, 36, 35))], turned) == []
    (finding,) = check([makeVolume((50, 36, 10))], turned)
    assert "at least 30 x 45 x 30 mm" in finding.text


def test_a_parent_transform_counts() -> None:
    node = makeVolume()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([4.0, 4.0, 4.0, 1.0])))
    node.SetAndObserveTransformNodeID(transform.GetID())
    assert [finding.severity for finding in check([node], CARD)] == ["error", "warning"]


def test_a_dicom_modality_that_differs_is_warned_of() -> None:
    node = makeVolume()
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(node), "DICOM.Modality", "PT")
    (finding,) = check([node], CARD)
    assert (finding.severity, finding.text) == (
        "warning", "'scan' is a PET image, the model was trained on MR images."
    )  # fmt: skip
    hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(node), "DICOM.Modality", "MR")
    assert check([node], CARD) == []


def test_values_tell_ct_from_mr_only_where_that_is_clear() -> None:
    ct = replace(CARD, modalities=("CT",), channels=("CT",))
    assert "like a CT image" in check([makeVolume(low=-1000)], CARD)[0].text
    assert "no negative values" in check([makeVolume(low=0)], ct)[0].text
    assert check([makeVolume(low=-1000)], ct) == []
    assert check([makeVolume(low=-100)], CARD) == []  # MR after filtering may be negative
    unknown = replace(CARD, modalities=("unknown",), channels=("image",))
    assert check([makeVolume(low=-1000)], unknown) == []


def test_a_large_scan_is_not_read_as_a_whole() -> None:
    """One voxel in the middle is no air, and nobody waits for half a gigabyte."""
    array = np.ones((70, 70, 70), np.int16)
    array[33, 34, 35] = -3000
    node = slicer.util.addVolumeFromArray(array)
    assert smallestValue(node) == 1
    array[:10] = -1000
    slicer.util.updateVolumeFromArray(node, array)
    assert smallestValue(node) == -1000


def test_channels_on_other_grids_are_named() -> None:
    first, second = makeVolume(), makeVolume((18, 25, 18), 2.0, name="flair")
    (finding,) = check([first, second], two())
    assert (finding.severity, finding.text) == (
        "info", "'flair' has another voxel grid than 'scan': it will be resampled."
    )  # fmt: skip
    second.SetOrigin(500, 0, 0)
    (finding,) = check([first, second], two())
    assert (finding.severity, finding.text) == ("error", "'flair' does not overlap 'scan'.")


def test_a_card_that_says_nothing_of_ranges_gives_no_finding() -> None:
    silent = replace(CARD, spacing_range=None, field_of_view_range=None, orientation="?")
    assert check([makeVolume((100, 200, 200), 7.0)], silent) == []
