"""*Pre-train on these scans* in the panel: what it says, starts, shows and finds again, and what an encoder is for.

The trainer is a small one, in real jobs. How jobs are handled is tested with *Fine-tune*, which shares that.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer")


@pytest.fixture
def opened(panel_with_cases: Any) -> Any:
    """The panel with the case store of the bundled sample and the section open."""
    panel_with_cases.ui.pretrainSection.collapsed = False
    return panel_with_cases


def part(panel: Any) -> Any:
    return panel.learn.pretrain


def ui(panel: Any) -> Any:
    return panel.learn.pretrain.ui


def text(label: Any) -> str:
    return str(label.text).replace("\u200b", "")


def choose(combo: Any, data: str) -> None:
    index = combo.findData(data)
    assert index >= 0, data
    combo.setCurrentIndex(index)


def offered(combo: Any) -> list[str]:
    return [combo.itemText(row) for row in range(combo.count)]


def words(panel: Any) -> list[str]:
    return shlex.split(ui(panel).commandEdit.text)


def scans(count: int, kind: str = "unlabelled") -> Any:
    """The sample store with so many cases of that kind, and one that is held out."""
    from harness.learning import sampleStore

    store = sampleStore()
    cases = [dataclasses.replace(case, kind=kind) for case in store.cases[:count]]
    return dataclasses.replace(
        store, cases=(*cases, dataclasses.replace(store.cases[count], kind="held_out"))
    )


def addFolder(panel: Any, folder: Path) -> None:
    from harness import dialogs

    folder.mkdir(exist_ok=True)
    dialogs.answers.append(str(folder))
    ui(panel).addScanFolderButton.click()


def start(panel: Any) -> None:
    from harness.learning import waitForSteps
    from harness.panel import waitUntil

    assert ui(panel).startButton.enabled, text(ui(panel).trainingStatusLabel)
    ui(panel).startButton.click()
    waitForSteps(part(panel), 6)
    assert waitUntil(lambda: "left" in text(ui(panel).trainingStatusLabel), 30)


def waitForEnd(panel: Any) -> None:
    from harness.panel import waitUntil

    job = part(panel).job
    assert waitUntil(lambda: not job.active and job.caughtUp and not part(panel)._timer.active)


def pretrained(panel: Any) -> Any:
    """Pre-train a little and keep what came out: its card."""
    start(panel)
    ui(panel).startButton.click()
    waitForEnd(panel)
    return part(panel).job.result.card


# Before


def test_start_says_what_it_waits_for(panel: Any) -> None:
    from harness.learning import sampleStore, useStore

    panel.ui.pretrainSection.collapsed = False
    broken = dataclasses.replace(sampleStore(), problem="dataset.json cannot be read.")
    for store, told in (
        (None, "Choose a case store"),
        (broken, "cannot be read"),
        (scans(0), "no scan to learn from"),
        (scans(3, "test"), "no scan to learn from"),
    ):
        useStore(panel, store)
        assert not ui(panel).startButton.enabled
        assert told in text(ui(panel).trainingStatusLabel)
        assert not ui(panel).commandEdit.visible
    useStore(panel, sampleStore())
    assert ui(panel).startButton.enabled
    assert text(ui(panel).trainingStatusLabel) == ""
    ui(panel).encoderNameEdit.text = " "
    assert "name" in text(ui(panel).trainingStatusLabel)
    ui(panel).encoderNameEdit.text = "x"
    ui(panel).storeScansCheckBox.checked = False
    assert "Tick the scans" in text(ui(panel).trainingStatusLabel)


def test_it_says_of_how_many_scans_and_when_they_are_few(opened: Any) -> None:
    from harness.learning import useStore

    useStore(opened, scans(9))
    assert "9 scans" in text(ui(opened).scanCountLabel)
    assert "held-out and test cases are not" in text(ui(opened).scanCountLabel)
    useStore(opened, scans(3))
    assert "Only 3 scan(s)" in text(ui(opened).scanCountLabel)
    assert ui(opened).startButton.enabled
    useStore(opened, scans(4, "annotated"))
    assert "4 scans" in text(ui(opened).scanCountLabel)


def test_what_it_is_for_is_said_without_a_promise(opened: Any) -> None:
    for tip in (opened.ui.pretrainSection.toolTip, ui(opened).startButton.toolTip):
        assert "may help" in tip
        assert "may not" in tip
    selector = ui(opened).methodSelector
    import qt

    tips = [selector.itemData(row, qt.Qt.ToolTipRole) for row in range(selector.count)]
    assert offered(selector) == ["VoCo", "Masked reconstruction"]
    assert "where in a scan" in tips[0]
    assert "hidden" in tips[1]


def test_the_choices_become_the_command(opened: Any, own_home: Path, tmp_path: Path) -> None:
    from harness.learning import SAMPLE

    assert words(opened)[:6] == ["medcontext", "pretrain", "--method", "voco", "--data", str(SAMPLE)]
    output = own_home / "models" / "hippocampus-sample-encoder"
    assert words(opened)[6:] == [
        *("--network", "dynunet", "--size", "small", "-o", str(output), "--minutes", "60"),
        *("--title", "Hippocampus (sample) encoder"),
    ]
    choose(ui(opened).methodSelector, "mae")
    choose(ui(opened).networkSelector, "swin_unetr")
    choose(ui(opened).sizeSelector, "medium")
    choose(ui(opened).budgetSelector, "0")
    ui(opened).encoderNameEdit.text = "My scans"
    for name in ("a", "b"):
        addFolder(opened, tmp_path / name)
    addFolder(opened, tmp_path / "a")  # twice is once
    ui(opened).scanFoldersList.item(0).setSelected(True)
    assert "2 folder(s)" in text(ui(opened).scanCountLabel)
    ui(opened).removeScanFolderButton.click()
    ui(opened).storeScansCheckBox.checked = False
    opened.settings.device = "cpu"
    part(opened).update()
    output = own_home / "models" / "my-scans"
    assert words(opened)[1:] == [
        *("pretrain", "--method", "mae", "--data", str(tmp_path / "b")),
        *("--network", "swin_unetr", "--size", "medium", "-o", str(output), "--until-stopped"),
        *("--title", "My scans", "--device", "cpu"),
    ]


def test_folders_are_enough(panel: Any, tmp_path: Path) -> None:
    from harness.learning import useStore

    panel.ui.pretrainSection.collapsed = False
    useStore(panel, None)
    addFolder(panel, tmp_path / "CT archive")
    assert ui(panel).startButton.enabled
    assert ui(panel).encoderNameEdit.text == "CT archive encoder"
    assert words(panel)[4:6] == ["--data", str(tmp_path / "CT archive")]
    useStore(panel, scans(0))  # nothing in it to learn from
    assert words(panel).count("--data") == 1


def test_the_name_follows_the_store_until_somebody_types_one(opened: Any) -> None:
    from harness.learning import sampleStore, useStore

    useStore(opened, dataclasses.replace(sampleStore(), name="Knee"))
    assert ui(opened).encoderNameEdit.text == "Knee encoder"
    ui(opened).encoderNameEdit.text = "Mine"
    useStore(opened, sampleStore())
    assert ui(opened).encoderNameEdit.text == "Mine"


def test_its_time_is_remembered_and_is_not_that_of_fine_tune(
    opened: Any, load_module: Callable[[Path], Any]
) -> None:
    from harness.panel import MODULE

    assert part(opened).options.budget.minutes == 60
    choose(ui(opened).budgetSelector, "15")
    opened.settings.trainingMinutes = "5"
    other = load_module(MODULE)
    assert other.learn.pretrain.options.budget.minutes == 15
    assert other.learn.fineTune.options.budget.minutes == 5


# The job


def test_it_runs_as_the_job_that_was_shown_with_its_curve_and_picture(opened: Any, own_home: Path) -> None:
    from harness.learning import commandOf, jobFolders
    from harness.panel import waitUntil

    shown = words(opened)
    start(opened)
    (path,) = jobFolders(own_home)
    assert commandOf(path.parent)[1:] == ["-m", *shown, "--json"]
    assert ui(opened).startButton.text == "Stop and keep"
    assert not ui(opened).choicesArea.visible
    assert waitUntil(lambda: ui(opened).previewLabel.visible and ui(opened).learningBar.value > 0)
    assert ui(opened).previewLabel.pixmap.width() <= opened.parent.width
    chart = part(opened).view.curve.curve.chart
    lines = [chart.GetNthPlotSeriesNode(row) for row in range(chart.GetNumberOfPlotSeriesNodes())]
    assert [line.GetName() for line in lines] == [
        *("Loss: position", "Loss: negative", "Position found", "by chance"),
        *("Prediction loss", "of the best constant"),
    ]
    broken = [line.GetLineStyle() == slicer.vtkMRMLPlotSeriesNode.LineStyleDash for line in lines]
    assert broken == [False, False, False, True, False, True]


def test_stopping_keeps_an_encoder_that_fine_tune_can_start_from(opened: Any) -> None:
    from harness.learning import SAMPLE

    segmenting = offered(opened.ui.modelSelector)
    fineTune = opened.learn.fineTune
    before = offered(fineTune.ui.parentSelector)
    start(opened)
    assert not ui(opened).resultButton.visible
    ui(opened).startButton.click()
    assert "keeping what it has learnt" in text(ui(opened).trainingStatusLabel)
    waitForEnd(opened)
    told = text(ui(opened).verdictLabel)
    assert told.startswith("It finds the place of a crop in 50 % of the cases (chance 11 %).")
    assert "'Hippocampus (sample) encoder' is ready" in told
    assert ui(opened).previewLabel.visible
    assert ui(opened).startButton.text == "Start"
    # What segments is as before; what trainings start from has the encoder, and does not start from it by itself.
    assert offered(opened.ui.modelSelector) == segmenting
    assert [*before[:-1], "Encoder: Hippocampus (sample) encoder", before[-1]] == offered(
        fineTune.ui.parentSelector
    )
    assert fineTune.ui.parentSelector.currentText == before[0]
    opened.ui.fineTuneSection.collapsed = True
    ui(opened).resultButton.click()
    assert not opened.ui.fineTuneSection.collapsed
    assert fineTune.ui.parentSelector.currentText == "Encoder: Hippocampus (sample) encoder"
    assert not fineTune.ui.networkSelector.visible
    assert not fineTune.ui.keepSelector.visible
    command = shlex.split(fineTune.ui.commandEdit.text)
    assert command[1:6] == [
        *("train", "--data", str(SAMPLE), "--init-from", "hippocampus-sample-encoder@1.0.0"),
    ]
    assert not {"--network", "-m", "--keep"} & set(command)


def test_a_second_encoder_gets_an_id_of_its_own(opened: Any, own_home: Path) -> None:
    cards = [pretrained(opened), pretrained(opened)]
    assert [card.id for card in cards] == ["hippocampus-sample-encoder", "hippocampus-sample-encoder-2"]
    assert len(list((own_home / "models").iterdir())) == 2
    listed = offered(opened.learn.fineTune.ui.parentSelector)
    assert len(set(listed)) == len(listed)


def test_an_encoder_for_other_images_is_refused_in_a_sentence(opened: Any) -> None:
    card = pretrained(opened)
    other = dataclasses.replace(card, channels=("T1", "T2"), modalities=("MR", "MR"))
    opened.learn.context.encoders = lambda: [other, dataclasses.replace(card, id="x", problem="Broken.")]
    fineTune = opened.learn.fineTune
    fineTune.refresh()
    assert sum(title.startswith("Encoder") for title in offered(fineTune.ui.parentSelector)) == 1
    choose(fineTune.ui.parentSelector, f"{card.id}@{card.version}")
    assert not fineTune.ui.startButton.enabled
    assert "takes 2 image(s)" in text(fineTune.ui.trainingStatusLabel)


def test_pause_and_resume(opened: Any) -> None:
    from harness.learning import waitForSteps
    from harness.panel import waitUntil

    start(opened)
    ui(opened).pauseButton.click()
    assert waitUntil(lambda: "Paused" in text(ui(opened).trainingStatusLabel))
    rests = part(opened).job.losses.rows[-1][0]
    ui(opened).pauseButton.click()
    waitForSteps(part(opened), rests + 5)


def test_it_goes_on_without_slicer_is_found_again_and_taken_up_after_a_crash(
    session: Callable[..., Any], trainer: Any
) -> None:
    from harness.learning import commandOf, killTrainer, waitForSteps

    panel = session()
    panel.ui.pretrainSection.collapsed = False
    start(panel)
    folder = part(panel).job.folder
    panel = session()
    assert part(panel).job.folder == folder
    assert not panel.ui.pretrainSection.collapsed  # nobody has to look for it
    assert panel.learn.fineTune.job is None
    waitForSteps(part(panel), 20)
    killTrainer(part(panel).job)
    waitForEnd(panel)
    assert "interrupted" in text(ui(panel).verdictLabel)
    trainer(steps=40)
    ui(panel).pauseButton.click()
    assert "--resume" in commandOf(folder)
    waitForEnd(panel)
    assert "ready" in text(ui(panel).verdictLabel)
    assert part(session()).job is None  # its end was seen


def test_a_failure_is_told(opened: Any, trainer: Any) -> None:
    from harness.panel import waitUntil

    trainer(error="All scans are constant.")
    ui(opened).startButton.click()
    assert waitUntil(lambda: "All scans are constant." in text(ui(opened).verdictLabel))
    assert not ui(opened).resultButton.visible
    assert ui(opened).startButton.text == "Start"


def test_a_fine_tuning_beside_it_is_asked_about(opened: Any) -> None:
    from harness import dialogs

    start(opened)
    dialogs.answers.append(False)
    opened.learn.fineTune.ui.startButton.click()
    assert "Pre-train Hippocampus (sample) encoder" in dialogs.texts("question")[-1]
    assert opened.learn.fineTune.job is None


def test_an_encoder_that_lies_in_the_library_is_offered_from_the_start(
    own_home: Path, load_module: Callable[[Path], Any]
) -> None:
    from harness.learning import sampleStore, useStore
    from harness.panel import MODULE
    from medcontext.cards import bundled_models

    folder = own_home / "models" / "mine"
    folder.mkdir(parents=True)
    card = json.loads((bundled_models() / "hippocampus" / "model.json").read_text(encoding="utf-8"))
    card |= {"id": "mine", "title": "Mine", "kind": "encoder", "labels": []}
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
    (folder / card["weights"][0]["file"]).touch()
    panel = load_module(MODULE)
    useStore(panel, sampleStore())
    assert "Encoder: Mine" in offered(panel.learn.fineTune.ui.parentSelector)
    assert "Mine" not in offered(panel.ui.modelSelector)
    assert panel.learn.fineTune.options.parent.id == "hippocampus"
