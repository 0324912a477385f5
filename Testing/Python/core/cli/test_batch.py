"""The command ``batch``: what is wrong is said before anything is computed; its end says what became of all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import medcontext
from medcontext.batch import surfaces
from medcontext.cli.app import app
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_volume

CROPS = Path(medcontext.__file__).parent / "resources" / "samples" / "hippocampus" / "images"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["batch", *(str(argument) for argument in arguments)])


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder with one good scan."""
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(next(CROPS.glob("*.nii.gz")), folder / "good.nii.gz")
    return folder


def refused(result: Result, sentence: str) -> None:
    assert result.exit_code == 2, result.stderr
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def nothing_computed(output: Path) -> bool:
    return not list(output.rglob("*.nii.gz")) and not (output / "ledger.csv").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--shard", "0/4"], "'0/4' is no part of a run."),
        (["--shard", "1/2", "--cluster", "local:2"], "--shard or by --cluster"),
        (["--cluster", "moon"], "'moon' is no cluster."),
        (["--format", "nifti"], "nifti"),
        (["--odd", "maybe"], "maybe"),
        (["--limit", "0"], "limit"),
        (["--memory-limit", "0"], "memory-limit"),
        (["--certainty", "none", "--certainty-map"], "--certainty none makes no map"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_options(scans: Path, tmp_path: Path, options: list[str], sentence: str) -> None:
    refused(run(scans, "-m", "hippocampus", "-o", tmp_path / "out", *options), sentence)
    assert nothing_computed(tmp_path / "out")


def test_what_is_missing_is_named_at_once() -> None:
    refused(run(), "batch needs INPUT, -m (--model) and -o (--output).")


def test_wrong_inputs(tmp_path: Path) -> None:
    out = tmp_path / "out"
    refused(run("nowhere", "-m", "hippocampus", "-o", out), "nowhere does not exist.")
    refused(run(tmp_path / "*.mha", "-m", "hippocampus", "-o", out), "Nothing matches")
    empty = tmp_path / "empty folder"
    empty.mkdir()
    (empty / "notes.txt").write_text("no scan")
    refused(run(empty, "-m", "hippocampus", "-o", out), "empty folder")
    assert nothing_computed(out)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("id,picture\na,good.nii.gz\n", "there is no column 'picture'"),
        ("id,text\na,b\n", "no column 'image'"),
        ("id,image\na,good.nii.gz\nA,good.nii.gz\n", "row"),
        ("id,image\n", "names no case"),
        ("id,image\na,\n", "names no image"),
    ],
    ids=["unknown column", "missing column", "an id twice", "no row", "no image"],
)
def test_wrong_manifests(scans: Path, tmp_path: Path, table: str, sentence: str) -> None:
    manifest = scans / "cases.csv"
    manifest.write_text(table, encoding="utf-8")
    refused(run(manifest, "-m", "hippocampus", "-o", tmp_path / "out"), sentence)
    assert nothing_computed(tmp_path / "out")


def test_an_output_that_is_a_file(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("something else")
    refused(run(scans, "-m", "hippocampus", "-o", tmp_path / "out"), "is a file, not a folder")


def test_an_output_that_is_the_input(scans: Path) -> None:
    refused(run(scans, "-m", "hippocampus", "-o", scans), "cannot be the input")
    assert [path.name for path in scans.glob("*.nii.gz")] == ["good.nii.gz"]


def test_a_model_that_does_not_fit_the_channels(tmp_path: Path) -> None:
    two = Volume(np.zeros((2, 4, 5, 6), np.float32), Geometry.from_spacing((4, 5, 6)))
    write_volume(tmp_path / "in" / "two.nrrd", two)
    refused(run(tmp_path / "in", "-m", "hippocampus", "-o", tmp_path / "out"), "have 2 channel(s)")
    assert nothing_computed(tmp_path / "out")


def test_a_missing_package_is_said_before_anything_is_computed(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surfaces, "find_spec", lambda _: None)
    result = run(scans, "-m", "hippocampus", "-o", tmp_path / "out", "--format", "stl")
    refused(result, "pip install 'medcontext[surfaces]'")
    assert not (tmp_path / "out").exists()


def test_the_end_says_counts_what_failed_and_where_results_are(scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number in range(7):
        (scans / f"broken {number}.nii.gz").write_bytes(b"no scan")
    result = run(scans, "-m", "hippocampus", "-o", out, "--certainty", "none", "--device", "cpu")
    assert result.exit_code == 5, result.stderr
    assert "1 segmented, 7 failed" in result.stdout
    assert result.stdout.count("broken_") == 5
    assert "and 2 more: column 'error' of ledger.csv" in result.stdout
    for name in ("ledger.csv", "report.html"):
        assert str(out / name) in result.stdout.replace("\n", "")
        assert (out / name).is_file()
    assert "7 of 8 cases failed" in result.stderr

    again = run(scans, "-m", "hippocampus", "-o", out, "--certainty", "none", "--json", "--limit", 1)
    assert again.exit_code == 5
    events = [json.loads(line) for line in again.stdout.splitlines()]
    final = next(event for event in events if event["event"] == "result")
    assert {key: final[key] for key in ("done", "reused", "failed", "skipped")} == {
        "done": 0,
        "reused": 1,
        "failed": 1,
        "skipped": 0,
    }
    assert (final["ledger"], final["report"]) == (str(out / "ledger.csv"), str(out / "report.html"))
    assert ("good", "reused") in {(e.get("case"), e.get("status")) for e in events if e["event"] == "case"}

    other = run(scans, "-m", "hippocampus", "-o", out, "--format", "seg.nrrd")
    refused(other, "other options")
    assert "--overwrite" in other.stderr
