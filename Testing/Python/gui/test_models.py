"""Models come into the library and out of it in Slicer, by a real worker, with what a person says about them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of the worker and of the panel."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def own_home(library: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One library for all tests of this file, which share a worker."""
    monkeypatch.setenv("MEDCONTEXT_HOME", str(library))
    return library


@pytest.fixture(scope="module")
def importer(app: Any, library: Path) -> Iterator[Any]:  # noqa: ARG001
    """A worker process of that library, which a panel that goes away leaves alone."""
    from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

    class KeptWorker(WorkerProcess):
        def close(self) -> None:
            """It is ended after the last test."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDCONTEXT_HOME", str(library))
        kept = KeptWorker(environment=slicer.util.startupEnvironment(), killAfter=60.0)
    yield kept
    WorkerProcess.close(kept)


@pytest.fixture
def models_panel(panel: Any, importer: Any) -> Any:
    """The panel with that worker."""
    panel.logic._worker = importer
    return panel


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of nnU-Net v2: two kidneys, two folds, and a configuration in slices."""
    from harness import nnunet_folders as folders

    dataset = folders.dataset_json({"background": 0, "kidney_left": 1, "structure 2": 2})
    plans = folders.plans_json({"3d_fullres": folders.configuration(), "2d": folders.configuration(dims=2)})
    root = tmp_path_factory.mktemp("an nnU-Net") / "results"
    folders.nnunet_folder(root, plans, dataset, folds=(0, 1))
    folders.nnunet_folder(root, plans, dataset, name="2d")
    return root


@pytest.fixture
def kidneys(results: Path, tmp_path: Path, importer: Any) -> Callable[..., Any]:
    """``kidneys()`` gives the import dialog of that folder, looked at."""
    from MedContextSegmentLib.Panel.ModelImportDialog import ModelImportDialog

    assert tmp_path.is_dir()

    def make(source: Path = results) -> Any:
        dialog = ModelImportDialog(source, importer)
        finish(dialog)
        return dialog

    return make


def finish(dialog: Any) -> None:
    """Wait until the worker has answered."""
    from harness.panel import waitUntil

    assert waitUntil(lambda: not dialog.control.running)


def status(dialog: Any) -> str:
    """What a person reads at the bottom of the import dialog."""
    from MedContextSegmentLib.Panel.QtHelpers import ZERO_WIDTH_SPACE

    return str(dialog.ui.importStatusLabel.text).replace(ZERO_WIDTH_SPACE, "")


def okButton(dialog: Any) -> Any:
    import qt

    return dialog.ui.importButtonBox.button(qt.QDialogButtonBox.Ok)


def cell(dialog: Any, row: int, column: int) -> Any:
    return dialog.ui.importLabelsTable.item(row, column)


def card(home: Path, model: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((home / "models" / model / "model.json").read_text(encoding="utf-8"))
    return data


# Importing


def test_a_folder_dropped_on_the_panel_becomes_the_chosen_model(
    models_panel: Any, results: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness import dialogs
    from harness.dropping import drop
    from harness.panel import waitUntil
    from MedContextSegmentLib.Panel import ModelLibrary
    from MedContextSegmentLib.Panel.ImportLabels import CODE, NAME
    from MedContextSegmentLib.Panel.ModelImportDialog import ModelImportDialog

    made: list[Any] = []

    def make(*arguments: Any) -> Any:
        made.append(ModelImportDialog(*arguments))
        return made[-1]

    def answer(shown: Any) -> int:
        dialog = made[0]
        assert "Looking at" in status(dialog)
        assert not okButton(dialog).enabled
        finish(dialog)
        assert dialog.ui.importFormText.text.startswith("nnU-Net v2, MRI · ")
        assert cell(dialog, 0, CODE).text() == "64033007 Kidney, Left"
        assert cell(dialog, 1, CODE).text() == ""
        cell(dialog, 1, NAME).setText("Right kidney")
        finish(dialog)
        assert cell(dialog, 1, CODE).text() == "64033007 Kidney, Right"
        dialog.ui.importTitleEdit.text = "Kidneys of somebody"
        dialog.ui.importIdEdit.text = "kidneys"
        selector = dialog.ui.importOrientationSelector
        selector.setCurrentIndex(selector.findData("RAS"))
        okButton(dialog).click()
        finish(dialog)
        return int(shown.result())

    monkeypatch.setattr(ModelLibrary, "ModelImportDialog", make)
    dialogs.answers.append(answer)
    assert drop(models_panel.ui.modelsButton.parent(), results)
    assert waitUntil(lambda: made and made[0].arrived)
    assert models_panel.segmentPanel.models.title == "Kidneys of somebody"
    assert "is in the library and chosen" in models_panel.ui.modelsOutcomeLabel.text
    written = card(own_home, "kidneys")
    assert [label["name"] for label in written["labels"]] == ["kidney_left", "Right kidney"]
    assert written["labels"][1]["terminology"]["modifier"]["meaning"] == "Right"
    assert written["input"]["orientation"] == "RAS"
    assert len(written["weights"]) == 2


def test_what_there_is_to_choose_from_is_offered(kidneys: Callable[..., Any]) -> None:
    dialog = kidneys()
    ui, selector = dialog.ui, dialog.ui.importConfigurationSelector
    assert [selector.itemText(index) for index in range(selector.count)] == ["3d_fullres", "2d"]
    assert selector.currentText == "3d_fullres"
    boxes = dialog._folds
    assert [box.text for box in boxes] == ["0", "1"]
    for box in boxes:
        box.checked = False
    assert "at least one fold" in status(dialog)
    assert not okButton(dialog).enabled
    boxes[1].checked = True
    assert okButton(dialog).enabled
    assert dialog.choices().folds == ("1",)
    ui.importTitleEdit.text = "Mine"
    selector.setCurrentIndex(1)
    assert not okButton(dialog).enabled
    finish(dialog)
    assert not dialog._folds  # there is one fold in slices
    assert ui.importTitleEdit.text == "Mine"
    assert ui.importIdEdit.text.endswith("2d")
    assert dialog.choices().configuration == "2d"
    dialog.control.forget()


def test_names_and_codes_have_to_be_right(kidneys: Callable[..., Any]) -> None:
    from MedContextSegmentLib.Panel.ImportLabels import CODE, COLOR, NAME

    dialog = kidneys()
    assert okButton(dialog).enabled
    assert dialog.choices().labels == ()  # nothing was changed, nothing is sent
    cell(dialog, 1, NAME).setText("Kidney_Left")
    finish(dialog)
    assert "name of its own" in status(dialog)
    assert not okButton(dialog).enabled
    cell(dialog, 1, NAME).setText("something")
    finish(dialog)
    cell(dialog, 1, CODE).setText("kidney")
    assert "no SNOMED CT code" in status(dialog)
    assert not okButton(dialog).enabled
    cell(dialog, 1, CODE).setText("108369006 Neoplasm, Right; 64033007 Kidney")
    assert okButton(dialog).enabled
    import qt

    dialog.ui.importLabelsTable.cellWidget(1, COLOR).color = qt.QColor(1, 2, 3)
    label = dialog.choices().labels[1]
    assert (label.name, label.color) == ("something", (1, 2, 3))
    assert label.terminology.region.meaning == "Kidney"
    # What somebody wrote by hand stays, whatever the name is.
    cell(dialog, 1, NAME).setText("liver")
    finish(dialog)
    label = dialog.choices().labels[1]
    assert (label.color, label.terminology.type.meaning) == ((1, 2, 3), "Neoplasm")


def test_what_is_no_model_is_told_in_a_sentence(kidneys: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no model", encoding="utf-8")
    for source in (tmp_path, tmp_path / "notes.txt", tmp_path / "gone.zip"):
        dialog = kidneys(source)
        assert source.name in status(dialog)
        assert not okButton(dialog).enabled
        assert dialog.ask() is None


def test_an_id_that_is_taken_can_be_changed(kidneys: Callable[..., Any], own_home: Path) -> None:
    first = kidneys()
    first.ui.importIdEdit.text = "taken"
    okButton(first).click()
    finish(first)
    assert first.arrived.key.startswith("taken@")
    dialog = kidneys()
    dialog._folds[0].checked = False
    dialog.ui.importIdEdit.text = "taken"
    okButton(dialog).click()
    finish(dialog)
    assert not dialog.arrived
    assert "taken" in status(dialog)
    dialog.ui.importIdEdit.text = "free"
    assert status(dialog) == ""
    okButton(dialog).click()
    finish(dialog)
    assert dialog.arrived.key.startswith("free@")
    assert (own_home / "models" / "free").is_dir()


def test_a_person_who_goes_away_leaves_nothing_behind(results: Path, importer: Any, own_home: Path) -> None:
    from MedContextSegmentLib.Panel.ModelImportDialog import ModelImportDialog

    before = set((own_home / "models").glob("*"))
    dialog = ModelImportDialog(results, importer)
    assert "Looking at" in status(dialog)
    assert dialog.ask() is None  # closed while the worker still looks
    assert not dialog.control.running
    assert set((own_home / "models").glob("*")) == before


def test_an_import_can_be_stopped(kidneys: Callable[..., Any], own_home: Path) -> None:
    import qt

    dialog = kidneys()
    dialog.ui.importIdEdit.text = "stopped"
    okButton(dialog).click()
    cancel = dialog.ui.importButtonBox.button(qt.QDialogButtonBox.Cancel)
    cancel.click()  # before the timer has asked the worker
    finish(dialog)
    assert not dialog.arrived
    assert "Stopped" in status(dialog)
    assert not (own_home / "models" / "stopped").exists()
    okButton(dialog).click()
    finish(dialog)
    assert dialog.arrived.key.startswith("stopped@")


# Drops


def test_the_panel_leaves_to_slicer_what_is_no_model(models_panel: Any, tmp_path: Path) -> None:
    from harness.dropping import drop

    scan, series = tmp_path / "scan.nii.gz", tmp_path / "series"
    scan.write_bytes(b"")
    series.mkdir()
    (series / "1.dcm").write_bytes(b"")
    root = models_panel.ui.modelsButton.parent()
    assert not drop(root, scan)
    assert not drop(root, series)
    assert not drop(root, tmp_path / "a.zip", tmp_path / "b.zip")


# The list


def shownRows(dialog: Any) -> list[list[str]]:
    table = dialog.ui.modelsTable
    return [
        [table.item(row, column).text() for column in range(table.columnCount)]
        for row in range(table.rowCount)
    ]


def test_models_are_listed_exported_and_removed(
    models_panel: Any, kidneys: Callable[..., Any], importer: Any, own_home: Path, tmp_path: Path
) -> None:
    from harness import dialogs
    from harness.panel import waitUntil
    from MedContextSegmentLib.Panel.ModelsDialog import ModelsDialog

    first = kidneys()
    first.ui.importIdEdit.text = "listed"
    okButton(first).click()
    finish(first)
    dialog = ModelsDialog(models_panel.library._models, models_panel.settings, importer, lambda _model: None)
    ui = dialog.ui
    assert waitUntil(lambda: not dialog.sizing)
    rows = {row[1]: row for row in shownRows(dialog)}
    assert rows["hippocampus"][2:5] == ["Anterior, Posterior", "medcontext", "with MedContext"]
    assert rows["listed"][2:5] == ["kidney_left, structure 2", "other software", "library"]
    assert rows["listed"][5].endswith("kB")
    assert "Your library takes" in ui.modelsStatusLabel.text
    assert not ui.removeModelButton.enabled
    dialog.refresh("hippocampus@1.0.0")
    assert ui.exportModelButton.enabled
    assert not ui.removeModelButton.enabled  # it came with MedContext
    dialog.refresh(first.arrived.key)
    dialogs.answers.append(str(tmp_path / "out"))
    ui.exportModelButton.click()
    finish(dialog)
    assert (tmp_path / "out.zip").is_file()
    assert ui.modelsStatusLabel.text.startswith("Written: ")
    dialogs.answers.append(False)
    ui.removeModelButton.click()
    assert "listed" in [row[1] for row in shownRows(dialog)]
    dialogs.answers.append(True)
    ui.removeModelButton.click()
    finish(dialog)
    assert "was removed" in ui.modelsStatusLabel.text
    assert "listed" not in [row[1] for row in shownRows(dialog)]
    assert not (own_home / "models" / "listed").exists()
    dialog.show()


def test_a_model_comes_in_through_the_list(
    models_panel: Any, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness import dialogs
    from medcontext.cards import bundled_models
    from medcontext.library import export_archive
    from MedContextSegmentLib.Panel import ModelsDialog
    from MedContextSegmentLib.Panel.ModelImportDialog import ModelImportDialog

    archive = export_archive(bundled_models() / "hippocampus", tmp_path / "Modell ö.zip")
    made: list[Any] = []

    def make(*arguments: Any) -> Any:
        made.append(ModelImportDialog(*arguments))
        return made[-1]

    def choose(shown: Any) -> int:
        finish(made[0])
        assert made[0].ui.importFormText.text.startswith("MedContext model")
        assert not made[0].ui.importLabelsArea.enabled  # it comes as it is
        made[0].ui.importIdEdit.text = "again"
        okButton(made[0]).click()
        finish(made[0])
        return int(shown.result())

    def answer(shown: Any) -> int:
        ui = slicer.util.childWidgetVariables(shown)
        ui.importFileButton.click()
        assert "is in the library and chosen" in ui.modelsStatusLabel.text
        return 0

    monkeypatch.setattr(ModelsDialog, "ModelImportDialog", make)
    dialogs.answers.extend([answer, str(archive), choose])
    models_panel.ui.modelsButton.click()
    assert (own_home / "models" / "again").is_dir()
    assert models_panel.segmentPanel.models.card.id == "again"


# Catalogues


def catalogueOf(folder: Path, **changes: Any) -> Path:
    """A catalogue on the disk that lists the bundled model under another id."""
    import hashlib

    from medcontext.cards import bundled_models
    from medcontext.library import export_archive

    archive = export_archive(bundled_models() / "hippocampus", folder / "model.zip")
    content = archive.read_bytes()
    model = {
        "id": "downloaded",
        "version": "1.0.0",
        "title": "From afar",
        "url": archive.name,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "licence": "CC-BY-SA-4.0",
        "modality": ["MR"],
        "labels": ["Anterior", "Posterior"],
    }
    path = folder / "catalogue.json"
    path.write_text(json.dumps({"schema_version": 1, "models": [model | changes]}), encoding="utf-8")
    return path


def test_a_model_of_a_catalogue_is_downloaded(
    models_panel: Any, importer: Any, own_home: Path, tmp_path: Path
) -> None:
    from MedContextSegmentLib.Panel.CatalogueDialog import SIZE, CatalogueDialog

    arrived: list[Any] = []
    dialog = CatalogueDialog(models_panel.settings, importer, arrived.append)
    ui = dialog.ui
    assert not ui.readCatalogueButton.enabled
    assert not dialog.control.running  # nothing is fetched unasked
    ui.catalogueSourceEdit.text = str(catalogueOf(tmp_path))
    ui.readCatalogueButton.click()
    finish(dialog)
    assert ui.catalogueTable.item(0, SIZE).text().endswith("MB")
    assert not ui.downloadModelButton.enabled
    ui.catalogueTable.selectRow(0)
    ui.downloadModelButton.click()
    finish(dialog)
    assert [model.key for model in arrived] == ["downloaded@1.0.0"], ui.catalogueStatusLabel.text
    assert "is in the library" in ui.catalogueStatusLabel.text
    assert ui.catalogueTable.item(0, SIZE).text() == "in the library"
    assert (own_home / "models" / "downloaded").is_dir()
    assert models_panel.settings.catalogue == str(tmp_path / "catalogue.json")
    dialog.show()


def test_what_is_no_catalogue_and_a_download_that_is_not_what_was_meant(
    models_panel: Any, importer: Any, tmp_path: Path
) -> None:
    from MedContextSegmentLib.Panel.CatalogueDialog import CatalogueDialog

    dialog = CatalogueDialog(models_panel.settings, importer, lambda _model: None)
    ui = dialog.ui
    (tmp_path / "notes.json").write_text("no catalogue", encoding="utf-8")
    ui.catalogueSourceEdit.text = str(tmp_path / "notes.json")
    ui.readCatalogueButton.click()
    finish(dialog)
    assert "no catalogue" in ui.catalogueStatusLabel.text
    ui.catalogueSourceEdit.text = str(catalogueOf(tmp_path, id="other", sha256="0" * 64))
    ui.readCatalogueButton.click()
    finish(dialog)
    ui.catalogueTable.selectRow(0)
    ui.downloadModelButton.click()
    finish(dialog)
    assert "SHA-256" in ui.catalogueStatusLabel.text
    assert ui.downloadModelButton.enabled  # it can be tried again
