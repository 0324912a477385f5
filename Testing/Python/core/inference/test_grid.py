"""The result lies on the grid of the image, and is that of interpolating all scores and labelling them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.nn import functional

from medcontext.data.grid_recipe import GridRecipe
from medcontext.data.preprocess import to_model_grid
from medcontext.geometry import Geometry, Volume
from medcontext.inference import Predictor

FLIPPED = np.array([[0, -1.1, 0, 4], [0, 0, 0.9, -30], [2.0, 0, 0, 7], [0, 0, 0, 1.0]])


def oblique() -> np.ndarray:
    affine = np.diag([1.2, 0.8, 2.5, 1.0])
    affine[:3, :3] = Rotation.from_euler("xyz", [12, -25, 8], degrees=True).as_matrix() @ affine[:3, :3]
    affine[:3, 1] *= -1
    return affine


def reference(image: Volume, network: torch.nn.Module, card) -> tuple[np.ndarray, np.ndarray]:
    """Labels and class probabilities on the image's grid from the scores of all classes in full memory."""
    plan = card.inference.resample
    moved = to_model_grid(image, GridRecipe.of_card(card))
    target = image.reorient(card.input.orientation).geometry
    with torch.inference_mode():
        scores = network(torch.from_numpy(np.ascontiguousarray(moved.array))[None])
        if plan.separate_z is not None:
            size = [
                n if a == plan.separate_z else m
                for a, (n, m) in enumerate(zip(target.shape, moved.shape, strict=True))
            ]
            scores = functional.interpolate(scores, size=size, mode="nearest-exact")
        scores = functional.interpolate(scores, size=target.shape, mode="trilinear", align_corners=False)
    both = np.concatenate([scores.argmax(1).numpy(), scores.softmax(1)[0].numpy()])
    back = Volume(both, target).reorient(image.geometry.orientation).array
    return back[0].astype(np.uint8), back[1:]


@pytest.mark.parametrize(
    ("affine", "orientation", "spacing", "separate_z"),
    [
        (np.diag([1.0, 1.0, 4.0, 1.0]), "LPS", (1.5, 1.3, 1.7), None),
        (np.diag([0.7, 0.7, 1.0, 1.0]), "LPS", (3.0, 1.6, 1.6), None),
        (np.diag([0.8, 0.8, 5.0, 1.0]), "LPS", (3.0, 1.0, 1.0), 0),
        (FLIPPED, "RAS", (1.5, 1.0, 1.0), None),
        (FLIPPED, "PIR", (1.0, 2.2, 1.0), 1),
        (oblique(), "LPS", (1.0, 1.0, 1.0), None),
    ],
    ids=["finer", "coarser", "nearest slices", "flipped", "flipped nearest", "oblique"],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_labels_are_those_of_interpolating_all_scores(
    make_card, bands, cpu, affine, orientation, spacing, separate_z, seed
) -> None:
    shape = (11, 23, 19)
    noise = np.random.default_rng(seed).normal(size=(1, *shape)).astype(np.float32)
    if seed:  # smooth, so that most voxels lie inside a structure, where nothing is interpolated
        noise = functional.avg_pool3d(torch.from_numpy(noise), 5, 1, 2).numpy() * 8
    image = Volume(noise, Geometry(shape, affine))
    card = make_card(4, orientation=orientation, spacing=spacing, separate_z=separate_z)
    result = Predictor([bands], card, cpu, "fp32").predict(image, probabilities_of=(0, 3))
    labels, probabilities = reference(image, bands, card)
    assert result.labelmap.geometry.same_grid(image.geometry)
    np.testing.assert_array_equal(result.labelmap.array[0], labels)
    np.testing.assert_allclose(result.probabilities[3], probabilities[3], atol=1e-3)
    alone = Predictor([bands], card, cpu, "fp32").predict(image)
    np.testing.assert_array_equal(alone.labelmap.array[0], labels)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_slab_may_run_along_any_axis(make_card, bands, cpu, axis) -> None:
    shape = tuple(40 if a == axis else 10 for a in range(3))
    noise = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    image = Volume(noise, Geometry.from_spacing(shape, (1.0, 1.4, 0.8)))
    card = make_card(4)
    labels, _probabilities = reference(image, bands, card)
    result = Predictor([bands], card, cpu, "fp32").predict(image)
    np.testing.assert_array_equal(result.labelmap.array[0], labels)


def test_the_same_grid_is_not_resampled(make_card, bands, cpu, noise) -> None:
    image = noise((13, 9, 21))
    result = Predictor([bands], make_card(4), cpu, "fp32").predict(image)
    np.testing.assert_array_equal(result.labelmap.array, np.digitize(image.array, [-1.5, -0.5, 0.5, 1.5]))


def test_volumes_smaller_than_the_patch_are_padded_and_cut_back(make_card, threshold, cpu, noise) -> None:
    image = noise((3, 5, 2))
    result = Predictor([threshold], make_card(patch=(8, 16, 8)), cpu).predict(image)
    np.testing.assert_array_equal(result.labelmap.array, image.array > 0)


def test_a_volume_of_one_slice(make_card, threshold, cpu) -> None:
    array = np.random.default_rng(0).normal(size=(1, 1, 9, 9)).astype(np.float32)
    image = Volume(array, Geometry.from_spacing((1, 9, 9), (3.0, 1.0, 1.0)))
    result = Predictor([threshold], make_card(), cpu).predict(image)
    np.testing.assert_array_equal(result.labelmap.array, array > 0)
