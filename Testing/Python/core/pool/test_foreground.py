"""What a user relies on: label maps are told from images, whatever they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medcontext.data.foreground import foreground_box, looks_like_labels
from medcontext.io import read_volume


def test_images_of_few_grey_levels_are_images() -> None:
    generator = np.random.default_rng(0)
    assert not looks_like_labels(generator.integers(0, 255, (1, 20, 20, 20)).astype(np.float32))
    eight_bit = np.clip(generator.normal(90, 12, (1, 20, 20, 20)), 0, 255).round().astype(np.float32)
    eight_bit[:, :, :10] = 0  # half of it is background
    assert not looks_like_labels(eight_bit)
    assert not looks_like_labels(generator.normal(0, 1, (1, 8, 8, 8)).astype(np.float32))


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_real_images_and_real_labels_are_told_apart(shared_data: Path, kind: str) -> None:
    sets = ("small_lesions_pyradiomics", "ct_lungs_lowres", "brain_tumour_brats2013")
    paths = [p for name in sets for p in sorted((shared_data / name / kind).glob("*.n*"))]
    paths += sorted((shared_data / "hippocampus" / kind).glob("*_0[0-5]*.nii.gz"))
    assert len(paths) > 10
    wrong = [path.name for path in paths if looks_like_labels(read_volume(path).array) != (kind == "labels")]
    assert wrong == []


@pytest.mark.parametrize("place", [0, 3, 12])
def test_the_box_grows_inside_the_image(place: int) -> None:
    array = np.zeros((1, 16, 16, 16), np.float32)
    array[0, place : place + 4, 4:8, 4:8] = 1
    (first, last), (begin, end), _ = foreground_box(array, 0.5, (10, 2, 2))
    assert last - first == 10
    assert 0 <= first <= place
    assert place + 4 <= last <= 16
    assert (begin, end) == (4, 8)


def test_all_is_kept_where_nothing_is_brighter_or_the_region_is_larger() -> None:
    assert foreground_box(np.ones((1, 4, 5, 6)), 0.5, (1, 1, 1)) == ((0, 4), (0, 5), (0, 6))
    array = np.zeros((1, 4, 5, 6))
    array[0, 1, 1, 1] = 1
    assert foreground_box(array, 0.5, (9, 9, 9)) == ((0, 4), (0, 5), (0, 6))
