"""A case comes in on a rectangular grid at its true place; what is odd is told or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from medcontext import io
from medcontext.batch.case import BatchCase
from medcontext.batch.find import find_cases
from medcontext.batch.reading import read_case, upright
from medcontext.card_schema import ModelCard
from medcontext.errors import CancelledError, InputError
from medcontext.events import Event, Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.resample import resample_to_grid

Told = tuple[Reporter, list[Event]]


@pytest.fixture
def case_in(card: ModelCard, tmp_path: Path) -> Callable[..., BatchCase]:
    """``case_in(place)``: the only case there."""

    def find(place: Path) -> BatchCase:
        (case,), _ = find_cases(
            [place], card, output=tmp_path / "out", keep_identifiers=False, reporter=Reporter()
        )
        return case

    return find


@pytest.fixture(scope="module")
def a_ball() -> Volume:
    """A smooth ball, the same wherever it is sampled."""
    geometry = Geometry.from_spacing((9, 40, 44), (3.0, 1.0, 1.0))
    return _ball(geometry)


def _ball(geometry: Geometry) -> Volume:
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    distance = np.linalg.norm(geometry.index_to_lps(index) - np.array([22.0, 20.0, 12.0]), axis=-1)
    return Volume(np.rint(1000 * np.exp(-((distance / 9) ** 2)))[None].astype(np.float32), geometry)


def _warnings(events: list[Event]) -> list[str]:
    return [event["message"] for event in events if event["event"] == "warning"]


def _tilted(ball: Volume, per_mm: float) -> tuple[Volume, list[tuple[float, float, float]]]:
    """The ball as a tilted scanner sees it: each plane moved along j, and the places of the planes."""
    affine = ball.geometry.affine.copy()
    affine[1, 2] = 3 * per_mm
    sheared = _ball(Geometry(ball.shape, affine))
    places = [tuple(sheared.geometry.index_to_lps(np.array([k, 0, 0]))) for k in range(9)]
    return sheared, places  # type: ignore[return-value]


@pytest.mark.parametrize("per_mm", [0.3, -0.3, 1 / 3])
def test_a_tilted_series_comes_upright_at_its_place(
    tmp_path: Path, write_dicom: Any, case_in: Any, a_ball: Volume, told: Told, per_mm: float
) -> None:
    reporter, events = told
    sheared, places = _tilted(a_ball, per_mm)
    write_dicom(tmp_path / "scans", sheared, places)
    found = read_case(case_in(tmp_path / "scans"), reporter, odd="resample")
    axes = found.image.geometry.direction
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(found.image.spacing, a_ball.spacing)
    assert found.native is not None
    assert found.native.same_grid(sheared.geometry)
    # the grid holds all planes, and the ball lies where it is in the patient
    index = found.image.geometry.lps_to_index(sheared.geometry.corners())
    assert (index > -1e-6).all()
    assert (index < np.array(found.image.shape) - 1 + 1e-6).all()
    true = _ball(found.image.geometry)
    covered = sheared.geometry.lps_to_index(
        found.image.geometry.index_to_lps(
            np.stack(np.meshgrid(*map(np.arange, found.image.shape), indexing="ij"), axis=-1)
        )
    )
    beyond = np.maximum(-covered, covered - (np.array(sheared.shape) - 1)).max(axis=-1)  # pixels
    assert np.abs(found.image.array[0] - true.array[0])[beyond < 1e-6].max() < 12
    assert (found.image.array[0][beyond > 0.51] == sheared.array.min()).all()
    assert _warnings(events) == [
        f"The series was taken with the gantry tilted by {np.degrees(np.arctan(abs(per_mm))):.1f} degrees: "
        "its slices were resampled onto a rectangular grid."
    ]
    # results go back onto the planes
    marked = Volume((found.image.array > 500).astype(np.uint8), found.image.geometry)
    back = resample_to_grid(marked, found.native, order=0)
    wanted = sheared.array > 500
    dice = 2 * np.count_nonzero(wanted & (back.array > 0)) / (wanted.sum() + np.count_nonzero(back.array))
    assert dice > 0.95  # both ways move borders by up to half a pixel


def test_upright_copies_planes_that_moved_by_whole_pixels(a_ball: Volume) -> None:
    affine = a_ball.geometry.affine.copy()
    affine[:2, 2] = 2, -1
    sheared = Volume(a_ball.array, Geometry(a_ball.shape, affine))
    image = upright(sheared)
    assert image.shape == (9, 48, 60)
    for k in range(9):
        np.testing.assert_allclose(
            image.array[0, k, 8 - k : 48 - k, 2 * k : 44 + 2 * k], sheared.array[0, k], atol=1e-3
        )


def test_tilted_and_uneven_series_are_refused_where_asked(
    tmp_path: Path, write_dicom: Any, case_in: Any, a_ball: Volume
) -> None:
    sheared, places = _tilted(a_ball, 0.3)
    write_dicom(tmp_path / "t", sheared, places)
    heights = [0, 3, 6, 9, 14, 17, 20, 23, 26]
    write_dicom(tmp_path / "u", a_ball, [(0, 0, z) for z in heights])
    with pytest.raises(
        InputError, match=r"^The series was taken with the gantry tilted by 16\.7 degrees\. Odd"
    ):
        read_case(case_in(tmp_path / "t"), Reporter(), odd="refuse")
    with pytest.raises(InputError, match=r"^The series has slices 3\.0 to 5\.0 mm apart\. Odd"):
        read_case(case_in(tmp_path / "u"), Reporter(), odd="refuse")


def test_uneven_slices_are_evened_and_told(
    tmp_path: Path, write_dicom: Any, case_in: Any, a_ball: Volume, told: Told
) -> None:
    reporter, events = told
    planes = [0, 1, 2, 4, 5, 6, 7, 8]
    write_dicom(
        tmp_path / "scans",
        Volume(a_ball.array[:, planes], Geometry((8, 40, 44), a_ball.geometry.affine)),
        [(0, 0, 3.0 * k) for k in planes],
    )
    found = read_case(case_in(tmp_path / "scans"), reporter, odd="resample")
    assert found.image.geometry.same_grid(a_ball.geometry)
    np.testing.assert_allclose(found.image.array[0, planes], a_ball.array[0, planes], atol=1e-3)
    between = (a_ball.array[0, 2] + a_ball.array[0, 4]) / 2
    np.testing.assert_allclose(found.image.array[0, 3], between, atol=1e-2)
    assert found.native is None
    assert len(_warnings(events)) == 1
    assert "The series has slices 3.0 to 6.0 mm apart" in _warnings(events)[0]


def test_frames_of_one_file_are_put_where_they_were_taken(
    tmp_path: Path, write_frames: Any, case_in: Any, a_ball: Volume, told: Told
) -> None:
    reporter, events = told
    order = [4, 0, 8, 2, 6, 1, 3, 7, 5]
    shuffled = Volume(a_ball.array[:, order], a_ball.geometry)
    write_frames(tmp_path / "scans" / "all.dcm", shuffled, [(0, 0, 3.0 * k) for k in order])
    found = read_case(case_in(tmp_path / "scans"), reporter, odd="refuse")
    assert found.image.geometry.same_grid(a_ball.geometry)
    np.testing.assert_array_equal(found.image.array, a_ball.array)
    sheared, places = _tilted(a_ball, 0.3)
    write_frames(tmp_path / "t" / "all.dcm", sheared, places)
    found = read_case(case_in(tmp_path / "t"), reporter, odd="resample")
    assert found.native is not None
    assert found.native.same_grid(sheared.geometry)
    assert "tilted by 16.7 degrees" in _warnings(events)[0]


def test_frames_lie_where_they_were_taken_whoever_reads_them(
    tmp_path: Path, write_frames: Any, a_ball: Volume, told: Told
) -> None:
    reporter, events = told
    order = [4, 0, 8, 2, 6, 1, 3, 7, 5]
    shuffled = Volume(a_ball.array[:, order], a_ball.geometry)
    write_frames(tmp_path / "all.dcm", shuffled, [(0, 0, 3.0 * k) for k in order])
    for place in (tmp_path, tmp_path / "all.dcm"):
        found = io.read_volume(place, reporter)
        assert found.geometry.same_grid(a_ball.geometry)
        np.testing.assert_array_equal(found.array, a_ball.array)
    assert _warnings(events) == []
    sheared, places = _tilted(a_ball, 0.3)
    write_frames(tmp_path / "t" / "all.dcm", sheared, places)
    assert io.read_volume(tmp_path / "t", reporter).geometry.same_grid(sheared.geometry)
    assert "tilted by 16.7 degrees" in _warnings(events)[0]
    write_frames(
        tmp_path / "s" / "all.dcm",
        a_ball,
        [(0, 0, 3.0 * k) for k in range(9)],
        [1 + k / 10 for k in range(9)],
    )
    with pytest.raises(InputError, match="scales the grey values of each slice in its own way"):
        io.read_volume(tmp_path / "s")


def test_want_of_memory_is_not_taken_for_damage(
    tmp_path: Path, write_frames: Any, a_ball: Volume, case_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = tmp_path / "huge.mha"
    huge.write_bytes(
        b"ObjectType = Image\nNDims = 3\nDimSize = 60000 60000 60000\nElementSpacing = 1 1 1\n"
        b"ElementType = MET_SHORT\nElementDataFile = LOCAL\n" + bytes(80)
    )
    for private in ((), ("Doe",)):
        with pytest.raises(MemoryError):
            read_case(BatchCase("huge", (huge,), private=private), Reporter(), odd="resample")
    write_frames(tmp_path / "f" / "all.dcm", a_ball, [(0, 0, 3.0 * k) for k in range(9)])
    case = case_in(tmp_path / "f")

    def execute(_: sitk.ImageFileReader) -> sitk.Image:
        raise RuntimeError("Failed to allocate memory for image.")

    monkeypatch.setattr(sitk.ImageFileReader, "Execute", execute)
    with pytest.raises(MemoryError):
        read_case(case, Reporter(), odd="resample")


def test_frames_that_are_no_volume_are_refused(
    tmp_path: Path, write_frames: Any, case_in: Any, a_ball: Volume
) -> None:
    twice = [(0, 0, 3.0 * (k % 5)) for k in range(9)]
    write_frames(tmp_path / "t" / "all.dcm", a_ball, twice)
    with pytest.raises(InputError, match="several images at the same place"):
        read_case(case_in(tmp_path / "t"), Reporter(), odd="resample")
    places = [(0, 0, 3.0 * k) for k in range(9)]
    write_frames(tmp_path / "s" / "all.dcm", a_ball, places, slopes=[1 + k / 10 for k in range(9)])
    with pytest.raises(InputError, match="scales the grey values of each slice in its own way"):
        read_case(case_in(tmp_path / "s"), Reporter(), odd="resample")


def test_files_that_went_away_are_told(
    tmp_path: Path, write_dicom: Any, case_in: Any, a_scan: Volume
) -> None:
    written = write_dicom(tmp_path / "scans", a_scan)
    case = case_in(tmp_path / "scans")
    written[3].unlink()
    with pytest.raises(InputError, match="1 of the 7 files of the series are missing or damaged"):
        read_case(case, Reporter(), odd="resample")


def test_reading_can_be_stopped(tmp_path: Path, write_dicom: Any, case_in: Any, a_scan: Volume) -> None:
    write_dicom(tmp_path / "scans", a_scan)
    case = case_in(tmp_path / "scans")
    with pytest.raises(CancelledError):
        read_case(case, Reporter(cancelled=lambda: True), odd="resample")


def test_events_of_a_case_carry_its_name(
    tmp_path: Path, write_dicom: Any, case_in: Any, a_ball: Volume, told: Told
) -> None:
    reporter, events = told
    sheared, places = _tilted(a_ball, 0.3)
    write_dicom(tmp_path / "scans", sheared, places)
    reporter.case = "case 7"
    read_case(case_in(tmp_path / "scans"), reporter, odd="resample")
    assert {event["case"] for event in events} == {"case 7"}


def test_a_real_tilted_and_uneven_head(shared_data: Path, case_in: Any, told: Told) -> None:
    reporter, events = told
    case = case_in(shared_data / "dicom_oddities" / "ct_head_ge_gantry_tilt")
    found = read_case(case, reporter, odd="resample")
    axes = found.image.geometry.direction
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-6)
    assert found.native is not None
    again = resample_to_grid(found.image, found.native, order=1)
    assert again.shape[1:] == (512, 512)
    assert len(_warnings(events)) == 2
    with pytest.raises(InputError, match=r"tilted by 18\.5 degrees"):
        read_case(case, Reporter(), odd="refuse")
