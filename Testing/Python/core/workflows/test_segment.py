"""Images in, labelmaps out: each on its own grid, one failure stops no other, nothing is overwritten."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from medcontext.cli.app import app
from medcontext.errors import CancelledError, InputError
from medcontext.events import Event, Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io import read_labelmap, read_segmentation, read_volume, write_labelmap, write_volume
from medcontext.workflows.segment import SegmentResult, segment

Ball = Callable[..., tuple[Volume, Volume]]


def run(inputs: object, model: Path, output: Path, **options: object) -> list[SegmentResult]:
    return segment(inputs, model, output, device="cpu", precision="fp32", **options)  # type: ignore[arg-type]


def dice(found: Volume, truth: Volume, value: int) -> float:
    ours, theirs = found.array == value, truth.array == value
    return 2 * float((ours & theirs).sum()) / float(ours.sum() + theirs.sum())


@pytest.fixture
def a_scan(tmp_path: Path, ball: Ball) -> Path:
    path = tmp_path / "scan 1.nii.gz"
    write_volume(path, ball(7)[0])
    return path


@pytest.fixture
def a_folder(tmp_path: Path, ball: Ball) -> Path:
    """Two good scans and a broken one between them."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for name, seed in (("a", 8), ("c", 9)):
        write_volume(folder / f"{name}.nii.gz", ball(seed)[0])
    (folder / "b.nii.gz").write_text("not an image", encoding="utf-8")
    return folder


def test_the_labelmap_lies_on_the_grid_of_an_oblique_mirrored_image(
    tmp_path: Path, ball: Ball, a_model: Path
) -> None:
    turn = np.radians(8)
    affine = np.diag([-1.0, 1.2, 2.0, 1.0])
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    affine = turned @ affine
    affine[:3, 3] = [40, -80, 11.5]
    image, truth = ball(5, Geometry((15, 19, 20), affine).permuted((1, 0, 2)))
    write_volume(tmp_path / "oblique.nrrd", image)
    (result,) = run(tmp_path / "oblique.nrrd", a_model, tmp_path / "out")
    assert result.files == {"nii.gz": tmp_path / "out" / "oblique.nii.gz"}
    found = read_labelmap(result.files["nii.gz"])
    assert found.geometry.same_grid(read_volume(tmp_path / "oblique.nrrd").geometry)
    assert dice(found, truth, 1) > 0.7
    assert dice(found, truth, 3) > 0.7
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000
    assert result.volumes_ml["Lower"] == pytest.approx((found.array == 3).sum() * voxel_ml)


def test_further_formats_certainty_and_probability(tmp_path: Path, a_scan: Path, a_model: Path) -> None:
    (result,) = run(
        a_scan, a_model, tmp_path, formats=["seg.nrrd", "mha"], certainty="entropy", probabilities=["lower"]
    )
    assert {path.name for path in result.files.values()} == {
        "scan_1.nii.gz",
        "scan_1.mha",
        "scan_1.seg.nrrd",
        "scan_1.certainty.nii.gz",
        "scan_1.probability.lower.nii.gz",
    }
    labelmap = read_labelmap(result.files["nii.gz"])
    segmentation, labels = read_segmentation(result.files["seg.nrrd"])
    assert [(label.value, label.name) for label in labels] == [(1, "Upper"), (3, "Lower")]
    assert (segmentation.array == 3).sum() == (labelmap.array == 3).sum() > 0
    probability = read_volume(result.files["probability lower"]).array
    assert probability.min() >= 0
    assert probability.max() <= 1
    # Where Lower won among three classes it is the likeliest; where it has over a half it won.
    assert probability[labelmap.array == 3].min() >= 1 / 3 - 1e-3
    assert (labelmap.array[probability > 0.51] == 3).all()
    assert not list(tmp_path.glob(".medcontext-*"))


def test_nothing_is_marked_outside_of_the_region(tmp_path: Path, a_scan: Path, a_model: Path) -> None:
    run(a_scan, a_model, tmp_path / "whole")
    run(a_scan, a_model, tmp_path / "part", roi="0:14,0:16,0:9")
    whole = read_labelmap(tmp_path / "whole" / "scan_1.nii.gz").array
    part = read_labelmap(tmp_path / "part" / "scan_1.nii.gz").array
    assert whole[..., 9:].any()
    assert part[..., :9].any()
    assert not part[..., 9:].any()


def test_one_broken_image_does_not_stop_the_others(tmp_path: Path, a_folder: Path, a_model: Path) -> None:
    events: list[Event] = []
    results = run(a_folder, a_model, tmp_path / "out", reporter=Reporter(events.append))
    assert [(result.case, result.ok) for result in results] == [("a", True), ("b", False), ("c", True)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.nii.gz", "c.nii.gz"]
    told = {event["case"]: event["status"] for event in events if event["event"] == "case"}
    assert told == {"a": "done", "b": "failed", "c": "done"}


def test_the_only_image_says_what_is_wrong_with_it(tmp_path: Path, a_folder: Path, a_model: Path) -> None:
    with pytest.raises(InputError, match=r"b\.nii\.gz is not a NIfTI file"):
        run(a_folder / "b.nii.gz", a_model, tmp_path / "out")


def test_a_result_that_is_there_is_kept_unless_asked(tmp_path: Path, a_scan: Path, a_model: Path) -> None:
    (tmp_path / "out").mkdir()
    corrected = tmp_path / "out" / "scan_1.nii.gz"
    corrected.write_bytes(b"painted by hand")
    with pytest.raises(InputError, match="exists already"):
        run(a_scan, a_model, tmp_path / "out")
    assert corrected.read_bytes() == b"painted by hand"
    run(a_scan, a_model, tmp_path / "out", overwrite=True)
    assert read_labelmap(corrected).array.any()


def test_the_image_itself_is_never_replaced(tmp_path: Path, ball: Ball, a_model: Path) -> None:
    write_volume(tmp_path / "scan.nii.gz", ball(7)[0])
    before = (tmp_path / "scan.nii.gz").read_bytes()
    with pytest.raises(InputError, match="would replace the image"):
        run(tmp_path / "scan.nii.gz", a_model, tmp_path, overwrite=True)
    assert (tmp_path / "scan.nii.gz").read_bytes() == before


def test_a_cancelled_run_keeps_what_is_finished(tmp_path: Path, a_folder: Path, a_model: Path) -> None:
    done: list[str] = []

    def sink(event: Event) -> None:
        if event["event"] == "case":
            done.append(event["case"])

    with pytest.raises(CancelledError):
        run(a_folder, a_model, tmp_path / "out", reporter=Reporter(sink, cancelled=lambda: bool(done)))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.nii.gz"]


def test_inputs_that_cannot_be_meant_get_a_sentence(tmp_path: Path, a_scan: Path, a_model: Path) -> None:
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / a_scan.name
    twin.write_bytes(a_scan.read_bytes())
    out = tmp_path / "out"
    with pytest.raises(InputError, match="would both become 'scan_1'"):
        run([a_scan, twin], a_model, out)
    with pytest.raises(InputError, match="No image was given"):
        run([], a_model, out)
    with pytest.raises(InputError, match="does not exist"):
        run(tmp_path / "missing.nii.gz", a_model, out)
    with pytest.raises(InputError, match="Channels FLAIR were given; the model needs T1"):
        run([], a_model, out, channels={"FLAIR": a_scan})
    with pytest.raises(InputError, match="cannot be mixed"):
        run([a_scan], a_model, out, channels={"T1": a_scan})
    with pytest.raises(InputError, match="no format 'jpg'"):
        run(a_scan, a_model, out, formats=["jpg"])
    with pytest.raises(InputError, match="no label 'liver'"):
        run(a_scan, a_model, out, probabilities=["liver"])
    with pytest.raises(InputError, match="no model 'nothing'"):
        run(a_scan, Path("nothing"), out)


def test_an_output_folder_that_cannot_be_made_gets_a_sentence(
    tmp_path: Path, a_scan: Path, a_model: Path
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=r"cannot be written: "):
            run(a_scan, a_model, folder)


def test_an_image_of_one_value_is_refused(tmp_path: Path, ball: Ball, a_model: Path) -> None:
    image, _ = ball(3)
    write_volume(tmp_path / "empty.nii.gz", Volume(np.zeros_like(image.array), image.geometry))
    with pytest.raises(InputError, match="All voxels of channel T1 have the same value"):
        run(tmp_path / "empty.nii.gz", a_model, tmp_path / "out")


def test_a_channel_may_be_given_by_name(tmp_path: Path, a_scan: Path, a_model: Path) -> None:
    (result,) = run([], a_model, tmp_path / "out", channels={"t1": a_scan})
    assert result.case == "scan_1"
    assert result.ok


def test_an_image_with_too_many_channels_is_refused(tmp_path: Path, ball: Ball, a_model: Path) -> None:
    image, _ = ball(3)
    both = Volume(np.concatenate([image.array, image.array]), image.geometry)
    write_volume(tmp_path / "two.nii.gz", both)
    with pytest.raises(
        InputError, match=r"has 2 channels, the model .* needs 1 channel: T1 .*Give one 3D image"
    ):
        run(tmp_path / "two.nii.gz", a_model, tmp_path / "out")


def test_the_command_tells_programs_which_cases_failed(tmp_path: Path, a_folder: Path, a_model: Path) -> None:
    arguments = ["segment", str(a_folder), "-m", str(a_model), "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*arguments, "--device", "cpu", "--json"])
    assert result.exit_code == 5
    events = [json.loads(line) for line in result.stdout.splitlines()]
    final = next(event for event in events if event["event"] == "result")
    assert {case["case"]: case["status"] for case in final["cases"]} == {
        "a": "done",
        "b": "failed",
        "c": "done",
    }
    assert Path(final["cases"][0]["files"]["nii.gz"]).is_file()
    assert events[-1]["kind"] == "some_cases_failed"


def test_the_command_shows_volumes_and_where_results_are(tmp_path: Path, a_scan: Path, a_model: Path) -> None:
    roi = tmp_path / "roi.nii.gz"
    write_labelmap(roi, Volume(np.ones((1, 14, 16, 18), np.uint8), read_volume(a_scan).geometry))
    arguments = ["segment", str(a_scan), "-m", str(a_model), "-o", str(tmp_path / "out"), "--device", "cpu"]
    result = CliRunner().invoke(app, [*arguments, "--roi", str(roi), "--format", "nrrd"])
    assert result.exit_code == 0, result.stderr
    assert "scan_1" in result.stdout
    assert "Lower" in result.stdout
    assert (tmp_path / "out" / "scan_1.nrrd").is_file()
