"""Pictures of the panel and of the views for the documentation: ``make screenshots``.

The panel is the module's own, built from its .ui with the stand-in widgets of this harness, so its frames and fonts
differ from Slicer's. The views are drawn by Slicer's own displayable managers. Everything shown is computed here: the
bundled model segments the bundled sample by a click on the button.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
for _folder in ("Testing/Harness", "MedContextSegment", "Training"):
    sys.path.insert(0, str(ROOT / _folder))

from PySide6 import QtWidgets

from harness import slicer_qt  # before PySide6: sets the off-screen platform
from harness.pictures import SIZE, dark_palette, grab, grabDialog, joined, views
from medcontext.cards import user_models

PICTURED = "hippocampus_067.nii.gz"
"""Sample that the pictures show."""
PAINTED = (12, 16, 20)
"""Slices that somebody painted."""
CROPS = 9
"""Scans of the batch: fewer do not tell what is usual."""
STRUCTURES = ("liver", "spleen", "kidney_left", "kidney_right", "kidney_cyst_left", "vertebrae_L1", "aorta")
"""What the model of another program finds."""
PRETRAINING_MINUTES = 15.0
"""Long enough to see in the curve that something is learnt."""


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument(
        "--minutes", type=float, default=PRETRAINING_MINUTES, help="of pre-training; 0 leaves its picture out"
    )
    arguments = parser.parse_args()
    os.environ["MEDCONTEXT_HOME"] = tempfile.mkdtemp(prefix="screenshots_")
    app = slicer_qt.start()
    app.setStyle("Fusion")
    take(arguments.output, app, arguments.minutes)
    print(arguments.output)


def take(folder: Path, app: Any, minutes: float) -> None:
    """Click through the panel and take the pictures on the way.

    Args:
        folder: for the pictures.
        app: ``slicer.app``, with Qt.
        minutes: how long an encoder learns; 0 leaves its picture out.
    """
    from harness.panel import MODULE, loadSample, runToEnd
    from MedContextSegmentLib.Scene.Certainty import CERTAINTY_REFERENCE

    folder.mkdir(parents=True, exist_ok=True)
    light = QtWidgets.QApplication.palette()
    widget = slicer_qt.enter(slicer_qt.load_module(MODULE))
    try:
        volume = loadSample(case=PICTURED)
        widget.ui.reviewSection.collapsed = True
        takeModels(folder, widget)
        grab(widget, folder / "panel_segment.png")
        app.setPalette(dark_palette())
        grab(widget, folder / "panel_segment_dark.png")
        app.setPalette(light)
        widget.settings.certainty = "entropy"
        runToEnd(widget)
        widget.ui.segmentSection.collapsed = True
        widget.ui.reviewSection.collapsed = False
        grab(widget, folder / "panel_review.png")
        views(volume, folder / "views.png")
        segmentation = widget.ui.segmentationSelector.currentNode()
        views(volume, folder / "certainty.png", segmentation.GetNodeReference(CERTAINTY_REFERENCE))
        widget.ui.reviewSection.collapsed = True
        takeLearn(folder, widget, volume)
        if minutes:
            takePretrain(folder, widget, minutes)
        widget.ui.learnSection.collapsed = True
        takeExplore(folder, widget, volume)
        takeBatch(folder, widget)
    finally:
        slicer_qt.unload(widget)


def takeModels(folder: Path, widget: Any) -> None:
    """The model library, and what is asked when a results folder of nnU-Net comes in."""
    from harness.nnunet_folders import configuration, dataset_json, nnunet_folder, plans_json
    from harness.panel import waitUntil
    from MedContextSegmentLib.Panel.ModelImportDialog import ModelImportDialog
    from MedContextSegmentLib.Panel.ModelsDialog import ModelsDialog

    results = Path(tempfile.mkdtemp(prefix="results_")) / "Organs"
    labels = {name: value for value, name in enumerate(("background", *STRUCTURES))}
    plans = plans_json({"3d_fullres": configuration() | {"normalization_schemes": ["CTNormalization"]}})
    dataset = dataset_json(labels, ("CT",), name="Abdominal organs")
    nnunet_folder(results, plans | {"dataset_name": "Dataset101_Abdomen"}, dataset, folds=(0, 1, 2))
    dialog = ModelImportDialog(results, widget.logic.worker)
    waitUntil(lambda: not dialog.control.running)
    grabDialog(dialog.dialog, folder / "import_model.png")
    dialog.ui.importButtonBox.button(QtWidgets.QDialogButtonBox.StandardButton.Ok).click()
    waitUntil(lambda: dialog.arrived is not None)
    library, worker = widget.library._models, widget.logic.worker
    models = ModelsDialog(library, widget.settings, worker, lambda _model: None)
    waitUntil(lambda: not models.sizing)
    grabDialog(models.dialog, folder / "models.png")
    shutil.rmtree(user_models())
    widget.refresh()


def takeLearn(folder: Path, widget: Any, volume: Any) -> None:
    """The case store that comes with the package, and a scan that is painted in three slices on its way into it."""
    from harness.panel import SAMPLE, waitUntil
    from MedContextSegmentLib.Panel.AddCaseDialog import AddCaseDialog

    store = Path(tempfile.mkdtemp(prefix="cases_")) / "Hippocampus"
    shutil.copytree(SAMPLE, store)
    widget.ui.learnSection.collapsed = False
    cases = widget.learn.cases
    cases.chooser.choose(store)
    waitUntil(lambda: cases.store() is not None)
    cases.table.select("hippocampus_067")
    grab(widget, folder / "panel_learn.png")
    dialog = AddCaseDialog(cases.store(), [volume], paintedSegmentation(volume))
    waitUntil(lambda: not dialog.reading)
    grabDialog(dialog.dialog, folder / "add_case.png")


def takePretrain(folder: Path, widget: Any, minutes: float) -> None:
    """An encoder that has learnt from the case store, and what it can tell."""
    from harness.panel import waitUntil

    part, section = widget.learn.pretrain, widget.ui.pretrainSection
    widget.settings.device = "cpu"
    widget.settings.pretrainingMinutes = f"{minutes:g}"
    part.refresh()
    section.collapsed = False
    part.ui.startButton.click()
    waitUntil(
        lambda: part.job is not None and not part.job.active and not part._timer.active, 60 * minutes + 600
    )
    grab(widget, folder / "panel_pretrain.png", section)
    section.collapsed = True


def takeExplore(folder: Path, widget: Any, volume: Any) -> None:
    """Regions of a slice by the network, one below the pointer, and one that became a segment; beside the view."""
    import numpy as np
    import slicer

    from harness.exploring import place, propose, view
    from harness.panel import manualLabels
    from harness.views import SliceView

    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        node.GetDisplayNode().SetVisibility(False)  # what was segmented before would hide the regions
    widget.ui.segmentationSelector.setCurrentNode(None)
    widget.ui.exploreSection.collapsed = False
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    labels = manualLabels(PICTURED)
    k = len(labels) // 2
    inside = np.argwhere(labels[k])
    nearest = np.linalg.norm(inside - inside.mean(0), axis=1).argmin()
    hippocampus = place(volume, k, *inside[nearest])  # where somebody would click
    red = view("Red").mrmlSliceNode()
    red.JumpSliceByOffsetting(*hippocampus)
    slicer.app.processEvents()
    ui = widget.explore.ui
    proposed = propose(widget)
    ui.pickButton.click()
    view("Red").click(hippocampus)
    _k, j, i = np.argwhere(proposed.proposal.regions == proposed.numbers[1])[0]
    view("Red").point(place(volume, k, j, i))
    grab(widget, folder / "panel_explore.png", widget.ui.exploreSection)
    beside = SliceView("Red", "Axial", (SIZE, SIZE))
    beside.show(volume)
    red.JumpSliceByOffsetting(*hippocampus)
    joined(folder / "panel_explore.png", beside.grab())
    ui.discardButton.click()
    widget.ui.exploreSection.collapsed = True


def takeBatch(folder: Path, widget: Any) -> None:
    """A batch over crops, of which one is cut off and one is no image, and the review that begins with what is odd."""
    from harness.panel import SAMPLE, waitUntil

    study = Path(tempfile.mkdtemp(prefix="study_"))
    (study / "scans").mkdir()
    for path in sorted((SAMPLE / "images").glob("*.nii.gz"))[:CROPS]:
        shutil.copyfile(path, study / "scans" / path.name)
    cutCrop(SAMPLE / "images" / "hippocampus_361.nii.gz", study / "scans" / "hippocampus_361.nii.gz")
    (study / "scans" / "notes.nii.gz").write_text("no image", encoding="utf-8")
    batch, queue = widget.batch.batch, widget.batch.queue
    batch.ignoredSeconds = 0.0
    widget.settings.device = "cpu"
    widget.ui.batchSection.collapsed = False
    batch.ui.batchInputEdit.text, batch.ui.batchOutputEdit.text = (
        str(study / "scans"),
        str(study / "results"),
    )
    batch.ui.batchButton.click()
    waitUntil(lambda: batch.working and batch.follower.rows.counts()["done"] >= 4, 300)
    widget.ui.reviewQueueSection.collapsed = True
    grab(widget, folder / "panel_batch.png")
    waitUntil(lambda: not batch.working and len(batch.follower.rows.queue) > CROPS, 300)
    widget.ui.reviewQueueSection.collapsed = False
    queue.ui.reviewButton.click()
    waitUntil(lambda: queue.actions.case is not None)
    for _case in range(2):
        before = queue.actions.case
        queue.ui.acceptButton.click()
        waitUntil(lambda: queue.actions.case not in (None, before))  # noqa: B023
    for _case in range(2):  # back to what is odd
        queue.ui.previousCaseButton.click()
        waitUntil(lambda: not queue.control.running)
    batch.table.select(queue.actions.case.case)
    grab(widget, folder / "panel_review_queue.png")


def cutCrop(source: Path, target: Path) -> None:
    """A scan whose lower half is missing."""
    import slicer

    node = slicer.util.loadVolume(str(source), {"show": False})
    array = slicer.util.arrayFromVolume(node)
    slicer.util.updateVolumeFromArray(node, array[: array.shape[0] // 2].copy())
    slicer.util.exportNode(node, str(target))
    slicer.mrmlScene.RemoveNode(node)


def paintedSegmentation(volume: Any) -> Any:
    """The expert's structures in three slices, one under another name than in the case store."""
    import slicer

    from harness.panel import manualLabels

    labels = manualLabels(PICTURED)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Painted by hand")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for value, name in ((1, "Anterior"), (2, "Tail")):
        array = (labels == value).astype("uint8")
        array[[k for k in range(len(array)) if k not in PAINTED]] = 0
        segmentId = node.GetSegmentation().AddEmptySegment("", name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segmentId, volume)
    return node


if __name__ == "__main__":
    main()
