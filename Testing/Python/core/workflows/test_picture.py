"""Pictures show the right place, the right way round, in the labels' colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.labels import Label, LabelSet
from medcontext.workflows.picture import draw_overlay

LABELS = LabelSet((Label(1, "Front", (255, 40, 40)), Label(2, "Back", (40, 40, 255))))


def a_case() -> tuple[Volume, Volume]:
    """A scan with label 1 in front (anterior) on the patient's left and label 2 behind it on the right."""
    geometry = Geometry.from_spacing((20, 24, 16), (2.0, 1.0, 1.5))
    labels = np.zeros((1, 20, 24, 16), np.uint8)
    labels[0, 6:14, 3:11, 9:15] = 1
    labels[0, 6:14, 13:21, 1:7] = 2
    image = np.random.default_rng(0).normal(100, 20, labels.shape).astype(np.float32)
    return Volume(image, geometry), Volume(labels, geometry)


def panel_center(picture: np.ndarray, channel: int) -> np.ndarray:
    """Row and column of the middle of what is clearly of one colour in the left third: the axial slice."""
    part = picture[:, : picture.shape[1] // 3, :3]
    others = [c for c in range(3) if c != channel]
    strong = (part[..., channel] > 0.5) & (part[..., others].max(axis=-1) < 0.55 * part[..., channel])
    return np.argwhere(strong).mean(axis=0)


def test_the_axial_slice_has_the_front_up_and_the_patients_left_on_the_right(tmp_path: Path) -> None:
    image, labelmap = a_case()
    draw_overlay(tmp_path / "a.png", image, [("Expert", labelmap)], LABELS)
    picture = imread(tmp_path / "a.png")
    front, back = panel_center(picture, 0), panel_center(picture, 2)
    assert front[0] < back[0]
    assert front[1] > back[1]


def test_the_picture_does_not_depend_on_how_the_file_is_turned(tmp_path: Path) -> None:
    image, labelmap = a_case()
    draw_overlay(tmp_path / "a.png", image, [("Expert", labelmap)], LABELS)
    turned = [("Expert", labelmap.reorient("SRA"))]
    draw_overlay(tmp_path / "b.png", image.reorient("SRA"), turned, LABELS)
    np.testing.assert_array_equal(imread(tmp_path / "a.png"), imread(tmp_path / "b.png"))


def test_each_labelmap_gets_a_row(tmp_path: Path) -> None:
    image, labelmap = a_case()
    empty = Volume(np.zeros_like(labelmap.array), labelmap.geometry)
    draw_overlay(tmp_path / "1.png", image, [("Expert", labelmap)], LABELS)
    draw_overlay(tmp_path / "2.png", image, [("Expert", labelmap), ("Nothing", empty)], LABELS, title="Two")
    assert imread(tmp_path / "2.png").shape[0] > 1.5 * imread(tmp_path / "1.png").shape[0]


def test_labelmaps_of_other_grids_are_refused(tmp_path: Path) -> None:
    image, labelmap = a_case()
    with pytest.raises(InputError, match="on the grid of the image"):
        draw_overlay(tmp_path / "a.png", image, [("Cropped", labelmap.crop((0, 0, 0), (9, 9, 9)))], LABELS)
