"""Signs and directions of the spatial part: image and label move as the draw says, and together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from medcontext.data.augment.draw import SpatialDraw
from medcontext.data.augment.spatial import apply_spatial, sampling_grid
from medcontext.labels import IGNORE

PATCH = (10, 12, 14)


def random_batch(size: tuple[int, int, int] = PATCH, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    images = torch.randn((count, 2, *size), generator=generator)
    labels = torch.randint(0, 4, (count, 1, *size), generator=generator, dtype=torch.uint8)
    return images, labels


def blob(size: tuple[int, int, int], centre: tuple[float, float, float], sigma: float = 2.0) -> torch.Tensor:
    """A Gaussian at ``centre`` (voxels, K J I) as a (1, 1, K, J, I) image."""
    axes = np.meshgrid(*(np.arange(n) for n in size), indexing="ij")
    squared = sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True))
    return torch.from_numpy(np.exp(-squared / (2 * sigma**2)).astype(np.float32))[None, None]


def centre_of_mass(image: torch.Tensor) -> np.ndarray:
    weights = image[0, 0].double().numpy()
    axes = np.meshgrid(*(np.arange(n) for n in weights.shape), indexing="ij")
    return np.array([(a * weights).sum() / weights.sum() for a in axes])


def warp(image: torch.Tensor, drawn: SpatialDraw) -> torch.Tensor:
    size = tuple(image.shape[2:])
    return apply_spatial(image, None, [drawn], size, padding="zeros")[0]


def test_identity_returns_the_input_exactly_and_leaves_it_alone() -> None:
    images, labels = random_batch()
    before = images.clone(), labels.clone()
    moved, moved_labels = apply_spatial(images, labels, [SpatialDraw(), SpatialDraw()], PATCH)
    assert torch.equal(moved, before[0])
    assert torch.equal(moved_labels, before[1])
    moved += 1
    moved_labels += 1
    assert torch.equal(images, before[0])
    assert torch.equal(labels, before[1])


def test_interpolating_path_without_movement_is_the_identity_too() -> None:
    images, labels = random_batch()
    drawn = SpatialDraw(displacement=np.zeros((3, 4, 4, 4), np.float32))
    assert not drawn.is_crop
    moved, moved_labels = apply_spatial(images, labels, [drawn] * 2, PATCH)
    torch.testing.assert_close(moved, images, atol=2e-5, rtol=0)
    assert torch.equal(moved_labels, labels)


@pytest.mark.parametrize("flips", [(0,), (1,), (2,), (0, 2), (0, 1, 2)])
def test_flip_equals_torch_flip_and_swaps_pairs_only_left_to_right(flips: tuple[int, ...]) -> None:
    images, labels = random_batch()
    labels[0, 0, 0, 0, 0] = IGNORE
    moved, moved_labels = apply_spatial(images, labels, [SpatialDraw(flips=flips)] * 2, PATCH, [(1, 3)])
    dims = [axis + 2 for axis in flips]
    assert torch.equal(moved, images.flip(dims))
    table = torch.arange(256, dtype=torch.uint8)
    if 2 in flips:
        table[1], table[3] = 3, 1
    assert torch.equal(moved_labels, table[labels.flip(dims).long()])


def test_left_right_axis_of_another_orientation() -> None:
    images, labels = random_batch()
    labels = labels.long()
    _, kept = apply_spatial(images, labels, [SpatialDraw(flips=(2,))] * 2, PATCH, [(1, 2)], left_right=0)
    _, swapped = apply_spatial(images, labels, [SpatialDraw(flips=(0,))] * 2, PATCH, [(1, 2)], left_right=0)
    assert torch.equal(kept, labels.flip(4))
    assert torch.equal(swapped, torch.tensor([0, 2, 1, 3])[labels.flip(2)])


def test_flip_mirrors_the_result_of_everything_else() -> None:
    images, labels = random_batch()
    drawn = SpatialDraw(rotation=(10, -7, 5), scale=(1.1, 0.9, 1.0), offset=(1.5, -0.5, 2.0))
    plain, plain_labels = apply_spatial(images, labels, [drawn] * 2, PATCH)
    moved, moved_labels = apply_spatial(images, labels, [replace(drawn, flips=(0, 1))] * 2, PATCH)
    assert torch.equal(moved, plain.flip([2, 3]))
    assert torch.equal(moved_labels, plain_labels.flip([2, 3]))


@pytest.mark.parametrize(("axis", "plane"), [(0, (3, 4)), (1, (2, 4)), (2, (2, 3))])
@pytest.mark.parametrize("turns", [1, -1])
def test_quarter_turn_equals_rot90(axis: int, plane: tuple[int, int], turns: int) -> None:
    images, labels = random_batch((9, 9, 9), 1)
    angles = [0.0, 0.0, 0.0]
    angles[axis] = 90.0 * turns
    drawn = SpatialDraw(rotation=(angles[0], angles[1], angles[2]))
    moved, moved_labels = apply_spatial(images, labels, [drawn], (9, 9, 9))
    torch.testing.assert_close(moved, torch.rot90(images, turns, plane), atol=2e-5, rtol=0)
    assert torch.equal(moved_labels, torch.rot90(labels, turns, plane))


def test_rotations_are_applied_about_the_last_axis_first() -> None:
    images, labels = random_batch((8, 8, 8), 1)
    _, moved = apply_spatial(images, labels, [SpatialDraw(rotation=(90, 90, 90))], (8, 8, 8))
    turned = torch.rot90(torch.rot90(torch.rot90(labels, 1, (2, 3)), 1, (2, 4)), 1, (3, 4))
    assert torch.equal(moved, turned)


def test_scale_two_doubles_distances_from_the_centre() -> None:
    size = (33, 33, 33)
    image = blob(size, (19, 13, 16), 1.5)
    moved = warp(image, SpatialDraw(scale=(2, 2, 2)))
    np.testing.assert_allclose(centre_of_mass(moved), (22, 10, 16), atol=0.05)
    assert moved.sum() == pytest.approx(8 * float(image.sum()), rel=0.02)
    one_axis = warp(image, SpatialDraw(scale=(1, 1.5, 1)))
    np.testing.assert_allclose(centre_of_mass(one_axis), (19, 11.5, 16), atol=0.05)


def test_magnification_comes_before_rotation() -> None:
    size = (33, 33, 33)
    drawn = SpatialDraw(scale=(1, 2, 1), rotation=(90, 0, 0))
    moved = warp(blob(size, (16, 20, 16), 1.5), drawn)  # 4 along J becomes 8 along J, then turns to I
    np.testing.assert_allclose(centre_of_mass(moved), (16, 16, 24), atol=0.05)


def test_offset_moves_the_window_so_the_object_moves_the_other_way() -> None:
    size = (21, 21, 21)
    whole = warp(blob(size, (10, 10, 10)), SpatialDraw(offset=(3, -2, 0)))
    np.testing.assert_allclose(centre_of_mass(whole), (7, 12, 10), atol=0.05)
    part = warp(blob(size, (10, 10, 10)), SpatialDraw(offset=(0.5, 0, -1.25)))
    np.testing.assert_allclose(centre_of_mass(part), (9.5, 10, 11.25), atol=0.05)


def test_displacement_points_to_the_source() -> None:
    size = (21, 23, 25)
    displacement = np.zeros((3, 4, 4, 4), np.float32)
    displacement[0], displacement[2] = 2.0, -1.5
    moved = warp(blob(size, (10, 11, 12)), SpatialDraw(displacement=displacement))
    np.testing.assert_allclose(centre_of_mass(moved), (8, 11, 13.5), atol=0.05)


def test_displacement_acts_where_its_control_point_lies() -> None:
    displacement = np.zeros((3, 4, 5, 6), np.float32)
    displacement[1, 3, 0, 5] = 2.0  # last K, first J, last I corner
    still = sampling_grid([SpatialDraw()], PATCH, PATCH)
    moved = sampling_grid([SpatialDraw(displacement=displacement)], PATCH, PATCH)
    change = (moved - still)[0]
    np.testing.assert_allclose(change[-1, 0, -1], (0, 2 * 2 / PATCH[1], 0), atol=1e-6)
    assert change[0, -1, 0].abs().max() < 1e-6
    assert change[..., (0, 2)].abs().max() < 1e-6


def test_patch_is_cut_from_the_middle_of_a_larger_source() -> None:
    images, labels = random_batch((16, 17, 20))
    warped = SpatialDraw(displacement=np.zeros((3, 4, 4, 4), np.float32))
    for drawn, tolerance in ((SpatialDraw(), 0.0), (warped, 2e-5)):
        moved, moved_labels = apply_spatial(images, labels, [drawn] * 2, PATCH)
        torch.testing.assert_close(moved, images[..., 3:13, 2:14, 3:17], atol=tolerance, rtol=0)
        assert torch.equal(moved_labels, labels[..., 3:13, 2:14, 3:17])


@pytest.mark.parametrize("warped", [False, True])
def test_outside_the_source_is_ignore(warped: bool) -> None:
    images, labels = random_batch((6, 12, 14))
    displacement = np.zeros((3, 4, 4, 4), np.float32) if warped else None
    drawn = SpatialDraw(offset=(0, 5, 0), displacement=displacement)
    moved, moved_labels = apply_spatial(images, labels, [drawn] * 2, PATCH)
    assert torch.equal(moved_labels[..., 2:8, :7, :], labels[..., 5:, :])
    assert (moved_labels[..., :2, :, :] == IGNORE).all()
    assert (moved_labels[..., 8:, :, :] == IGNORE).all()
    assert (moved_labels[..., 7:, :] == IGNORE).all()
    torch.testing.assert_close(moved[..., 0, :7, :], images[..., 0, 5:, :], atol=2e-5, rtol=0)
    zeros, _ = apply_spatial(images, labels, [drawn] * 2, PATCH, padding="zeros")
    assert zeros[..., :2, :, :].abs().max() < 1e-4
    torch.testing.assert_close(zeros[..., 2:8, :7, :], images[..., 5:, :], atol=2e-5, rtol=0)


def test_patch_wholly_outside_is_all_ignore() -> None:
    images, labels = random_batch()
    _, moved = apply_spatial(images, labels, [SpatialDraw(offset=(40, 0, 0))] * 2, PATCH)
    assert (moved == IGNORE).all()


def test_image_and_label_stay_together() -> None:
    size, patch = (36, 40, 36), (24, 28, 24)
    generator = np.random.default_rng(5)
    centres = [(14, 18, 20), (22, 24, 15), (18, 14, 14)]
    image = sum(blob(size, c, 4.0) for c in centres)
    labels = (image > 0.5).to(torch.uint8)
    displacement = generator.normal(0, 1, (3, 4, 4, 4)).astype(np.float32)
    drawn = SpatialDraw((12, -9, 14), (1.15, 0.9, 1.05), (2.3, -1.7, 0.4), (2,), displacement)
    moved, moved_labels = apply_spatial(image, labels, [drawn], patch)
    inside = moved_labels != IGNORE
    same = (moved > 0.5) == (moved_labels == 1)
    assert inside.float().mean() > 0.95
    assert moved_labels.eq(1).sum() > 1000
    assert same[inside].float().mean() > 0.96
    clear = inside & ((moved - 0.5).abs() > 0.12)  # more than about a voxel from the border
    assert same[clear].all()


def test_rotation_of_anisotropic_voxels_keeps_millimetres() -> None:
    spacing = (3.0, 1.0, 0.5)
    size = (21, 63, 126)
    middle = np.array([10.0, 31.0, 62.5])
    for rotation, before, after in (
        ((0, 0, 90), (0, 12, 0), (-12, 0, 0)),  # J turns to -K
        ((0, 90, 0), (12, 0, 0), (0, 0, 12)),  # K turns to I
        ((90, 0, 0), (0, 12, 0), (0, 0, 12)),  # J turns to I
        ((30, 0, 0), (0, 12, 0), (0, 12 * np.cos(np.pi / 6), 6)),
    ):
        image = blob(size, tuple(middle + np.array(before) / spacing), 1.5)
        moved = warp(image, SpatialDraw(rotation=rotation, spacing=spacing))
        offset = (centre_of_mass(moved) - middle) * spacing
        np.testing.assert_allclose(offset, after, atol=0.15)


def test_samples_of_a_batch_do_not_mix() -> None:
    images, labels = random_batch(count=3)
    draws = [SpatialDraw(rotation=(20, 0, 0)), SpatialDraw(flips=(1,)), SpatialDraw(scale=(1.2, 1, 1))]
    moved, moved_labels = apply_spatial(images, labels, draws, PATCH)
    for index, drawn in enumerate(draws):
        one = slice(index, index + 1)
        alone, alone_labels = apply_spatial(images[one], labels[one], [drawn], PATCH)
        torch.testing.assert_close(moved[one], alone, atol=1e-6, rtol=0)
        assert torch.equal(moved_labels[one], alone_labels)


def test_without_labels() -> None:
    images, labels = random_batch()
    draws = [SpatialDraw(rotation=(20, 0, 0)), SpatialDraw(flips=(1,))]
    moved, nothing = apply_spatial(images, None, draws, PATCH)
    assert nothing is None
    assert torch.equal(moved, apply_spatial(images, labels, draws, PATCH)[0])


def test_numbers_that_do_not_fit_are_refused() -> None:
    images, labels = random_batch()
    with pytest.raises(ValueError, match="1 draws"):
        apply_spatial(images, labels, [SpatialDraw()], PATCH)
    with pytest.raises(ValueError, match="must fit"):
        apply_spatial(images, labels[..., 1:], [SpatialDraw()] * 2, PATCH)
