"""Small pictures: what was found, where it is, in the right shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import medcontext
from medcontext.batch.thumbnail import TILE, write_thumbnail
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.io import read_image, read_labelmap
from medcontext.labels import Label, LabelSet

RED, GREEN = (255, 0, 0), (0, 255, 0)
LABELS = LabelSet((Label(1, "one", RED), Label(2, "two", GREEN)))
SAMPLES = Path(medcontext.__file__).parent / "resources" / "samples" / "hippocampus"


def phantom(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> tuple[Volume, Volume]:
    """A bright scan with noise and an empty labelmap, in LPS."""
    geometry = Geometry.from_spacing(shape, spacing)
    noise = np.random.default_rng(0).normal(100, 20, (1, *shape)).astype(np.float32)
    return Volume(noise, geometry), Volume(np.zeros((1, *shape), np.uint8), geometry)


def drawn(path: Path, image: Volume, labelmap: Volume) -> np.ndarray:
    write_thumbnail(path, image, labelmap, LABELS)
    with Image.open(path) as picture:
        return np.asarray(picture)


def tiles(pixels: np.ndarray) -> list[np.ndarray]:
    """The axial, coronal and sagittal plane."""
    return [pixels[:, axis * (TILE + 2) : axis * (TILE + 2) + TILE] for axis in range(3)]


def box_of(tile: np.ndarray, color: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """First and last row, first and last column of an outline."""
    rows, columns = np.nonzero((tile == color).all(axis=-1))
    assert rows.size
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


def test_a_sphere_is_round_whatever_the_voxels_are(tmp_path: Path) -> None:
    image, labelmap = phantom((20, 60, 90), (6.0, 2.0, 1.5))
    k, j, i = np.ogrid[:20, :60, :90]
    near = ((k - 10) * 6.0) ** 2 + ((j - 30) * 2.0) ** 2 + ((i - 45) * 1.5) ** 2 < 40.0**2
    labelmap.array[0][near] = 1
    pixels = drawn(tmp_path / "a.png", image, labelmap)
    assert pixels.shape == (TILE, 3 * TILE + 4, 3)
    for tile in tiles(pixels):
        top, bottom, left, right = box_of(tile, RED)
        assert bottom - top == pytest.approx(right - left, abs=8)  # a voxel is 6 mm high, 5 pixels


def test_the_head_is_up_the_right_is_left_and_the_front_is_up_or_left(tmp_path: Path) -> None:
    image, labelmap = phantom((40, 40, 40), (2.0, 2.0, 2.0))
    # Both in the planes of each other: the first lower, more to the front and to the right of the patient.
    labelmap.array[0, 5:25, 5:25, 5:25] = 1
    labelmap.array[0, 20:35, 20:35, 20:35] = 2
    axial, coronal, sagittal = tiles(drawn(tmp_path / "a.png", image, labelmap))
    for tile, front in ((axial, True), (coronal, False), (sagittal, False)):
        one, two = box_of(tile, RED), box_of(tile, GREEN)
        assert one[2] < two[2]
        assert (one[0] < two[0]) is front


def test_the_picture_does_not_depend_on_how_the_scan_is_stored(tmp_path: Path) -> None:
    image, labelmap = phantom((20, 30, 40), (3.0, 2.0, 1.0))
    labelmap.array[0, 5:12, 8:20, 10:30] = 1
    plain = drawn(tmp_path / "a.png", image, labelmap)
    for code in ("RAS", "SPL", "PIR"):
        assert np.array_equal(drawn(tmp_path / "b.png", image.reorient(code), labelmap.reorient(code)), plain)


def test_small_findings_in_a_large_scan_are_seen(tmp_path: Path) -> None:
    image, labelmap = phantom((150, 160, 170), (1.0, 1.0, 1.0))
    for place in ((3, 3, 3), (141, 151, 161)):  # between the samples of every other voxel
        labelmap.array[(0, *place)] = 1
    for tile in tiles(drawn(tmp_path / "a.png", image, labelmap)):
        box_of(tile, RED)


def test_the_planes_are_those_with_most_of_what_was_found(tmp_path: Path) -> None:
    image, labelmap = phantom((40, 40, 40), (1.0, 1.0, 1.0))
    labelmap.array[0, 5:35, 18:22, 18:22] = 1  # a rod
    labelmap.array[0, 30:33, 10:30, 10:30] = 2  # with a plate, which the middle misses
    axial = tiles(drawn(tmp_path / "a.png", image, labelmap))[0]
    box_of(axial, GREEN)


def test_without_anything_found_the_scan_is_shown(tmp_path: Path) -> None:
    image, labelmap = phantom((10, 30, 40), (3.0, 1.0, 1.0))
    for tile in tiles(drawn(tmp_path / "a.png", image, labelmap)):
        assert tile.std() > 10
    grey = tiles(drawn(tmp_path / "a.png", image, labelmap))[0][TILE // 2]
    assert (grey[:, 0] == grey[:, 2]).all()


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_scan_without_contrast_is_drawn(tmp_path: Path, value: float) -> None:
    image, labelmap = phantom((1, 30, 40), (3.0, 1.0, 1.0))
    image.array[:] = value
    labelmap.array[0, 0, 5:20, 5:20] = 1
    box_of(tiles(drawn(tmp_path / "a.png", image, labelmap))[0], RED)


def test_both_parts_of_a_real_structure_are_seen(tmp_path: Path) -> None:
    image = read_image([SAMPLES / "images" / "hippocampus_011.nii.gz"])
    labelmap = read_labelmap(SAMPLES / "labels" / "hippocampus_011.nii.gz", image.geometry)
    pixels = drawn(tmp_path / "report" / "a.png", image, labelmap)
    box_of(pixels, RED)
    box_of(pixels, GREEN)
    assert (tmp_path / "report" / "a.png").stat().st_size < 60_000
    assert [path.name for path in tmp_path.rglob("*.png")] == ["a.png"]


def test_another_grid_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    image, _ = phantom((10, 10, 10), (1.0, 1.0, 1.0))
    _, labelmap = phantom((10, 10, 10), (1.0, 1.0, 2.0))
    with pytest.raises(InputError, match="on the grid of the image"):
        write_thumbnail(tmp_path / "a.png", image, labelmap, LABELS)
    assert list(tmp_path.iterdir()) == []
