"""Memory: stated before anything is read, and kept to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medcontext import io
from medcontext.batch.case import BatchCase
from medcontext.batch.memory import STAGES, MemoryGate, MemoryPlan, case_bytes, check_room, plan_memory
from medcontext.card_schema import ModelCard
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume


@pytest.fixture
def a_case(tmp_path: Path) -> Callable[..., BatchCase]:
    """``a_case(shape, spacing=...)``: a NIfTI image of zeros, which takes little room on the disk."""

    def make(shape: tuple[int, int, int], spacing: tuple[float, float, float] = (1, 1, 1)) -> BatchCase:
        path = tmp_path / f"{'x'.join(map(str, shape))}.nii.gz"
        io.write_volume(path, Volume(np.zeros((1, *shape), np.int16), Geometry.from_spacing(shape, spacing)))
        return BatchCase(path.name, (path,))

    return make


def test_a_case_is_judged_by_its_header_and_by_the_models_grid(
    a_case: Callable[..., BatchCase], card: ModelCard
) -> None:
    small, large = a_case((20, 30, 40)), a_case((40, 60, 80))
    voxels = 40 * 60 * 80
    assert case_bytes(large, card) > 7 * case_bytes(small, card)
    assert 8 * voxels < case_bytes(large, card) < 100 * voxels
    # The same voxels, each eight times as large: on the grid of the model there are eight times as many.
    assert case_bytes(a_case((41, 60, 80), (2, 2, 2)), card) > 2 * case_bytes(large, card)


def test_slices_of_a_dicom_series_are_counted(
    tmp_path: Path, write_dicom: Callable[..., list[Path]], a_scan: Volume, card: ModelCard
) -> None:
    files = tuple(write_dicom(tmp_path / "series", a_scan))
    series = BatchCase("series", (tmp_path / "series",), series=files)
    path = tmp_path / "same.nii.gz"
    io.write_volume(path, a_scan)
    whole = case_bytes(BatchCase("same", (path,)), card)
    assert case_bytes(series, card) == pytest.approx(whole, rel=0.2)


def test_a_file_that_is_no_image_is_judged_by_its_size(tmp_path: Path, card: ModelCard) -> None:
    path = tmp_path / "broken.nii.gz"
    path.write_bytes(bytes(1000))
    assert case_bytes(BatchCase("broken", (path,)), card) == 8000
    assert case_bytes(BatchCase("gone", (tmp_path / "gone.nii.gz",)), card) == 0


def test_a_file_that_cannot_be_looked_at_is_no_reason_to_end_a_run(tmp_path: Path, card: ModelCard) -> None:
    for name in ("x" * 300 + ".nii.gz", "a\0b.nii.gz", "x" * 300 + ".mhd"):
        assert case_bytes(BatchCase("long", (tmp_path / name,)), card) == 0
    endless = tmp_path / "endless.mha"
    endless.write_bytes(
        b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementSpacing = 1e300 1e300 1e300\n"
        b"ElementType = MET_UCHAR\nElementDataFile = LOCAL\n" + bytes(8)
    )
    assert case_bytes(BatchCase("endless", (endless,)), card) >= 0


def test_the_plan_says_how_many_cases_and_how_much(a_case: Callable[..., BatchCase], card: ModelCard) -> None:
    case = a_case((40, 60, 80))
    size = case_bytes(case, card)
    assert plan_memory([case], card, 100 * size).at_once == STAGES
    assert plan_memory([case], card, 5 * size) == MemoryPlan(3 * size, size, 3)
    assert plan_memory([case], card, size).at_once == 1
    asked = plan_memory([case], card, 100 * size, limit_gb=2.5)
    assert asked.budget == 2_500_000_000
    assert "together at most 2.5 GB" in asked.sentence
    assert "up to 1 case at once" in MemoryPlan(1, 1, 1).sentence


def test_one_case_beyond_the_plan_does_not_slow_down_the_others(
    a_case: Callable[..., BatchCase], card: ModelCard
) -> None:
    small, large = a_case((20, 30, 40)), a_case((80, 90, 100))
    size = case_bytes(small, card)
    assert plan_memory([small, large], card, 10 * size) == MemoryPlan(6 * size, size, STAGES)
    assert plan_memory([large], card, 10 * size).at_once == 1


def test_a_case_larger_than_the_computer_is_refused_before_it_is_read(
    a_case: Callable[..., BatchCase], tmp_path: Path
) -> None:
    check_room(a_case((20, 30, 40)))
    check_room(BatchCase("gone", (tmp_path / "gone.nii.gz",)))
    claims = tmp_path / "claims.mha"
    claims.write_bytes(
        b"ObjectType = Image\nNDims = 3\nDimSize = 99999 99999 99999\nElementType = MET_SHORT\n"
        b"ElementDataFile = LOCAL\n"
    )
    with pytest.raises(InputError, match="at least 6 PB of memory"):
        check_room(BatchCase("claims", (claims,)))


def test_cases_enter_as_long_as_they_fit() -> None:
    gate = MemoryGate(MemoryPlan(budget=100, case=50, at_once=3))
    never = iter([False, True] * 10)
    assert gate.enter(50, lambda: True)
    assert gate.enter(40, lambda: True)
    assert not gate.enter(20, lambda: next(never))
    gate.leave(40)
    assert gate.enter(20, lambda: True)
    assert gate.enter(20, lambda: True)
    assert not gate.enter(0, lambda: next(never))


def test_a_case_that_never_fits_enters_alone() -> None:
    gate = MemoryGate(MemoryPlan(budget=100, case=50, at_once=3))
    assert gate.enter(60, lambda: True)
    entered = threading.Event()

    def enter() -> None:
        if gate.enter(500, lambda: False):
            entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    assert not entered.is_set()
    gate.leave(60)
    assert entered.wait(30)
    thread.join()
    assert not gate.enter(1, lambda: True)
