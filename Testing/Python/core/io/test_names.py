"""Which images a folder holds, and what each is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medcontext import io
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.io.names import sources_of


def image(path: Path) -> None:
    io.write_volume(path, Volume(np.zeros((1, 2, 2, 2), np.uint8), Geometry.from_spacing((2, 2, 2))))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b.nii.gz", "b"),
        ("case 1.NII", "case_1"),
        ("x.y.seg.nrrd", "x.y"),
        ("folder", "folder"),
        ("s.dcm", "s"),
    ],
)
def test_case_ids_are_fit_for_file_names(name: str, expected: str) -> None:
    assert io.case_id(Path(name)) == expected


def test_files_and_series_are_found(tmp_path: Path, write_series: Callable[..., None]) -> None:
    for name in ("b.nii.gz", "a.nrrd", "a.mha", ".hidden.nii.gz"):
        image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "a.seg.nrrd").write_text("a segmentation of a")
    write_series(tmp_path / "p 1" / "CT", [0, 2, 4])
    found = io.find_images(tmp_path)
    assert [source.id for source in found] == ["a", "a_2", "b", "p_1_CT"]
    assert found[-1].paths == (tmp_path / "p 1" / "CT",)
    for source in found:
        assert io.read_image(source.paths).channels == 1


def test_each_series_of_one_folder_is_an_image(tmp_path: Path, write_series: Callable[..., None]) -> None:
    write_series(
        tmp_path / "p", [0, 2, 4], SeriesInstanceUID="1", SeriesNumber=3, SeriesDescription="Art/erial"
    )
    write_series(tmp_path / "q", [0, 2], SeriesInstanceUID="2", SeriesNumber=4, SeriesDescription="")
    for path in (tmp_path / "q").iterdir():
        path.rename(tmp_path / "p" / f"q{path.name}")
    found = io.find_images(tmp_path)
    assert [source.id for source in found] == ["p_3_Art_erial", "p_4"]
    assert [io.read_image(source.paths).shape[0] for source in found] == [3, 2]


def test_channel_files_are_one_image_where_several_channels_are_needed(tmp_path: Path) -> None:
    for name in ("x_0000", "x_0001", "y_0000", "y_0001"):
        image(tmp_path / f"{name}.nii.gz")
    assert [(s.id, len(s.paths)) for s in io.find_images(tmp_path, channels=2)] == [("x", 2), ("y", 2)]
    assert len(io.find_images(tmp_path)) == 4


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no image"):
        io.find_images(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        io.find_images(tmp_path / "none")


def test_folders_of_labels_beside_the_images_are_passed_over(tmp_path: Path) -> None:
    for place in ("imagesTr", "labelsTr", "Masks"):
        (tmp_path / place).mkdir()
        image(tmp_path / place / "a.nii.gz")
    found, left_out = sources_of([tmp_path])
    assert [source.paths for source in found] == [(tmp_path / "imagesTr" / "a.nii.gz",)]
    assert left_out == []
