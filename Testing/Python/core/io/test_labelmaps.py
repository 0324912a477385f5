"""Labelmaps hold whole numbers on their image's grid, or are refused with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medcontext import io
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume

GRID = Geometry.from_spacing((4, 5, 6), (2, 1, 1))


def written(path: Path, array: np.ndarray, geometry: Geometry = GRID) -> Path:
    io.write_volume(path, Volume(np.broadcast_to(array, (1, *geometry.shape)), geometry))
    return path


def test_whole_numbers_stored_as_float_are_labels(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 256, GRID.shape)
    path = written(tmp_path / "a.nii.gz", (labels * 0.99999997).astype(np.float32))
    read = io.read_labelmap(path)
    assert read.array.dtype == np.uint8
    np.testing.assert_array_equal(read.array[0], labels)


@pytest.mark.parametrize(
    ("value", "said"),
    [(300, "from 300 to 300"), (-1, "from -1 to -1"), (0.37, "fractions such as 0.37"), (np.nan, "nan")],
)
def test_other_values_are_refused(tmp_path: Path, value: float, said: str) -> None:
    path = written(tmp_path / "a.nii.gz", np.float32(value))
    with pytest.raises(InputError, match=said) as caught:
        io.read_labelmap(path)
    assert str(path) in caught.value.message


def test_another_grid_is_refused_with_both_grids(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii.gz", np.uint8(1))
    other = Geometry.from_spacing((4, 5, 7), (2, 1, 1))
    with pytest.raises(InputError) as caught:
        io.read_labelmap(path, other)
    assert "6 x 5 x 4 voxels of 1 x 1 x 2 mm" in caught.value.message
    assert "7 x 5 x 4 voxels" in caught.value.message


def test_the_same_grid_but_for_rounding_is_accepted_and_made_exact(tmp_path: Path) -> None:
    moved = GRID.affine.copy()
    moved[:3, 3] += 0.02
    path = written(tmp_path / "a.nii.gz", np.uint8(1), Geometry(GRID.shape, moved))
    np.testing.assert_array_equal(io.read_labelmap(path, GRID).geometry.affine, GRID.affine)
    moved[:3, 3] += 0.2
    path = written(tmp_path / "b.nii.gz", np.uint8(1), Geometry(GRID.shape, moved))
    with pytest.raises(InputError):
        io.read_labelmap(path, GRID)


def test_several_channels_are_refused(tmp_path: Path) -> None:
    io.write_volume(tmp_path / "a.nii.gz", Volume(np.zeros((2, *GRID.shape), np.uint8), GRID))
    with pytest.raises(InputError, match="2 channels"):
        io.read_labelmap(tmp_path / "a.nii.gz")


def test_only_labels_are_written_as_labelmap(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one channel of whole numbers"):
        io.write_labelmap(tmp_path / "a.nii.gz", Volume(np.zeros((1, *GRID.shape), np.float32), GRID))
    with pytest.raises(InputError, match=r"0\.\.255"):
        io.write_labelmap(tmp_path / "a.nii.gz", Volume(np.full((1, *GRID.shape), 256), GRID))
    assert list(tmp_path.iterdir()) == []


def test_channels_on_other_grids_come_to_the_first(tmp_path: Path) -> None:
    messages: list[str] = []
    reporter = Reporter(lambda event: messages.append(event["message"]))
    finer = GRID.resampled((8, 10, 12))
    paths = [
        written(tmp_path / "flair.nii.gz", np.float32(1)),
        written(tmp_path / "t1.nii.gz", np.float32(2), finer),
        written(tmp_path / "t2.nii.gz", np.float32(3)),
    ]
    image = io.read_image(paths, reporter)
    assert image.geometry.same_grid(GRID)
    np.testing.assert_allclose(image.array.mean((1, 2, 3)), [1, 2, 3], rtol=1e-6)
    assert len(messages) == 1
    assert "t1.nii.gz was resampled to the grid of" in messages[0]


def test_channels_of_a_real_case(shared_data: Path) -> None:
    folder = shared_data / "brain_tumour_brats2013"
    paths = [folder / f"images/pat0006_1_{name}.nii.gz" for name in ("flair", "t1c")]
    image = io.read_image(paths)
    assert image.array.shape == (2, 155, 240, 240)
    labels = io.read_labelmap(folder / "labels/pat0006_1.nii.gz", image.geometry)
    assert set(np.unique(labels.array)) == {0, 1, 2, 3, 4}
