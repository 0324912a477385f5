"""A finished case of a batch comes back as arrays on one grid, for a program that cannot read every format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext.exchange import ExchangeFolder
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_labelmap, write_volume

SHAPE = (4, 6, 8)


@pytest.fixture
def scans(tmp_path: Path) -> list[Path]:
    """Two channels of one case: one of whole numbers, one of fractions."""
    whole = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(1, *SHAPE) - 50
    paths = [tmp_path / "FLAIR.nii.gz", tmp_path / "T1c.nii.gz"]
    for path, array in zip(paths, (whole, whole + np.float32(0.25)), strict=True):
        write_volume(path, Volume(array, Geometry.from_spacing(SHAPE, (3.0, 1.0, 1.0))))
    return paths


@pytest.fixture
def labelmap(tmp_path: Path) -> Path:
    """A box of label 2."""
    array = np.zeros((1, *SHAPE), np.uint8)
    array[0, 1:3, 2:5, 4:6] = 2
    path = tmp_path / "result.nii.gz"
    write_labelmap(path, Volume(array, Geometry.from_spacing(SHAPE, (3.0, 1.0, 1.0))))
    return path


def request(folder: ExchangeFolder, paths: list[Path], labelmap: Path, **fields: Any) -> dict[str, Any]:
    """The fields of a request."""
    return {
        "case": "one",
        "paths": [str(path) for path in paths],
        "labelmap": str(labelmap),
        "output": str(folder.path),
        **fields,
    }


def test_channels_and_result_come_on_one_grid(
    worker: Any, folder: ExchangeFolder, scans: list[Path], labelmap: Path
) -> None:
    answer = worker.ask("batch_case", **request(folder, scans, labelmap))
    assert answer["event"] == "result", answer
    whole, fractions = (worker.array({**answer, "x": entry}, "x") for entry in answer["channels"])
    assert (whole.dtype, fractions.dtype) == (np.int16, np.float32)
    assert np.array_equal(whole + np.float32(0.25), fractions)
    assert whole.ravel()[:3].tolist() == [-50, -49, -48]
    found = worker.array(answer)
    assert answer["found"] == {"2": {"extent": [[1, 3], [2, 5], [4, 6]], "voxels": int((found == 2).sum())}}
    assert found[1:3, 2:5, 4:6].all()
    assert np.abs(np.linalg.det(np.array(answer["affine"])[:3, :3])) == pytest.approx(3)


def test_a_scan_that_changed_its_grid_is_refused(
    worker: Any, folder: ExchangeFolder, scans: list[Path], labelmap: Path
) -> None:
    write_volume(scans[0], Volume(np.ones((1, 5, 6, 8), np.float32), Geometry.from_spacing((5, 6, 8))))
    answer = worker.ask("batch_case", **request(folder, scans[:1], labelmap))
    assert (answer["event"], answer["kind"]) == ("error", "input")
    assert "grid" in answer["message"]


@pytest.mark.parametrize("keep", [False, True])
def test_names_of_dicom_files_are_told_only_where_identifiers_are_kept(
    worker: Any, folder: ExchangeFolder, labelmap: Path, tmp_path: Path, keep: bool
) -> None:
    place = tmp_path / "Doe_Johanna"
    place.mkdir()
    files = [place / f"DOE{number}.dcm" for number in range(2)]
    for file in files:
        file.write_bytes(b"no image")
    fields = {"series": [str(file) for file in files], "keep_identifiers": keep}
    answer = worker.ask("batch_case", **request(folder, [place], labelmap, **fields))
    assert (answer["event"], answer["kind"]) == ("error", "input")
    if not keep:
        assert "Doe" not in answer["message"]
