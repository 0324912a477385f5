"""Which region is taken for the foreground without ground truth, and why."""

from __future__ import annotations

import numpy as np
import pytest

from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.regions.choosing import choose, filled, largest_piece
from medcontext.regions.extraction import regions_of
from medcontext.regions.statistics import facts_of


def looked_at(values: np.ndarray):
    """Regions of a picture whose values are its clusters, and their facts."""
    image = Volume(values[None].astype(np.float32), Geometry.from_spacing(values.shape))
    regions = regions_of(values, 0)
    return regions, facts_of(regions, image, 0 if values.shape[0] == 1 else None)


@pytest.fixture
def values() -> np.ndarray:
    """Background 0; a large faint block with a hole, a small bright one, and a stripe at the border."""
    picture = np.zeros((1, 30, 40), int)
    picture[0, 5:20, 5:20] = 2
    picture[0, 10:12, 10:12] = 0
    picture[0, 8:14, 28:34] = 20
    picture[0, :, 37:] = 30
    return picture


def test_the_largest_that_does_not_touch_the_border_without_holes(values: np.ndarray) -> None:
    mask, why = choose(*looked_at(values), "largest")
    expected = np.zeros(values.shape, bool)
    expected[0, 5:20, 5:20] = True
    assert np.array_equal(mask, expected)
    assert why == "Region 2 is the largest of those that do not touch the border."


def test_the_one_that_differs_most(values: np.ndarray) -> None:
    mask, why = choose(*looked_at(values), "contrast")
    assert np.array_equal(mask, values == 20)
    assert "differs most from what surrounds it" in why


def test_seeds_take_their_regions(values: np.ndarray) -> None:
    regions, facts = looked_at(values)
    mask, why = choose(regions, facts, "seeds", [(0, 9, 30)])
    assert np.array_equal(mask, values == 20)
    assert why == f"Region {regions[0, 9, 30]} holds the seed."
    both, why = choose(regions, facts, "seeds", [(0, 9, 30), (0, 6, 6), (0, 7, 7)])
    assert both.sum() == 36 + 15 * 15
    assert why.startswith("Regions 2 and ")


def test_numbers_take_their_regions_and_drop_no_piece(values: np.ndarray) -> None:
    regions, facts = looked_at(values)
    block, bright = int(regions[0, 6, 6]), int(regions[0, 9, 30])
    mask, why = choose(regions, facts, "numbers", numbers=[bright, block, block])
    assert mask.sum() == 36 + 15 * 15  # two pieces; the hole of the block is filled
    first, second = sorted((block, bright))
    assert why == f"Regions {first} and {second} were named."
    assert choose(regions, facts, "numbers", numbers=[bright])[1] == f"Region {bright} was named."


@pytest.mark.parametrize("number", [0, -1, 99])
def test_a_number_of_no_region_is_refused_with_those_that_are(values: np.ndarray, number: int) -> None:
    regions, facts = looked_at(values)
    with pytest.raises(InputError, match=f"no region {number}; the regions are 1 to {len(facts)}"):
        choose(regions, facts, "numbers", numbers=[1, number])
    with pytest.raises(InputError, match="needs the number of a region"):
        choose(regions, facts, "numbers")


@pytest.mark.parametrize("seed", [(0, 30, 5), (0, -1, 5), (1, 5, 5), (0, 5, 40)])
def test_a_seed_outside_of_the_image_is_refused(values: np.ndarray, seed: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match=r"lies outside of the image, whose last voxel is \(29, 39\)"):
        choose(*looked_at(values), "seeds", [(0, 5, 5), seed])


def test_no_seed_and_no_such_rule_are_refused(values: np.ndarray) -> None:
    with pytest.raises(InputError, match="needs a seed"):
        choose(*looked_at(values), "seeds")
    with pytest.raises(InputError, match="no rule 'darkest'"):
        choose(*looked_at(values), "darkest")  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", ["largest", "contrast"])
def test_where_all_touch_the_border_the_rule_says_so(rule: str) -> None:
    picture = np.zeros((1, 20, 20), int)
    picture[0, 4:16, :14] = 5  # reaches the left border alone
    mask, why = choose(*looked_at(picture), rule)  # type: ignore[arg-type]
    assert np.array_equal(mask, picture == 5)
    assert "as all touch it" in why


def test_an_image_of_one_region_is_its_own_foreground() -> None:
    mask, _ = choose(*looked_at(np.zeros((1, 9, 9), int)))
    assert mask.all()


def test_a_cavity_of_a_volume_is_filled_and_a_tunnel_is_not() -> None:
    block = np.ones((7, 7, 7), bool)
    block[3, 3, 3] = False
    assert filled(block).all()
    block[:, 3, 3] = False
    assert not filled(block)[3, 3, 3]
    assert filled(block[:1, :, :]).all()  # in a plane the same is a hole


def test_the_largest_piece_is_kept() -> None:
    mask = np.zeros((1, 9, 9), bool)
    mask[0, :3, :3], mask[0, 3, 3], mask[0, 7, 7] = True, True, True
    assert largest_piece(mask).sum() == 9
    assert not largest_piece(np.zeros((1, 4, 4), bool)).any()
