"""What training relies on: every case and class is seen, borders as well, and a run can be repeated exactly."""

from __future__ import annotations

import numpy as np
import pytest

from medcontext.data.preprocess import PreparedCase, class_locations
from medcontext.data.sampling import Patch, cut, draw_case, draw_patch, generator_for, margin_of
from medcontext.labels import IGNORE

Triple = tuple[int, int, int]


def a_case(shape: Triple = (12, 20, 24), labelled: bool = True) -> PreparedCase:
    """Class 1 fills 360 voxels at one end, class 2 a single voxel at the other; each voxel has its number."""
    image = 1 + np.arange(np.prod(shape), dtype=np.float32).reshape(1, *shape)
    if not labelled:
        return PreparedCase("a", image, None, np.ones(3, bool), [], "")
    labels = np.zeros(shape, np.uint8)
    labels[2:12, 2:8, 2:8] = 1
    labels[-2, -2, -2] = 2
    return PreparedCase("a", image, labels, np.array([True, True, False]), class_locations(labels, 3), "")


def patches_of(case: PreparedCase, count: int, size: Triple, **options: object) -> list[Patch]:
    return [draw_patch(case, size, generator_for(0, step, 0), **options) for step in range(count)]  # type: ignore[arg-type]


def start_of(patch: Patch, case: PreparedCase) -> tuple[int, ...]:
    """Where a patch that lies inside its case was cut."""
    number = int(patch.image[0, 0, 0, 0]) - 1
    return tuple(int(n) for n in np.unravel_index(number, case.image.shape[1:]))


def test_a_structure_of_one_voxel_is_seen_as_often_as_a_large_one() -> None:
    patches = patches_of(a_case(), 300, (6, 6, 6), foreground_share=1.0)
    assert all(np.isin(patch.labels, [1, 2]).any() for patch in patches)
    share = np.mean([(patch.labels == 2).any() for patch in patches])
    assert 0.4 < share < 0.6


@pytest.mark.parametrize(
    ("options", "share"), [({}, 2 / 3), ({"foreground_share": 0.25}, 0.25), ({"foreground_share": 0.0}, 0.0)]
)
def test_two_thirds_of_the_patches_are_centred_on_structures_unless_told_otherwise(
    options: dict[str, float], share: float
) -> None:
    case = a_case((40, 40, 40))
    case.locations[1] = np.zeros((0, 3), np.int16)
    found = np.mean([(p.labels == 2).any() for p in patches_of(case, 300, (6, 6, 6), **options)])
    assert found == pytest.approx(share, abs=0.08)


def test_the_voxel_aimed_at_is_in_the_patch_but_not_always_in_its_middle() -> None:
    case = a_case((40, 40, 40))
    case.locations[1] = np.array([[20, 20, 20]], np.int16)
    case.locations[2] = np.zeros((0, 3), np.int16)
    starts = np.array([start_of(p, case) for p in patches_of(case, 200, (12, 12, 12), foreground_share=1.0)])
    assert (starts <= 20).all()
    assert (starts + 12 > 20).all()
    for axis in range(3):
        assert len(np.unique(starts[:, axis])) >= 3


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_small_case_is_centred_and_whole_in_every_patch(share: float) -> None:
    case = a_case((12, 13, 14))
    for patch in patches_of(case, 5, (16, 16, 16), foreground_share=share):
        box = (slice(2, 14), slice(1, 14), slice(1, 15))
        assert case.labels is not None
        assert np.array_equal(patch.image[(slice(None), *box)], case.image)
        assert np.array_equal(patch.labels[box], case.labels)
        outside = np.ones((16, 16, 16), bool)
        outside[box] = False
        assert (patch.image[0][outside] == 0).all()
        assert (patch.labels[outside] == IGNORE).all()


def test_where_only_one_axis_is_short_the_others_are_still_drawn() -> None:
    case = a_case((12, 20, 24))
    patches = patches_of(case, 60, (14, 10, 10), foreground_share=0.0)
    assert all((patch.image[0, [0, -1]] == 0).all() for patch in patches)
    assert all((patch.image[0, 1:-1] > 0).all() for patch in patches)
    assert len({patch.image[0, 1, 0, 0] for patch in patches}) > 20


@pytest.mark.parametrize("margin", [(0, 0, 0), (2, 1, 3)])
def test_every_place_is_reached_up_to_the_borders_whatever_the_margin(margin: Triple) -> None:
    case = a_case((12, 20, 24))
    k, j, i = margin
    inner = (slice(None), slice(k, k + 8), slice(j, j + 16), slice(i, i + 20))
    starts = set()
    for patch in patches_of(case, 400, (8, 16, 20), foreground_share=0.0, margin=margin):
        assert patch.image.shape == (1, 8 + 2 * k, 16 + 2 * j, 20 + 2 * i)
        box = patch.image[inner]
        assert (box > 0).all()  # the box never leaves a case that is larger
        starts.add(start_of(Patch(box, patch.labels, patch.known), case))
    for axis in range(3):
        assert {start[axis] for start in starts} == set(range(5))


def test_the_margin_shows_what_lies_around_and_is_empty_beyond_the_case() -> None:
    case = a_case((12, 20, 24))
    assert case.labels is not None
    patch = cut(case, (-2, 3, 20), (6, 6, 8))
    assert np.array_equal(patch.image[:, 2:, :, :4], case.image[:, :4, 3:9, 20:])
    assert np.array_equal(patch.labels[2:, :, :4], case.labels[:4, 3:9, 20:])
    assert (patch.image[:, :2] == 0).all()
    assert (patch.labels[:, :, 4:] == IGNORE).all()
    nowhere = cut(case, (30, 0, 0), (4, 4, 4))
    assert (nowhere.image == 0).all()
    assert (nowhere.labels == IGNORE).all()


def test_structures_at_the_border_do_not_push_the_patch_outside() -> None:
    case = a_case((12, 20, 24))
    case.locations[1] = np.array([[0, 0, 0], [11, 19, 23]], np.int16)
    for patch in patches_of(case, 40, (8, 8, 8), foreground_share=1.0):
        assert (patch.image > 0).all()


def test_a_case_without_labels_gives_patches_that_are_ignored_as_a_whole() -> None:
    case = a_case(labelled=False)
    patches = patches_of(case, 50, (8, 8, 8))
    assert all((patch.labels == IGNORE).all() for patch in patches)
    assert len({start_of(patch, case) for patch in patches}) > 25


def test_a_case_in_which_nothing_was_found_is_sampled_anywhere() -> None:
    case = a_case()
    for value in (1, 2):
        case.locations[value] = np.zeros((0, 3), np.int16)
    patches = patches_of(case, 50, (8, 8, 8), foreground_share=1.0)
    assert len({start_of(patch, case) for patch in patches}) > 25


def test_patches_do_not_share_memory_with_the_case_and_carry_what_is_known() -> None:
    case = a_case()
    patch = draw_patch(case, (8, 8, 8), generator_for(0, 0, 0))
    before = case.image.copy()
    patch.image[:] = -1
    assert np.array_equal(case.image, before)
    assert patch.image.dtype == np.float32
    assert patch.known.tolist() == [True, True, False]


def test_the_same_seed_step_and_sample_give_the_same_patch_and_any_other_gives_another() -> None:
    case = a_case()

    def patch(*key: int) -> np.ndarray:
        return draw_patch(case, (6, 6, 6), generator_for(*key), foreground_share=0.0).image

    assert np.array_equal(patch(1, 2, 3), patch(1, 2, 3))
    others = [(2, 2, 3), (1, 3, 3), (1, 2, 4), (1, 2, 3, 1)]
    assert all(not np.array_equal(patch(1, 2, 3), patch(*key)) for key in others)


@pytest.mark.parametrize(("count", "batch"), [(5, 2), (3, 4), (7, 7), (1, 3)])
def test_every_case_is_seen_once_an_epoch(count: int, batch: int) -> None:
    steps = 4 * count
    order = [draw_case(count, 0, step, sample, batch) for step in range(steps) for sample in range(batch)]
    for begin in range(0, len(order), count):
        assert sorted(order[begin : begin + count]) == list(range(count))


def test_the_order_of_cases_changes_with_epoch_seed_and_stream() -> None:
    def order(epoch: int, seed: int = 0, stream: int = 0) -> list[int]:
        return [draw_case(20, seed, epoch * 20 + place, 0, 1, stream) for place in range(20)]

    orders = [order(0), order(1), order(0, seed=1), order(0, stream=1)]
    assert len({tuple(o) for o in orders}) == 4
    assert order(0) == orders[0]


def test_the_margin_is_a_share_of_the_patch_on_both_sides_together() -> None:
    assert margin_of((40, 80, 16), 0.25) == (5, 10, 2)
    assert margin_of((40, 80, 16), 0.0) == (0, 0, 0)
