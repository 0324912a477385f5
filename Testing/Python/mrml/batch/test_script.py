"""The script says in a sentence what is wrong, ends with the right exit code, and ends Slicer too."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import slicer

from harness.runs import segmentations
from harness.scripted_batch import IMAGES, SCRIPT
from medcontext.errors import InputError
from MedContextSegmentLib.Batch.BatchScript import runScript
from MedContextSegmentLib.Batch.ScriptArguments import parseArguments


def run_inside(app: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the script as ``Slicer --python-script`` does: in the main namespace, with arguments in ``sys.argv``."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    app.exitCode = -1
    text = SCRIPT.read_text(encoding="utf-8")
    exec(compile(text, str(SCRIPT), "exec"), {"__name__": "__main__", "__file__": str(SCRIPT)})
    return int(app.exitCode)


def test_inside_slicer_a_scan_becomes_a_scene(
    app: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    scan = tmp_path / "Schädel 1.nii.gz"
    shutil.copy(IMAGES / "hippocampus_001.nii.gz", scan)
    arguments = (str(scan), "-m", "hippocampus", "-o", str(tmp_path / "out"), "--device", "cpu", "--scenes")
    assert run_inside(app, monkeypatch, *arguments) == 0, capsys.readouterr()
    (scene,) = (tmp_path / "out" / "scenes").glob("*.mrb")
    assert segmentations() == []
    slicer.util.loadScene(str(scene), {})
    (node,) = segmentations()
    assert node.GetSegmentation().GetNumberOfSegments() == 2


def test_slicer_ends_after_an_error(
    app: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_inside(app, monkeypatch) == InputError.exit_code
    said = capsys.readouterr().err
    assert "No scans were given." in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-m", "hippocampus", "-o"], "expected one argument"),
        (["SCANS", "-m", "nobody", "-o", "OUT"], "There is no model 'nobody'."),
        (["SCANS", "-m", "hippocampus", "-o", "OUT", "--colour"], "No such option: --colour"),
        (["SCANS", "-m", "hippocampus", "-o", "OUT", "--scenes", "--format=stl"], "Add --format nii.gz."),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    places = {"SCANS": str(IMAGES), "OUT": str(tmp_path / "out")}
    assert runScript([places.get(word, word) for word in arguments]) == InputError.exit_code
    said = "".join(capsys.readouterr())
    assert said.count("Error") == 1
    assert sentence in " ".join(said.split())
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_help_lists_the_options_of_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert runScript(["--help"]) == 0
    said = capsys.readouterr().out
    assert "--keep-identifiers" in said
    assert "--scenes" in said


def test_missing_packages_are_named_before_anything_begins(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])  # where Python looks for what is installed
    assert runScript(["scans", "-m", "hippocampus", "-o", str(tmp_path / "out")]) == InputError.exit_code
    said = capsys.readouterr().err
    assert "Packages that a batch needs are missing:" in said
    assert "-m pip install" in said


def test_arguments_go_to_the_engine_as_they_are(tmp_path: Path) -> None:
    given = [
        "a b",
        "-m",
        "x",
        f"--output={tmp_path}",
        "--shard",
        "2/3",
        "--scenes",
        "--format",
        "nii.gz",
        "--verify",
    ]
    found = parseArguments(given)
    assert found.engine == [word for word in given if word != "--scenes"]
    assert (found.scenes, found.output, found.shard, found.overwrite) == (True, tmp_path, (2, 3), False)
    assert parseArguments(["a", "-m", "x", f"-o{tmp_path}", "--overwrite"]).output == tmp_path
    relative = parseArguments(["a", "-m", "x", "-o", "y"])
    assert not relative.scenes
    assert relative.output == Path("y").absolute()
