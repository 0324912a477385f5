"""Surfaces enclose what the labels hold, lie where it lies in the patient, and say in which coordinates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medcontext.batch import surfaces
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.labels import LabelSet

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("skimage")

LABELS = LabelSet.from_names({1: "ball", 2: "slab", 3: "never there"})
TURN = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
GRIDS = {
    "as LPS": np.diag([1.0, 1.0, 1.0]),
    "mirrored": np.diag([-1.0, 1.0, 1.0]),
    "turned, backwards, thick slices": TURN @ np.diag([0.7, 0.7, -2.0]),
    "sheared": np.array([[1.0, 0, 0], [0, 1.0, 0.4], [0, 0, 1.0]]),
}
CENTRE = np.array([12.0, -30.0, 45.0])
RADIUS = 12.0


def ball(axes: np.ndarray, radius: float = RADIUS) -> Volume:
    """A ball of label 1 around ``CENTRE`` in LPS millimetres."""
    size = 2 * (radius + 6)
    shape = tuple(int(np.ceil(size / np.linalg.norm(axes[:, c])) * 1.3) for c in (2, 1, 0))
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = CENTRE - axes @ ((np.array(shape[::-1]) - 1) / 2)
    geometry = Geometry((shape[0], shape[1], shape[2]), affine)
    places = geometry.index_to_lps(np.stack(np.indices(shape), -1))
    inside = np.linalg.norm(places - CENTRE, axis=-1) <= radius
    return Volume(inside[None].astype(np.uint8), geometry)


@pytest.mark.parametrize("axes", GRIDS.values(), ids=GRIDS)
def test_a_ball_keeps_volume_place_and_outside(axes: np.ndarray) -> None:
    ((label, surface),) = surfaces.label_surfaces(ball(axes), LABELS)
    assert label.name == "ball"
    assert surface.is_watertight
    assert surface.volume == pytest.approx(
        4 / 3 * np.pi * RADIUS**3, rel=0.02
    )  # positive: outside is outside
    np.testing.assert_allclose(surface.centroid, CENTRE, atol=0.2)


def test_smoothing_takes_the_steps_of_voxels_away() -> None:
    labelmap = ball(np.eye(3))
    ((_, surface),) = surfaces.label_surfaces(labelmap, LABELS)
    from skimage.measure import marching_cubes

    raw, _, _, _ = marching_cubes(labelmap.array[0].astype(np.float32), 0.5)
    middle = (np.array(labelmap.shape) - 1) / 2
    smooth = np.linalg.norm(surface.vertices - CENTRE, axis=1).std()
    assert smooth < 0.7 * np.linalg.norm(raw - middle, axis=1).std()


def test_labels_are_closed_at_the_border_and_touching_ones_do_not_mix() -> None:
    array = np.zeros((1, 10, 12, 14), np.uint8)
    array[0, :5], array[0, 5:] = 1, 2
    found = list(surfaces.label_surfaces(Volume(array, Geometry.from_spacing((10, 12, 14))), LABELS))
    assert [label.name for label, _ in found] == ["ball", "slab"]
    for _, surface in found:
        assert surface.is_watertight
        assert surface.volume == pytest.approx(5 * 12 * 14, rel=0.05)
    assert found[0][1].bounds[1][2] == pytest.approx(4.5, abs=0.2)
    assert found[1][1].bounds[0][2] == pytest.approx(4.5, abs=0.2)


def test_a_single_voxel_has_a_surface_and_nothing_has_none() -> None:
    array = np.zeros((1, 3, 3, 3), np.uint8)
    geometry = Geometry.from_spacing((3, 3, 3))
    assert list(surfaces.label_surfaces(Volume(array, geometry), LABELS)) == []
    array[0, 2, 2, 2] = 3
    ((_, surface),) = surfaces.label_surfaces(Volume(array, geometry), LABELS)
    assert surface.is_watertight
    assert surface.volume > 0
    np.testing.assert_allclose(surface.centroid, [2, 2, 2], atol=0.01)


@pytest.mark.parametrize("ending", ["stl", "obj"])
def test_files_say_lps_and_hold_the_surface(ending: str, tmp_path: Path) -> None:
    ((_, surface),) = surfaces.label_surfaces(ball(GRIDS["mirrored"]), LABELS)
    path = tmp_path / "new folder" / f"ball.{ending}"
    surfaces.write_surface(path, surface)
    start = path.read_bytes()[:80]
    assert b"SPACE=LPS" in start
    assert not start.startswith(b"solid")  # which readers take for the text form of STL
    again = trimesh.load(path)
    assert again.is_watertight
    assert again.volume == pytest.approx(surface.volume, rel=1e-4)
    np.testing.assert_allclose(again.bounds, surface.bounds, atol=1e-3)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_names_of_labels_become_names_of_files_on_every_system() -> None:
    names = {
        1: "Left kidney",
        2: "left/kidney",
        3: "left\\kidney",
        4: "con",
        5: "Läsion 病変",
        6: "../../etc/passwd",
        7: "***",
        8: "影" * 300,
        9: "COM1.a",
    }
    files = surfaces.file_names(LabelSet.from_names(names))
    assert files[1] == "Left_kidney"
    assert files[2] == "left_kidney_2"
    assert files[5] == "Läsion_病変"
    assert files[6] == "etc_passwd"
    assert files[7] == "label_7"
    assert len({name.casefold() for name in files.values()}) == len(names)
    assert not {name.partition(".")[0].casefold() for name in files.values()} & {"con", "com1"}
    assert all(len(name.encode()) < 200 and not set(name) & set('/\\:*?"<>|') for name in files.values())


def test_a_missing_package_is_one_sentence_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surfaces, "find_spec", lambda name: None if name == "skimage" else object())
    with pytest.raises(InputError, match="need scikit-image, which") as caught:
        surfaces.require_surfaces()
    assert "pip install 'medcontext[surfaces]'" in caught.value.hint
