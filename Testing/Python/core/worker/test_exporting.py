"""The worker writes a DICOM SEG of a labelmap that came through a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext import io
from medcontext.exchange import ExchangeFolder

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

LABELS = [
    {"value": 1, "name": "one", "color": [200, 0, 0], "terminology": None, "voxels": 5, "extent": None},
    {"value": 4, "name": "four", "color": [0, 200, 0]},
    {"value": 5, "name": "empty", "color": [0, 0, 200]},
]


@pytest.fixture
def request_fields(shared_data: Path, tmp_path: Path) -> Any:
    """The fields of a request about a real MR, and what is marked."""
    files = sorted((shared_data / "dicom_oddities/mr_hippocrop_study1").glob("*.dcm"))
    geometry = io.read_volume(files[0].parent).geometry
    array = np.zeros(geometry.shape, np.uint8)
    array[4:9, 10:20, 5:9] = 1
    array[12:14, 30:33, 20:29] = 4
    with ExchangeFolder(tmp_path) as exchange:
        fields = {
            "labelmap": exchange.write("labelmap", array).to_json(),
            "affine": geometry.affine.tolist(),
            "labels": LABELS,
            "sources": [str(path) for path in files],
            "output": str(tmp_path / "out.dcm"),
            "model": "Test model",
            "version": "3",
            "facts": {"sha256": "abc"},
            "by_hand": [4],
        }
        yield fields, array


def test_labelmap_becomes_a_dicom_file(worker: Any, request_fields: Any) -> None:
    fields, array = request_fields
    answer = worker.ask("dicom_seg", **fields)
    assert answer["event"] == "result", answer
    assert (answer["written"], answer["empty"]) == (["one", "four"], ["empty"])
    data = pydicom.dcmread(answer["file"])
    assert int(data.pixel_array.sum()) == np.count_nonzero(array)
    assert [segment.SegmentAlgorithmType for segment in data.SegmentSequence] == ["AUTOMATIC", "MANUAL"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [{"name": "no value"}]}, "labels of the request are malformed"),
        ({"sources": ["nowhere.dcm"]}, "cannot be read as DICOM"),
        ({"labels": LABELS[:1]}, "values without a label"),
        ({"affine": np.diag([2.0, 1, 1, 1]).tolist()}, "other voxels than the segmentation"),
        ({"unheard": 1}, "unheard"),
    ],
)
def test_requests_that_do_not_fit_end_in_one_sentence(
    worker: Any, request_fields: Any, change: dict[str, Any], message: str
) -> None:
    fields, _ = request_fields
    answer = worker.ask("dicom_seg", **{**fields, **change})
    assert (answer["event"], answer["kind"]) == ("error", "input")
    assert message in answer["message"]
    assert not Path(fields["output"]).exists()
