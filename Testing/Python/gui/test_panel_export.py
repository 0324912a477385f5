"""Export from the panel: no file of the person is replaced without a question that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

QUESTION = "exist already"


@pytest.fixture
def overlapping(panel: Any, sample: Any) -> Any:
    """A segmentation of two segments that overlap, chosen as output: NIfTI takes two files and a table."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "result")
    node.SetReferenceImageGeometryParameterFromVolumeNode(sample)
    array = np.zeros(slicer.util.arrayFromVolume(sample).shape, np.uint8)
    array[5:20, 5:20, 5:20] = 1
    for name in ("one", "two"):
        segmentId = node.GetSegmentation().AddEmptySegment("", name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segmentId, sample)
    panel.ui.segmentationSelector.setCurrentNode(node)
    return node


def click(panel: Any, exporterId: str, chosen: Path, *answers: bool) -> str:
    """Export into what the file dialog gives, answer the question, and wait; returns what the panel says."""
    from harness import dialogs
    from harness.panel import waitUntil

    combo = panel.ui.exportFormatSelector
    combo.setCurrentIndex(combo.findData(exporterId))
    dialogs.answers.extend([str(chosen), *answers])
    panel.ui.exportButton.click()
    assert waitUntil(lambda: panel.exportPanel._run is None, 30)
    return str(panel.ui.exportStatusLabel.text.replace("\u200b", ""))


def questions() -> list[str]:
    from harness import dialogs

    return dialogs.texts("question")


@pytest.mark.usefixtures("overlapping")
def test_files_beside_the_chosen_one_are_asked_for_once(panel: Any, tmp_path: Path) -> None:
    for name in ("scan.nii.gz", "scan-2.nii.gz", "scan.labels.csv"):
        (tmp_path / name).write_text("mine")
    said = click(panel, "nifti", tmp_path / "scan.nii.gz", False)
    assert len(questions()) == 1
    assert "scan-2.nii.gz" in questions()[0]
    assert "scan.labels.csv" in questions()[0]
    assert "scan.nii.gz" not in questions()[0]  # the dialog has asked that
    assert "cancelled" in said
    assert {path.read_text() for path in tmp_path.iterdir()} == {"mine"}
    assert "Written" in click(panel, "nifti", tmp_path / "scan.nii.gz", True)
    assert len(questions()) == 2
    assert all(path.read_bytes() != b"mine" for path in tmp_path.iterdir())


@pytest.mark.usefixtures("overlapping")
@pytest.mark.parametrize(("exporterId", "suffix"), [("nifti", ".nii.gz"), ("seg.nrrd", ".seg.nrrd")])
def test_a_name_completed_afterwards_is_asked_for(
    panel: Any, tmp_path: Path, exporterId: str, suffix: str
) -> None:
    (tmp_path / f"result{suffix}").write_text("mine")
    click(panel, exporterId, tmp_path / "result", False)
    assert f"result{suffix}" in questions()[0]
    assert (tmp_path / f"result{suffix}").read_text() == "mine"


@pytest.mark.usefixtures("overlapping")
def test_what_the_dialog_has_asked_is_not_asked_again(panel: Any, tmp_path: Path) -> None:
    (tmp_path / "result.seg.nrrd").write_text("mine")
    assert "Written" in click(panel, "seg.nrrd", tmp_path / "result.seg.nrrd")
    assert questions() == []


@pytest.mark.usefixtures("overlapping")
def test_tables_of_other_kinds_are_left_alone(panel: Any, tmp_path: Path) -> None:
    (tmp_path / "patients.csv").write_text("mine")
    click(panel, "nifti", tmp_path / "patients.nii.gz")
    assert questions() == []
    assert (tmp_path / "patients.csv").read_text() == "mine"


@pytest.mark.usefixtures("overlapping")
def test_files_in_the_folder_of_a_structure_set(
    panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exportable:
        directory = ""

        def setTag(self, _name: str, _value: str) -> None: ...

    class Plugin:
        def examineForExport(self, _item: int) -> list[Exportable]:
            return [Exportable()]

        def export(self, exportables: list[Exportable]) -> str:
            for number in range(8):
                (Path(exportables[0].directory) / f"{number}.dcm").write_text("new")
            return ""

    plugins = {"DicomRtImportExportPlugin": Plugin}
    monkeypatch.setattr(slicer.modules, "dicomPlugins", plugins, raising=False)
    folder = tmp_path / "rt"
    folder.mkdir()
    for number in range(7):
        (folder / f"{number}.dcm").write_text("mine")
    (folder / "notes.txt").write_text("mine")
    click(panel, "rtstruct", folder, False)
    assert "0.dcm" in questions()[0]
    assert "and 2 more" in questions()[0]
    assert "notes" not in questions()[0]
    assert {path.read_text() for path in folder.iterdir()} == {"mine"}
    assert [path.name for path in tmp_path.iterdir()] == ["rt"]
    click(panel, "rtstruct", folder, True)
    assert (folder / "0.dcm").read_text() == "new"
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.usefixtures("overlapping")
def test_the_scene_is_closed_behind_the_question(
    panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closeScene(*_texts: str, **_details: Any) -> bool:
        slicer.mrmlScene.Clear(False)
        return True

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", closeScene)
    (tmp_path / "scan.labels.csv").write_text("mine")
    click(panel, "nifti", tmp_path / "scan.nii.gz")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
