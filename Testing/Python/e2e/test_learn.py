"""The loop of annotating, fine-tuning and segmenting, through the panel: real crops, real trainings in processes of
their own, Slicer closed in the middle and the trainer killed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.missing import missing_for_gui

MISSING = missing_for_gui()
pytestmark = [pytest.mark.skipif(bool(MISSING), reason=MISSING), pytest.mark.slow]

MINUTES = 0.05
"""So short that the least number of steps is done, on slow and on fast machines."""
STEPS, HALT = 20, 8
DEADLINE = 600.0
"""Generous: nothing here is about time, and a busy machine is several times slower."""
CASES = ("hippocampus_011", "hippocampus_067")
UNSEEN = "hippocampus_394"


def load(name: str) -> Any:
    """A crop as a volume node."""
    import slicer

    from harness.panel import SAMPLE, settle

    node = slicer.util.loadVolume(str(SAMPLE / "images" / f"{name}.nii.gz"), {"name": name})
    settle()
    return node


def drawn(name: str) -> np.ndarray:
    """What a person drew: the whole hippocampus, ``(K, J, I)``."""
    import slicer

    from harness.panel import SAMPLE

    node = slicer.util.loadLabelVolume(str(SAMPLE / "labels" / f"{name}.nii.gz"), {"show": False})
    array = slicer.util.arrayFromVolume(node) > 0
    slicer.mrmlScene.RemoveNode(node)
    return array


def segmentationOf(volume: Any, array: np.ndarray) -> Any:
    """A segmentation with one segment, as a person would have painted it."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "painted")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = node.GetSegmentation().AddEmptySegment("", "Hippocampus")
    slicer.util.updateSegmentBinaryLabelmapFromArray(array.astype(np.uint8), node, segment, volume)
    return node


def segmentUnseen(panel: Any) -> dict[str, float]:
    """Click *Segment* on a scan that no model learnt from: the Dice of each segment with the whole hippocampus."""
    from harness.panel import dice, output, runToEnd, segmentArrays

    volume = load(UNSEEN)
    panel.learn.context.choose([volume], None)
    runToEnd(panel, DEADLINE)
    found = segmentArrays(output(panel), volume)
    return {name: dice(array, drawn(UNSEEN)) for name, array in found.items()}


def waitForResult(panel: Any) -> None:
    from harness.panel import waitUntil

    part = panel.learn.fineTune
    assert waitUntil(lambda: not part.job.active and not part._timer.active, DEADLINE)


def text(label: Any) -> str:
    return str(label.text).replace("\u200b", "")


def test_annotate_fine_tune_close_kill_resume_and_segment(
    slicer_window: Callable[..., Any], own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.learning import addCase, answerNewStore, commandOf, killTrainer, waitForSteps
    from harness.panel import waitUntil
    from harness.programs import installBrief

    installBrief(tmp_path, monkeypatch, STEPS, HALT)
    panel = slicer_window()
    before = segmentUnseen(panel)
    answerNewStore("Knee", tmp_path)
    for name in CASES:
        volume = load(name)
        addCase(panel, volume, segmentationOf(volume, drawn(name)))
    ui = panel.learn.fineTune.ui
    panel.settings.trainingMinutes = str(MINUTES)
    panel.learn.refresh()
    assert ui.startButton.enabled, text(ui.trainingStatusLabel)
    ui.keepSelector.setCurrentIndex(ui.keepSelector.findData("none"))
    shown = ui.commandEdit.text
    ui.startButton.click()
    assert ui.commandEdit.text == shown
    kept, job = own_home / "models" / "knee" / "training" / "checkpoint.pt", panel.learn.fineTune.job
    assert waitUntil(lambda: kept.exists() or not job.active, DEADLINE)
    assert kept.exists(), text(ui.verdictLabel)

    panel = slicer_window()
    waitForSteps(panel.learn.fineTune, 5)
    job = panel.learn.fineTune.job
    reached = job.losses.rows[-1][0]
    killTrainer(job)
    ui = panel.learn.fineTune.ui
    waitForResult(panel)
    assert "interrupted" in text(ui.verdictLabel)
    ui.pauseButton.click()
    assert "--resume" in commandOf(job.folder)
    waitForSteps(panel.learn.fineTune, reached + 5)
    assert panel.learn.fineTune.view.curve.curve.whole
    waitForResult(panel)
    assert "ready" in text(ui.verdictLabel), text(ui.verdictLabel)

    chosen = panel.learn.context.chosenModel()
    assert chosen.id == "knee"
    assert chosen.labels == ("Hippocampus",)
    assert chosen.parent_id == "hippocampus"
    after = segmentUnseen(panel)
    assert list(after) == ["Hippocampus"]
    assert after["Hippocampus"] > max(before.values()) + 0.05
    assert after["Hippocampus"] > 0.75
    assert ui.resultButton.text.startswith("Back to")
    ui.resultButton.click()
    assert panel.learn.context.chosenModel().id == "hippocampus"


def test_a_model_that_became_worse_is_kept_and_not_chosen(
    slicer_window: Callable[..., Any], own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody confused the two labels in all annotated cases; the held-out ones are right."""
    from harness.learning import SAMPLE
    from harness.programs import installBrief

    installBrief(tmp_path, monkeypatch, 20)
    store = tmp_path / "store"
    shutil.copytree(SAMPLE, store)
    confuseLabels(store)
    panel = slicer_window()
    panel.settings.trainingMinutes = str(MINUTES)
    panel.learn.cases.chooser.choose(store)
    panel.learn.refresh()
    ui = panel.learn.fineTune.ui
    assert ui.startButton.enabled, text(ui.trainingStatusLabel)
    ui.startButton.click()
    waitForResult(panel)
    result = panel.learn.fineTune.job.result
    assert result is not None, text(ui.verdictLabel)
    assert result.word == "worse", text(ui.verdictLabel)
    assert re.search(r"\b5\b[^.]*cases", result.sentence), result.sentence
    assert "kept, and not selected" in text(ui.verdictLabel)
    assert ui.comparisonLabel.visible
    assert panel.learn.context.chosenModel().id == "hippocampus"
    assert (own_home / "models" / result.card.id / "model.json").is_file()
    assert ui.resultButton.text.startswith("Use")


def confuseLabels(store: Path) -> None:
    """Exchange both labels in the cases to learn from; five of the held-out cases stay."""
    from medcontext.geometry import Volume
    from medcontext.io import read_labelmap, write_labelmap

    index = store / "dataset.json"
    data = json.loads(index.read_text(encoding="utf-8"))
    for entry in data["training"]:
        entry.pop("hashes", None)
        labels = read_labelmap(store / entry["label"])
        swapped = np.choose(labels.array, (0, 2, 1)).astype(np.uint8)
        write_labelmap(store / entry["label"], Volume(swapped, labels.geometry))
    data["test"], data["unlabelled"] = data["test"][:5], []  # what a run this short does not learn from
    index.write_text(json.dumps(data), encoding="utf-8")
