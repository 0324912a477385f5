"""A slice or region as people give it."""

from __future__ import annotations

import numpy as np
import pytest

from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.workflows.slice_choice import Plane, cut, extent, place_of, plane_of

LPS = Geometry.from_spacing((30, 20, 10), (2.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("text", "axis"),
    [("k:4", 0), ("j:4", 1), ("I:4", 2), ("axial:4", 0), ("coronal: 4", 1), (" sagittal:4 ", 2)],
)
def test_a_slice_by_axis_or_name(text: str, axis: int) -> None:
    assert plane_of(text, LPS) == Plane(axis, 4)


def test_names_follow_the_patient_not_the_file() -> None:
    sagittal_file = LPS.permuted((2, 0, 1))  # i, k, j
    assert plane_of("axial:3", sagittal_file) == Plane(1, 3)
    assert plane_of("coronal:3", sagittal_file) == Plane(2, 3)
    assert plane_of("sagittal:3", sagittal_file) == Plane(0, 3)


@pytest.mark.parametrize("text", ["4", "z:4", "axial", "axial:", "axial:-1", "axial:4.5", "axial:1,2", ""])
def test_what_is_no_slice_is_one_sentence(text: str) -> None:
    with pytest.raises(InputError, match="is no slice") as caught:
        plane_of(text, LPS)
    assert "axial:40" in caught.value.hint


def test_a_slice_of_a_region() -> None:
    box = (slice(5, 9), slice(2, 18), slice(0, 10))
    assert extent(LPS.shape, Plane(0, 8), box, "") == (slice(8, 9), slice(2, 18), slice(0, 10))
    assert extent(LPS.shape, None, box, "") == box
    assert extent(LPS.shape, None, None, "")[0] == slice(0, 30)  # small enough as a whole


def test_what_lies_outside_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"no slice k:30; the image has k:0 to k:29"):
        extent(LPS.shape, Plane(0, 30), None, "")
    with pytest.raises(InputError, match=r"no slice axial:30; the image has axial:0 to axial:29"):
        extent(LPS.shape, plane_of("axial:30", LPS), None, "")
    with pytest.raises(InputError, match="lies outside of the region"):
        extent(LPS.shape, Plane(0, 4), (slice(5, 9), slice(0, 20), slice(0, 10)), "")
    with pytest.raises(InputError, match="j from 0 to 21, the image from 0 to 20"):
        extent(LPS.shape, None, (slice(5, 9), slice(0, 21), slice(0, 10)), "")


def test_a_large_volume_needs_a_slice_or_a_region() -> None:
    with pytest.raises(InputError, match="120 x 60 x 60") as caught:
        extent((120, 60, 60), None, None, "Give a slice.")
    assert caught.value.hint == "Give a slice."
    extent((1, 5000, 5000), None, None, "")


def test_a_part_in_words() -> None:
    whole = (slice(0, 30), slice(0, 20), slice(0, 10))
    box = (slice(2, 9), slice(0, 20), slice(3, 7))
    assert place_of(whole, LPS.shape, None) == ""
    assert place_of((slice(4, 5), *whole[1:]), LPS.shape, plane_of("k:4", LPS)) == "k 4"
    assert place_of(box, LPS.shape, None) == "box k 2:9, j 0:20, i 3:7"
    part = (slice(4, 5), *box[1:])
    assert place_of(part, LPS.shape, plane_of("axial:4", LPS)) == "axial 4, box j 0:20, i 3:7"
    assert place_of((slice(0, 1), *box[1:]), (1, 20, 10), None) == "box j 0:20, i 3:7"


def test_a_cut_stays_where_it_is_in_the_patient() -> None:
    volume = Volume(np.arange(6000, dtype=np.float32).reshape(1, 30, 20, 10), LPS)
    part = cut(volume, (slice(4, 5), slice(2, 18), slice(3, 10)))
    assert part.array[0, 0, 0, 0] == volume.array[0, 4, 2, 3]
    np.testing.assert_allclose(part.geometry.origin, LPS.index_to_lps(np.array([4, 2, 3])))
