"""``medcontext propose`` from files to files, and what a person reads when something is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from medcontext.cli.app import app
from medcontext.geometry import Geometry, Volume
from medcontext.io import read_labelmap, write_volume
from medcontext.io.pictures import read_mask
from medcontext.regions.choosing import filled
from medcontext.workflows.proposal import ProposalOptions
from medcontext.workflows.propose import ProposeRequest
from medcontext.workflows.propose import propose as run
from medcontext.workflows.propose_files import number_of

QUICK = [f"--set={text}" for text in ("size=32", "channels=6", "clusters=6", "blocks=0")]
QUICK += ["--set=most_iterations=2", "--set=least_iterations=1", "--device=cpu"]


def propose(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["propose", *(str(argument) for argument in arguments)])


def disc(height: int = 40, width: int = 48) -> np.ndarray:
    """``(J, I, 3)``: a red disc on skin."""
    rows, columns = np.mgrid[:height, :width]
    inside = (rows - height // 2) ** 2 + (columns - width // 2) ** 2 < (height // 4) ** 2
    noise = np.random.default_rng(0).integers(0, 8, (height, width, 1))
    return (np.where(inside[..., None], (150, 40, 40), (220, 180, 170)) + noise).astype(np.uint8)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.fromarray(disc()).save(tmp_path / "bild ä.png")
    return tmp_path / "bild ä.png"


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A volume 100 x 20 x 24 with a bright bar along k, turned and in steps of 2 mm."""
    grey = np.random.default_rng(0).normal(0, 5, (1, 100, 20, 24))
    grey[:, :, 6:14, 8:16] += 100
    affine = np.array([[0, -1.0, 0, 5], [1.0, 0, 0, -3], [0, 0, 2.0, 40], [0, 0, 0, 1]])
    write_volume(tmp_path / "scan.nii.gz", Volume(grey.astype(np.float32), Geometry((100, 20, 24), affine)))
    return tmp_path / "scan.nii.gz"


def test_a_picture_gives_regions_facts_foreground_and_a_picture(picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = propose(picture, "-o", out, *QUICK)
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in out.iterdir()) == [
        "foreground.png", "picture.png", "regions.json", "regions.png",
    ]  # fmt: skip
    regions = np.asarray(Image.open(out / "regions.png"))
    facts = json.loads((out / "regions.json").read_text(encoding="utf-8"))
    assert regions.shape == (40, 48)
    assert [entry["voxels"] for entry in facts["regions"]] == np.bincount(regions.ravel())[1:].tolist()
    mask = read_mask(out / "foreground.png").array
    assert facts["foreground"]["voxels"] == np.count_nonzero(mask)
    assert facts["foreground"]["rule"] == "largest"
    assert (facts["schema_version"], facts["method"], facts["preset"], facts["seed"]) == (
        1, "s3net", "default", 0,
    )  # fmt: skip
    assert facts["config"]["channels"] == 6
    assert len(facts["source"]["sha256"]) == 64
    assert facts["software"]["torch"]
    assert np.asarray(Image.open(out / "picture.png")).std() > 10
    assert "Foreground: Region" in result.stdout
    assert str(len(facts["regions"])) in result.stdout


def test_json_is_one_event_a_line_and_ends_with_the_result(picture: Path, tmp_path: Path) -> None:
    result = propose(picture, "-o", tmp_path / "out", "--json", *QUICK)
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[-1]["event"] == "result"
    assert Path(events[-1]["files"]["regions"]).is_file()
    steps = [event["step"] for event in events if event.get("stage") == "propose"]
    assert steps == sorted(steps)
    assert steps[-1] == events[-1]["iterations"]


def test_a_slice_lies_on_the_grid_of_the_whole_image(scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = propose(scan, "-o", out, "--slice", "axial:40", "--at", "10,12", *QUICK)
    assert result.exit_code == 0, result.stderr
    regions = read_labelmap(out / "regions.nii.gz").array[0]
    assert regions.shape == (100, 20, 24)
    assert (regions[40] > 0).all()
    assert not np.delete(regions, 40, 0).any()
    facts = json.loads((out / "regions.json").read_text(encoding="utf-8"))
    for entry in facts["regions"]:
        assert entry["deepest"][0] == 40
        assert regions[tuple(entry["deepest"])] == entry["value"]
    assert facts["foreground"]["rule"] == "seeds"
    assert read_labelmap(out / "foreground.nii.gz").array[0, 40, 10, 12] == 1


def test_a_region_of_interest_is_worked_on_in_three_dimensions(scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = propose(scan, "-o", out, "--roi", "10:26,2:18,4:20", "--at", "20,10,12", *QUICK)
    assert result.exit_code == 0, result.stderr
    regions = read_labelmap(out / "regions.nii.gz").array[0]
    assert (regions[10:26, 2:18, 4:20] > 0).all()
    assert np.count_nonzero(regions) == 16**3
    assert read_labelmap(out / "foreground.nii.gz").array[0, 20, 10, 12] == 1


def test_scores_beside_the_truth(picture: Path, tmp_path: Path) -> None:
    truth = np.where(disc()[..., 1] < 100, 255, 0).astype(np.uint8)
    Image.fromarray(truth).save(tmp_path / "truth.png")
    out = tmp_path / "out"
    result = propose(picture, "-o", out, "--truth", tmp_path / "truth.png", "--at", "20,24", *QUICK)
    assert result.exit_code == 0, result.stderr
    scores = json.loads((out / "regions.json").read_text(encoding="utf-8"))["scores"]
    assert {"foreground_dice", "seeded_dice", "oracle_cluster_dice", "largest_dice"} <= scores.keys()
    assert all(0 <= value <= 1 for name, value in scores.items() if name.endswith("dice"))
    mask = read_mask(out / "foreground.png").array[0, 0] > 0
    expected = 2 * (mask & (truth > 0)).sum() / (mask.sum() + (truth > 0).sum())
    assert scores["foreground_dice"] == pytest.approx(expected)
    assert "legacy_leaky" not in scores


def test_superpixels_come_through_the_same_door(picture: Path, tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    out = tmp_path / "out"
    result = propose(picture, "-o", out, "--method", "superpixels")
    assert result.exit_code == 0, result.stderr
    facts = json.loads((out / "regions.json").read_text(encoding="utf-8"))
    assert (facts["method"], facts["iterations"], facts["config"]) == ("superpixels", 0, None)
    mask = read_mask(out / "foreground.png").array[0, 0] > 0
    truth = disc()[..., 1] < 100
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.9


def _save(path: Path, array: np.ndarray) -> None:
    Image.fromarray(array).save(path)


def _with_alpha(path: Path) -> None:
    _save(path, np.dstack([disc(), np.full((40, 48), 100, np.uint8)]))


@pytest.mark.parametrize(
    ("make", "name", "sentence"),
    [
        (_with_alpha, "a.png", "has an alpha channel (transparency), which is left out."),
        (
            lambda path: _save(path, np.repeat(disc(40, 48), 60, 1)),
            "wide.png",
            "2880 x 40 pixels was reduced to 2048 x 28 pixels",
        ),
        (lambda path: _save(path, disc()[..., 0].astype(np.uint16) * 257), "wide.png", ""),
    ],
    ids=["alpha", "large", "16 bit"],
)
def test_odd_pictures_work_and_say_what_was_done(
    make: Callable[[Path], None], name: str, sentence: str, tmp_path: Path
) -> None:
    make(tmp_path / name)
    result = propose(tmp_path / name, "-o", tmp_path / "out", *QUICK)
    assert result.exit_code == 0, result.stderr
    assert sentence in " ".join(result.stderr.split())
    size = Image.open(tmp_path / name).size
    assert Image.open(tmp_path / "out" / "regions.png").size == size


def _nan(path: Path) -> None:
    values = disc()[..., 0].astype(np.float32)
    values[2, 3] = np.nan
    _save(path, values)


@pytest.mark.parametrize(
    ("make", "name", "sentence"),
    [
        (lambda path: _save(path, np.full((40, 48), 9, np.uint8)), "a.png", "one value everywhere (9)"),
        (lambda path: _save(path, disc()[:8, :8]), "a.png", "8 x 8 pixels; at least 16"),
        (_nan, "a.tif", "not finite numbers"),
        (lambda path: path.write_text("no", encoding="utf-8"), "a.png", "not a picture"),
        (lambda path: path.write_text("no", encoding="utf-8"), "a.docx", "allowed are pictures (PNG"),
        (lambda path: None, "missing.png", "does not exist"),  # noqa: ARG005
        (lambda path: None, "missing.nii.gz", "does not exist"),  # noqa: ARG005
    ],
    ids=["constant", "8 pixels", "NaN", "text", "other format", "missing", "missing volume"],
)
def test_an_image_that_cannot_be_used_is_one_sentence(
    make: Callable[[Path], None], name: str, sentence: str, tmp_path: Path
) -> None:
    make(tmp_path / name)
    refused(propose(tmp_path / name, "-o", tmp_path / "out", *QUICK), sentence)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--at", "40,3"], "The seed (0, 40, 3) lies outside"),
        (["--at", "here"], "'here' is no point"),
        (["--at", "3,3", "--region", "1"], "three ways to choose the foreground"),
        (["--at", "3,3", "--foreground", "largest"], "three ways to choose the foreground"),
        (["--region", "1", "--foreground", "none"], "three ways to choose the foreground"),
        (["--truth-label", "2"], "a label of --truth, which is not given"),
        (["--seed", "-1"], "--seed takes a whole number of at least 0, not '-1'"),
        (["--slice", "k:0"], "A picture has no slices"),
        (["--roi", "50:60,0:10"], "holds no voxel of the image"),
        (["--roi", "nowhere.nii.gz"], "nowhere.nii.gz does not exist"),
        (["--set", "colors=3"], "There is no setting 'colors'"),
        (["--set", "clusters=1"], "clusters"),
        (["--method", "superpixels", "--set", "size=64"], "belong to the method s3net"),
        (["--truth", "nowhere.png"], "nowhere.png does not exist"),
        (["--device", "gpu"], "--device takes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_cannot_be_followed_are_one_sentence(
    arguments: list[str], sentence: str, picture: Path, tmp_path: Path
) -> None:
    refused(propose(picture, "-o", tmp_path / "out", *arguments), sentence)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "A whole volume of 100 x 20 x 24 voxels"),
        (["--slice", "40"], "'40' is no slice"),
        (["--slice", "k:100"], "There is no slice k:100; the image has k:0 to k:99."),
        (["--slice", "axial:100"], "There is no slice axial:100; the image has axial:0 to axial:99."),
        (["--slice", "axial:4", "--roi", "10:30,0:20,0:24"], "lies outside of the region"),
        (["--slice", "axial:4", "--at", "5,4,4"], "lies outside of what is looked at"),
        (["--roi", "0:30,0:20,0:24", "--at", "4,4"], "it needs three: k,j,i"),
        (["--roi", "0:4,0:20,0:24"], "at least 8 a side"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_parts_that_cannot_be_looked_at_are_one_sentence(
    arguments: list[str], sentence: str, scan: Path, tmp_path: Path
) -> None:
    refused(propose(scan, "-o", tmp_path / "out", *arguments), sentence)


def test_a_result_is_not_replaced_unasked(picture: Path, tmp_path: Path) -> None:
    kept = tmp_path / "out" / "foreground.png"
    kept.parent.mkdir()
    kept.write_bytes(b"corrected by hand")
    refused(propose(picture, "-o", tmp_path / "out", *QUICK), "exists already")
    assert kept.read_bytes() == b"corrected by hand"
    assert propose(picture, "-o", tmp_path / "out", "--overwrite", *QUICK).exit_code == 0
    picture.rename(tmp_path / "out" / "picture.png")
    again = propose(tmp_path / "out" / "picture.png", "-o", tmp_path / "out", "--overwrite", *QUICK)
    refused(again, "would replace the file")


def test_regions_are_named_by_the_numbers_of_an_earlier_run(scan: Path, tmp_path: Path) -> None:
    arguments = [scan, "-o", tmp_path / "out", "--slice", "axial:40", "--overwrite", *QUICK]
    assert propose(*arguments, "--foreground", "none").exit_code == 0
    regions = read_labelmap(tmp_path / "out" / "regions.nii.gz").array[0, 40]
    last = int(regions.max())
    result = propose(*arguments, "--region", last, "--region", "1", "--region", last)
    assert result.exit_code == 0, result.stderr
    found = read_labelmap(tmp_path / "out" / "foreground.nii.gz").array[0, 40]
    np.testing.assert_array_equal(found, filled(np.isin(regions, (1, last))[None])[0])
    assert f"Foreground: Regions 1 and {last} were named." in " ".join(result.stdout.split())
    facts = json.loads((tmp_path / "out" / "regions.json").read_text(encoding="utf-8"))
    assert facts["foreground"]["rule"] == "numbers"
    beyond = propose(*arguments, "--region", last + 1)
    refused(beyond, f"There is no region {last + 1}; the regions are 1 to {last}.")


def test_a_run_without_a_foreground_removes_that_of_the_earlier_run(picture: Path, tmp_path: Path) -> None:
    arguments = [picture, "-o", tmp_path / "out", "--overwrite", *QUICK]
    old = tmp_path / "out" / "foreground.png"
    assert propose(*arguments).exit_code == 0
    assert old.is_file()
    assert propose(*arguments, "--foreground", "none").exit_code == 0
    assert json.loads((tmp_path / "out" / "regions.json").read_text())["foreground"] is None
    assert not old.exists()


def test_a_foreground_that_is_read_or_was_no_result_stays(picture: Path, tmp_path: Path) -> None:
    arguments = [picture, "-o", tmp_path / "out", "--overwrite", "--foreground", "none", *QUICK]
    kept = tmp_path / "out" / "foreground.png"
    kept.parent.mkdir()
    Image.fromarray(np.where(disc()[..., 1] < 100, 255, 0).astype(np.uint8)).save(kept)
    assert propose(*arguments).exit_code == 0  # no earlier run wrote it
    assert kept.is_file()
    assert propose(*arguments, "--truth", kept).exit_code == 0
    assert kept.is_file()


def test_several_labels_of_the_truth_are_taken_as_one_or_one_is_chosen(picture: Path, tmp_path: Path) -> None:
    inside = disc()[..., 1] < 100
    left = inside & (np.arange(48) < 24)
    Image.fromarray((inside * 3 + left * 2).astype(np.uint8)).save(tmp_path / "truth.png")
    arguments = [picture, "-o", tmp_path / "out", "--overwrite", "--truth", tmp_path / "truth.png", *QUICK]
    together = propose(*arguments)
    assert "2 labels are taken as one." in " ".join(together.stderr.split())
    chosen = propose(*arguments, "--truth-label", "5")
    assert chosen.exit_code == 0, chosen.stderr
    assert "taken as one" not in chosen.stderr
    mask = read_mask(tmp_path / "out" / "foreground.png").array[0, 0] > 0
    expected = 2 * (mask & left).sum() / (mask.sum() + left.sum())
    scores = json.loads((tmp_path / "out" / "regions.json").read_text(encoding="utf-8"))["scores"]
    assert scores["foreground_dice"] == pytest.approx(expected)
    wrong = propose(*arguments, "--truth-label", "2")
    refused(wrong, "has no label 2 in what is looked at. It has 3, 5 there.")


def test_nobody_knows_the_millimetres_of_a_picture(picture: Path, scan: Path, tmp_path: Path) -> None:
    assert propose(picture, "-o", tmp_path / "a", *QUICK).exit_code == 0
    assert propose(scan, "-o", tmp_path / "b", "--slice", "axial:40", *QUICK).exit_code == 0
    of_picture, of_slice = (
        json.loads((tmp_path / name / "regions.json").read_text(encoding="utf-8"))["regions"] for name in "ab"
    )
    for entry in of_picture:
        assert [entry[name] for name in ("area_mm2", "centroid_lps", "deepest_lps")] == [None] * 3
        assert entry["voxels"] > 0
        assert entry["deepest"][0] == 0
    assert all(entry["area_mm2"] > 0 and len(entry["deepest_lps"]) == 3 for entry in of_slice)


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"slice": "Axial:40"}, ", axial 40"),
        ({"roi": "10:26,2:18,4:20"}, ", box k 10:26, j 2:18, i 4:20"),
        ({"slice": "j:10", "roi": "10:40,2:18,4:20"}, ", j 10, box k 10:40, i 4:20"),
    ],
    ids=str,
)
def test_the_picture_is_titled_with_what_it_shows(
    part: dict[str, Any], place: str, scan: Path, tmp_path: Path
) -> None:
    options = ProposalOptions(changes=[text.removeprefix("--set=") for text in QUICK[:-1]], device="cpu")
    found = run(ProposeRequest(scan, tmp_path / "out", options=options, **part)).looked
    count = len(found.proposal.facts)
    assert found.title == f"scan.nii.gz{place}: {count} region{'s' * (count > 1)} by S3-Net"


def test_the_rest_of_a_long_table_is_counted_in_english() -> None:
    assert number_of(1, "smaller one") == "1 smaller one"
    assert number_of(2, "smaller one") == "2 smaller ones"


def refused(result: Result, sentence: str) -> None:
    """One sentence and a hint, exit code 2."""
    assert result.exit_code == 2, result.stderr
    told = " ".join(result.stderr.split())
    assert sentence in told
    assert "Traceback" not in told
    assert len(result.stderr.strip().splitlines()) <= 3
