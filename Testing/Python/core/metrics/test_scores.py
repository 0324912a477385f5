"""What a score means: millimetres, empty masks, voxels nobody annotated, input that does not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.labels import IGNORE, LabelSet
from medcontext.metrics import score_case

LABELS = LabelSet.from_names({1: "anterior", 2: "posterior"})
ONE = LabelSet.from_names({1: "organ"})
SPACING = (3.0, 1.0, 0.5)


def blob(seed: int, shape: tuple[int, int, int] = (12, 24, 26), labels: int = 2) -> np.ndarray:
    """A smooth random labelmap that also touches the border of the array."""
    coarse = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, labels + 1, 4, 5, 5)))
    smooth = torch.nn.functional.interpolate(coarse, shape, mode="trilinear", align_corners=True)
    return smooth[0].argmax(0).numpy().astype(np.uint8)


def volume(array: np.ndarray, geometry: Geometry | None = None) -> Volume:
    return Volume(array[None], geometry or Geometry.from_spacing(array.shape, SPACING))


def box(start: tuple[int, int, int], stop: tuple[int, int, int], shape: tuple[int, int, int]) -> np.ndarray:
    array = np.zeros(shape, np.uint8)
    array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = 1
    return array


@pytest.mark.filterwarnings("ignore::FutureWarning:monai")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), SPACING])
def test_the_scores_agree_with_monai(seed: int, spacing: tuple[float, float, float]) -> None:
    prediction, reference = blob(seed), blob(seed + 100)
    geometry = Geometry.from_spacing(reference.shape, spacing)
    rows = score_case(volume(prediction, geometry), volume(reference, geometry), LABELS, 1.5)
    assert [row.label for row in rows] == ["anterior", "posterior"]
    for row in rows:
        ours, theirs = (torch.from_numpy(a == row.value)[None, None] for a in (prediction, reference))
        dice = compute_dice(ours, theirs)
        hd95 = compute_hausdorff_distance(
            ours, theirs, include_background=True, percentile=95, spacing=spacing
        )
        surface = compute_surface_dice(ours, theirs, [1.5], include_background=True, spacing=spacing)
        assert row.dice == pytest.approx(float(dice), abs=1e-6)
        assert row.hd95_mm == pytest.approx(float(hd95), abs=1e-4)
        assert row.surface_dice == pytest.approx(float(surface), abs=1e-6)


def test_a_shift_costs_millimetres_not_voxels() -> None:
    shape = (20, 20, 20)
    reference = volume(box((6, 6, 6), (14, 14, 14), shape))
    for axis, spacing in enumerate(SPACING):
        shifted = volume(np.roll(reference.array[0], 1, axis))
        (row,) = score_case(shifted, reference, ONE, tolerance_mm=spacing)
        assert row.hd95_mm == pytest.approx(spacing)
        assert row.surface_dice == 1.0  # a distance that equals the tolerance is within it
        (row,) = score_case(shifted, reference, ONE, tolerance_mm=spacing - 0.01)
        assert row.surface_dice is not None
        assert row.surface_dice < 1


def test_turning_the_patient_in_space_changes_nothing() -> None:
    prediction, reference = blob(1), blob(2)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    straight = Geometry.from_spacing(reference.shape, SPACING)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn @ straight.affine[:3, :3], (50, -20, 7)
    oblique = Geometry(reference.shape, affine)
    expected = score_case(volume(prediction, straight), volume(reference, straight), LABELS)
    found = score_case(volume(prediction, oblique), volume(reference, oblique), LABELS)
    for one, other in zip(expected, found, strict=True):
        assert other.hd95_mm == pytest.approx(one.hd95_mm)
        assert other.surface_dice == pytest.approx(one.surface_dice)
        assert other.reference_ml == pytest.approx(one.reference_ml)


def test_a_tilted_gantry_is_measured_in_the_patient() -> None:
    shape = (9, 15, 15)
    affine = np.eye(4)
    affine[:3, 2] = (0.0, 3.0, 4.0)  # going up one slice moves 3 mm back: slices are 4 mm apart, 5 mm along k
    first, second = box((4, 7, 7), (5, 8, 8), shape), box((5, 4, 7), (6, 5, 8), shape)
    geometry = Geometry(shape, affine)
    (row,) = score_case(volume(first, geometry), volume(second, geometry), ONE)
    assert row.hd95_mm == pytest.approx(4.0)  # straight up; spacing alone would say sqrt(25 + 9)
    assert row.reference_ml == pytest.approx(0.004)


def test_volumes_are_millilitres() -> None:
    reference = volume(box((0, 0, 0), (10, 10, 10), (12, 12, 12)))
    (row,) = score_case(reference, reference, ONE)
    assert (row.reference_voxels, row.prediction_voxels) == (1000, 1000)
    assert row.reference_ml == pytest.approx(1.5)
    assert (row.dice, row.hd95_mm, row.surface_dice) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("predicted", "true", "status", "score"),
    [(False, False, "absent", None), (False, True, "missed", 0.0), (True, False, "invented", 0.0)],
)
def test_the_rule_for_empty_masks(predicted: bool, true: bool, status: str, score: float | None) -> None:
    shape = (8, 8, 8)
    full, empty = box((2, 2, 2), (6, 6, 6), shape), np.zeros(shape, np.uint8)
    (row,) = score_case(volume(full if predicted else empty), volume(full if true else empty), ONE)
    assert (row.status, row.dice, row.surface_dice, row.hd95_mm) == (status, score, score, None)
    assert row.reference_voxels == 64 * true
    assert row.prediction_voxels == 64 * predicted


def test_what_lies_in_unannotated_voxels_changes_no_score() -> None:
    prediction, reference = blob(3), blob(4)
    hidden = np.zeros(reference.shape, bool)
    hidden[::2] = hidden[:, :5] = True
    reference[hidden] = IGNORE
    expected = score_case(volume(prediction), volume(reference), LABELS)
    prediction[hidden] = np.random.default_rng(0).integers(0, 250, hidden.sum())  # also unknown values
    assert score_case(volume(prediction), volume(reference), LABELS) == expected
    prediction[hidden] = IGNORE
    assert score_case(volume(prediction), volume(reference), LABELS) == expected


def test_single_annotated_slices_are_scored_within_their_plane() -> None:
    """Every 4th slice painted: the cut between slices is no surface, inner voxels are no surface voxels."""
    shape = (9, 20, 20)
    whole, shifted = box((0, 5, 5), (9, 15, 15), shape), box((0, 6, 5), (9, 16, 15), shape)
    painted = whole.copy()
    painted[np.arange(9) % 4 != 0] = IGNORE
    (row,) = score_case(volume(shifted), volume(painted), ONE)
    assert row.dice == pytest.approx(0.9)
    assert row.hd95_mm == pytest.approx(1.0)
    # The first and last slice lie at the image's border, which is a surface like any other; the one between
    # has none towards its unannotated neighbours. Of the 36 surface voxels of each square 18 lie on one of
    # the other: 9 on either side.
    middle = painted.copy()
    middle[[0, 8]] = IGNORE
    (row,) = score_case(volume(shifted), volume(middle), ONE, tolerance_mm=0.4)
    assert row.surface_dice == pytest.approx(18 / 36)


def test_a_mask_without_any_surface_has_no_surface_scores() -> None:
    shape = (5, 5, 5)
    reference = np.full(shape, IGNORE, np.uint8)
    reference[1:4, 1:4, 1:4] = 1
    (row,) = score_case(volume(np.ones(shape, np.uint8)), volume(reference), ONE)
    assert (row.status, row.dice, row.hd95_mm, row.surface_dice) == ("scored", 1.0, None, None)
    hollow = np.ones(shape, np.uint8)
    hollow[2, 2, 2] = 0
    (row,) = score_case(volume(hollow), volume(reference), ONE)
    assert (row.hd95_mm, row.surface_dice) == (None, 0.0)


def test_an_image_of_one_slice_is_scored_as_a_plane() -> None:
    shape = (1, 20, 20)
    reference = volume(box((0, 4, 4), (1, 16, 16), shape))
    hole = reference.array[0].copy()
    hole[0, 10, 10] = 0  # far from the outline; if all voxels were surface this would hardly show
    (row,) = score_case(volume(hole), reference, ONE, tolerance_mm=0.0)
    assert row.surface_dice == pytest.approx(2 * 44 / (2 * 44 + 4))


def test_labels_that_the_reference_does_not_know_are_not_scored() -> None:
    rows = score_case(volume(blob(1)), volume(blob(2)), LABELS, annotated=[2], case="case 7")
    assert [(row.case, row.label, row.value) for row in rows] == [("case 7", "posterior", 2)]


def test_grids_that_disagree_are_both_named() -> None:
    array = blob(0)
    here = Geometry.from_spacing(array.shape, SPACING)
    there = Geometry.from_spacing(array.shape, (3.0, 1.0, 0.75))
    with pytest.raises(InputError, match=r"0\.75 x 1 x 3 mm.*0\.5 x 1 x 3 mm"):
        score_case(volume(array, there), volume(array, here), LABELS)
    with pytest.raises(InputError, match=r"26 x 24 x 10 .*26 x 24 x 12 "):
        score_case(volume(array[:10]), volume(array), LABELS)


def test_values_without_a_label_are_named() -> None:
    known, strange = blob(0), blob(0)
    strange[3, 3, 3] = 7
    with pytest.raises(InputError, match=r"prediction holds .*\[7\].*1 anterior, 2 posterior"):
        score_case(volume(strange), volume(known), LABELS)
    with pytest.raises(InputError, match=r"reference holds .*\[7\]"):
        score_case(volume(known), volume(strange), LABELS)
    strange[3, 3, 3] = IGNORE
    with pytest.raises(InputError, match=r"prediction holds .*\[255\]"):
        score_case(volume(strange), volume(known), LABELS)


def test_images_that_are_no_labelmaps_are_refused() -> None:
    good = volume(blob(0))
    for array in (good.array.astype(np.float32), np.concatenate([good.array] * 2)):
        with pytest.raises(InputError, match="prediction must be a labelmap"):
            score_case(Volume(array, good.geometry), good, LABELS)
    for tolerance in (-1.0, float("nan")):
        with pytest.raises(InputError, match="tolerance"):
            score_case(good, good, LABELS, tolerance)


def test_a_flipped_view_of_the_arrays_scores_the_same() -> None:
    first, second = volume(blob(1)), volume(blob(2))
    expected = score_case(first, second, LABELS)
    found = score_case(first.reorient("SRA"), second.reorient("SRA"), LABELS)
    for one, other in zip(expected, found, strict=True):
        assert other.hd95_mm == pytest.approx(one.hd95_mm)
        assert replace(other, hd95_mm=None) == replace(one, hd95_mm=None)


def test_a_real_labelmap_eroded_by_one_voxel_is_one_millimetre_off(shared_data: Path) -> None:
    import SimpleITK as sitk
    from scipy import ndimage

    image = sitk.ReadImage(str(sorted((shared_data / "hippocampus" / "labels").glob("*.nii.gz"))[0]))
    reference = (sitk.GetArrayFromImage(image) > 0).astype(np.uint8)
    geometry = Geometry.from_spacing(reference.shape)
    eroded = ndimage.binary_erosion(reference).astype(np.uint8)
    (row,) = score_case(volume(eroded, geometry), volume(reference, geometry), ONE, 1.0)
    assert row.hd95_mm is not None
    assert row.surface_dice is not None
    assert 1.0 <= row.hd95_mm <= 2.5
    assert row.surface_dice > 0.7
    assert row.reference_voxels > row.prediction_voxels
