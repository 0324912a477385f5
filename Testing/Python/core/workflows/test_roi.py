"""A region of interest covers the voxels a person means, in whatever form it is given."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medcontext.errors import InputError
from medcontext.events import Event, Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_labelmap
from medcontext.workflows.roi import box_of

GRID = Geometry.from_spacing((10, 12, 14), (3.0, 2.0, 1.0))


def a_markup(path: Path, center: list[float], size: list[float], **facts: object) -> Path:
    roi = {"type": "ROI", "center": center, "size": size, **facts}
    path.write_text(json.dumps({"markups": [roi]}), encoding="utf-8")
    return path


def test_voxels_as_in_python() -> None:
    assert box_of("2:5,0:12,3:14", GRID) == (slice(2, 5), slice(0, 12), slice(3, 14))
    assert box_of(" 2: , :4, 3:99 ", GRID) == (slice(2, 10), slice(0, 4), slice(3, 14))


def test_a_label_file_means_its_bounding_box(tmp_path: Path) -> None:
    array = np.zeros((1, *GRID.shape), np.uint8)
    array[0, 2, 3, 4] = array[0, 4, 6, 9] = 1
    write_labelmap(tmp_path / "roi.nii.gz", Volume(array, GRID))
    assert box_of(tmp_path / "roi.nii.gz", GRID) == (slice(2, 5), slice(3, 7), slice(4, 10))


def test_a_label_file_on_another_grid_means_the_same_place(tmp_path: Path) -> None:
    fine = GRID.resampled((30, 24, 14)).flipped((2,))
    array = np.zeros((1, *fine.shape), np.uint8)
    array[0, 6:15, 6:14, 14 - 10 : 14 - 4] = 1
    write_labelmap(tmp_path / "roi.nrrd", Volume(array, fine))
    assert box_of(tmp_path / "roi.nrrd", GRID) == (slice(2, 5), slice(3, 7), slice(4, 10))


def test_a_slicer_roi_in_either_coordinate_system(tmp_path: Path) -> None:
    # Voxels k 2..4, j 3..6, i 4..9, faces included: 4.5..13.5, 5..13, 3.5..9.5 mm.
    lps = a_markup(tmp_path / "lps.mrk.json", [6.5, 9.0, 9.0], [6.0, 8.0, 9.0], coordinateSystem="LPS")
    ras = a_markup(tmp_path / "ras.mrk.json", [-6.5, -9.0, 9.0], [6.0, 8.0, 9.0], coordinateSystem="RAS")
    expected = (slice(2, 5), slice(3, 7), slice(4, 10))
    assert box_of(lps, GRID) == expected
    assert box_of(ras, GRID) == expected


def test_a_turned_slicer_roi_is_covered(tmp_path: Path) -> None:
    # A quarter turn about the third axis swaps the first two sizes.
    turned = [0, -1, 0, 1, 0, 0, 0, 0, 1]
    path = a_markup(tmp_path / "roi.mrk.json", [6.5, 9.0, 9.0], [8.0, 6.0, 9.0], orientation=turned)
    assert box_of(path, GRID) == (slice(2, 5), slice(3, 7), slice(4, 10))


@pytest.mark.parametrize("roi", ["20:30,0:5,0:5", "5:5,0:5,0:5"])
def test_a_box_without_voxels_is_refused(roi: str) -> None:
    with pytest.raises(InputError, match="holds no voxel of the image"):
        box_of(roi, GRID)


def test_what_is_no_region_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.nii\.gz does not exist"):
        box_of(tmp_path / "missing.nii.gz", GRID)
    (tmp_path / "curve.mrk.json").write_text('{"markups": [{"type": "Curve"}]}', encoding="utf-8")
    with pytest.raises(InputError, match="holds no box"):
        box_of(tmp_path / "curve.mrk.json", GRID)
    write_labelmap(tmp_path / "empty.nii.gz", Volume(np.zeros((1, *GRID.shape), np.uint8), GRID))
    with pytest.raises(InputError, match="is empty"):
        box_of(tmp_path / "empty.nii.gz", GRID)
    outside = a_markup(tmp_path / "far.mrk.json", [500.0, 0.0, 0.0], [5.0, 5.0, 5.0])
    with pytest.raises(InputError, match="holds no voxel"):
        box_of(outside, GRID)


def test_a_region_that_leaves_the_image_is_warned_of() -> None:
    events: list[Event] = []
    reporter = Reporter(events.append)
    assert box_of("0:9999,0:3,0:4", GRID, reporter) == (slice(0, 10), slice(0, 3), slice(0, 4))
    (event,) = events
    assert event["event"] == "warning"
    assert "leaves the image: only the voxels 0:10,0:3,0:4" in event["message"]
    box_of("0:10,0:3,:", GRID, reporter)
    assert len(events) == 1


def test_a_region_file_that_is_missing_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nofile\.mrk\.json does not exist"):
        box_of(tmp_path / "nofile.mrk.json", GRID)
