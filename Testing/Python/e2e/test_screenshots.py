"""The whole way in a process of its own: panel, click, worker, bundled model, segments, views, pictures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.missing import missing_for_gui

MISSING = missing_for_gui()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

SCRIPT = Path(__file__).resolve().parents[2] / "Harness" / "screenshots.py"
ANTERIOR, POSTERIOR = (230, 159, 0), (86, 180, 233)
PICTURES = (
    "panel_segment.png",
    "panel_segment_dark.png",
    "panel_review.png",
    "panel_learn.png",
    "add_case.png",
    "panel_explore.png",
    "panel_batch.png",
    "panel_review_queue.png",
    "views.png",
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The pictures of the documentation, made anew, each ``(height, width, 3)``."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    command = [sys.executable, str(SCRIPT), "--output", str(folder), "--minutes", "0"]
    environment = {**os.environ, "HOME": str(folder)}
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert finished.returncode == 0, finished.stderr[-2000:]
    return {path.name: np.asarray(Image.open(path).convert("RGB")) for path in folder.glob("*.png")}


def pixels(picture: np.ndarray, color: tuple[int, int, int], tolerance: int = 40) -> int:
    return int((np.abs(picture.astype(int) - color).max(axis=2) < tolerance).sum())


def test_all_pictures_are_made(pictures: dict[str, np.ndarray]) -> None:
    assert set(pictures) >= set(PICTURES)


def test_the_views_show_both_structures_over_the_scan_and_as_surfaces(
    pictures: dict[str, np.ndarray],
) -> None:
    slices, surfaces = pictures["views.png"][:, :1200], pictures["views.png"][:, 1200:]
    # Segments in the slices are blended with the grey scan: orange and blue stand out from grey.
    red, _green, blue = (slices[..., channel].astype(int) for channel in range(3))
    assert ((red - blue) > 60).sum() > 1000
    assert ((blue - red) > 60).sum() > 1000
    assert (np.ptp(slices, axis=2) < 6).sum() > 100_000
    assert pixels(surfaces, ANTERIOR) > 500
    assert pixels(surfaces, POSTERIOR) > 500


def test_the_panel_names_what_will_be_found_and_fits_400_pixels(pictures: dict[str, np.ndarray]) -> None:
    panel = pictures["panel_segment.png"]
    assert panel.shape[1] == 400
    assert pixels(panel, ANTERIOR, 10) > 50
    assert pixels(panel, POSTERIOR, 10) > 50


def test_a_dark_palette_makes_the_panel_dark(pictures: dict[str, np.ndarray]) -> None:
    assert np.median(pictures["panel_segment.png"]) > 180
    assert np.median(pictures["panel_segment_dark.png"]) < 80
