"""*Fine-tune* in the panel: what it says, starts, shows and finds again. The trainer is a small one, in real jobs."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer")

CURVE_NODES = (
    "vtkMRMLPlotChartNode",
    "vtkMRMLPlotViewNode",
    "vtkMRMLPlotSeriesNode",
    "vtkMRMLTableNode",
)


def part(panel: Any) -> Any:
    return panel.learn.fineTune


def ui(panel: Any) -> Any:
    return panel.learn.fineTune.ui


def status(panel: Any) -> str:
    return str(ui(panel).trainingStatusLabel.text).replace("\u200b", "")


def verdict(panel: Any) -> str:
    return str(ui(panel).verdictLabel.text).replace("\u200b", "")


def choose(combo: Any, data: str) -> None:
    index = combo.findData(data)
    assert index >= 0, data
    combo.setCurrentIndex(index)


def start(panel: Any) -> None:
    from harness.learning import waitForSteps
    from harness.panel import waitUntil

    assert ui(panel).startButton.enabled, status(panel)
    ui(panel).startButton.click()
    waitForSteps(part(panel), 6)
    assert waitUntil(lambda: part(panel).view.curve.curve.whole and "left" in status(panel), 30), status(
        panel
    )


def waitForEnd(panel: Any) -> None:
    from harness.panel import waitUntil

    job = part(panel).job
    assert waitUntil(lambda: not job.active and job.caughtUp and not part(panel)._timer.active), status(panel)


def count(kind: str) -> int:
    return len(slicer.util.getNodesByClass(kind))


def test_start_says_what_it_waits_for(panel: Any) -> None:
    from harness.learning import sampleStore, useStore

    store = sampleStore()
    cards = panel.learn.context.models()
    two = dataclasses.replace(cards[0], id="two", title="Two", channels=("a", "b"), modalities=("MR", "MR"))
    panel.learn.context.models = lambda: [*cards, two]
    unannotated = dataclasses.replace(
        store, cases=tuple(case for case in store.cases if case.kind != "annotated")
    )
    for shown, words in (
        (None, "case store"),
        (dataclasses.replace(store, problem="dataset.json cannot be read."), "cannot be read"),
        (unannotated, "no annotated case"),
    ):
        useStore(panel, shown)
        assert not ui(panel).startButton.enabled
        assert words in status(panel)
        assert words in ui(panel).startButton.toolTip
        assert not ui(panel).commandEdit.visible
    useStore(panel, store)
    assert ui(panel).startButton.enabled
    assert status(panel) == ""
    choose(ui(panel).parentSelector, "two@" + two.version)
    assert not ui(panel).startButton.enabled
    assert "'Two' takes 2" in status(panel)
    choose(ui(panel).parentSelector, "from scratch")
    assert ui(panel).startButton.enabled
    ui(panel).noLearntLabelsButton.click()
    assert "label" in status(panel)


def test_it_starts_from_the_chosen_model_where_that_takes_such_cases(panel: Any) -> None:
    from harness.learning import sampleStore, useStore

    cards = panel.learn.context.models()
    two = dataclasses.replace(cards[0], id="a", title="Two", channels=("a", "b"), modalities=("MR", "MR"))
    panel.learn.context.models = lambda: [two, *cards]
    panel.learn.context.chosenModel = lambda: two
    useStore(panel, sampleStore())
    assert ui(panel).parentSelector.currentText == cards[0].title
    panel.learn.context.chosenModel = lambda: cards[0]
    part(panel).refresh()
    assert part(panel).options.parent == cards[0]
    panel.learn.context.models = lambda: [two]
    part(panel).refresh()
    assert part(panel).options.parent is None
    assert ui(panel).networkSelector.visible
    assert not ui(panel).keepSelector.visible


def test_labels_to_keep_are_asked_for_where_there_are_others(panel: Any) -> None:
    from harness.learning import sampleStore, useStore
    from medcontext.labels import LabelSet

    useStore(panel, sampleStore())
    assert not ui(panel).keepSelector.visible
    names = LabelSet.from_names({1: "anterior", 2: "Amygdala"})
    useStore(panel, dataclasses.replace(sampleStore(), labels=names))
    assert ui(panel).keepSelector.visible
    assert "Posterior" in ui(panel).keepSelector.toolTip
    assert "Anterior" not in ui(panel).keepSelector.toolTip


def test_the_choices_become_the_command(panel: Any, own_home: Path) -> None:
    from harness.learning import SAMPLE, sampleStore, useStore
    from medcontext.labels import LabelSet

    names = LabelSet.from_names({1: "Hippocampus", 2: "Posterior"})
    useStore(panel, dataclasses.replace(sampleStore(), labels=names))
    choose(ui(panel).budgetSelector, "5")
    words = shlex.split(ui(panel).commandEdit.text)
    card = part(panel).options.parent
    assert words[0] == "medcontext"
    assert words[1:6] == ["finetune", "--data", str(SAMPLE), "-m", f"{card.id}@{card.version}"]
    assert words[6] == "-o"
    assert Path(words[7]) == own_home / "models" / "hippocampus-sample"
    assert words[8:] == ["--minutes", "5"]
    ui(panel).learntLabelsList.item(0).setCheckState(_qt().Qt.Unchecked)
    assert "Anterior" in ui(panel).keepSelector.toolTip
    choose(ui(panel).keepSelector, "none")
    ui(panel).leaveOneOutCheckBox.checked = True
    annotated = sum(case.kind == "annotated" for case in sampleStore().cases)
    assert f"{annotated} more trainings" in ui(panel).leaveOneOutTimeLabel.text
    assert f"{5 * annotated} minutes" in ui(panel).leaveOneOutTimeLabel.text
    panel.settings.device = "cpu"
    part(panel).update()
    words = shlex.split(ui(panel).commandEdit.text)
    assert words[10:] == ["--labels", "Posterior", "--keep", "none", "--leave-one-out", "--device", "cpu"]
    choose(ui(panel).budgetSelector, "0")
    assert not ui(panel).leaveOneOutCheckBox.enabled
    choose(ui(panel).parentSelector, "from scratch")
    choose(ui(panel).networkSelector, "segresnet")
    words = shlex.split(ui(panel).commandEdit.text)
    assert words[1] == "train"
    assert words[4:8] == ["--network", "segresnet", "--size", "small"]
    assert "--until-stopped" in words
    assert "--keep" not in words
    assert "--leave-one-out" not in words
    ui(panel).copyCommandButton.click()
    assert _qt().QApplication.clipboard().text() == ui(panel).commandEdit.text


def test_the_time_is_remembered(panel: Any, load_module: Callable[[Path], Any]) -> None:
    from harness.learning import sampleStore, useStore
    from harness.panel import MODULE

    useStore(panel, sampleStore())
    choose(ui(panel).budgetSelector, "60")
    panel.settings.trainingMinutes = panel.settings.trainingMinutes
    other = load_module(MODULE)
    useStore(other, sampleStore())
    assert other.learn.fineTune.options.budget.minutes == 60
    other.settings.trainingMinutes = "2.5"
    other.learn.fineTune.refresh()
    assert other.learn.fineTune.options.budget.minutes == 2.5
    other.settings.trainingMinutes = "soon"
    other.learn.fineTune.refresh()
    assert other.learn.fineTune.options.budget.minutes == 15


def test_a_training_runs_as_the_job_that_was_shown(panel_with_cases: Any, own_home: Path) -> None:
    from harness.learning import commandOf, jobFolders
    from harness.panel import waitUntil

    panel = panel_with_cases
    shown = shlex.split(ui(panel).commandEdit.text)
    start(panel)
    (path,) = jobFolders(own_home)
    command = commandOf(path.parent)
    assert command[1:3] == ["-m", "medcontext"]
    assert command[3:-1] == shown[1:]
    assert command[-1] == "--json"
    assert shlex.split(ui(panel).commandEdit.text) == shown
    assert ui(panel).startButton.text == "Stop and keep best"
    assert not ui(panel).choicesArea.visible
    assert "left" in status(panel)
    assert ui(panel).learningBar.visible
    assert waitUntil(lambda: ui(panel).previewLabel.visible and ui(panel).learningBar.value > 0)
    assert ui(panel).previewLabel.pixmap.width() <= panel.parent.width


def test_the_curve_is_one_hidden_chart_that_grows(panel_with_cases: Any) -> None:
    from harness.learning import waitForSteps

    panel = panel_with_cases
    start(panel)
    chart = part(panel).view.curve.curve.chart
    assert chart.GetHideFromEditors()
    names = [chart.GetNthPlotSeriesNode(n).GetName() for n in range(chart.GetNumberOfPlotSeriesNodes())]
    assert names[:2] == ["Loss: supervised", "Loss: consistency"]
    waitForSteps(part(panel), 30)
    names = [chart.GetNthPlotSeriesNode(n).GetName() for n in range(chart.GetNumberOfPlotSeriesNodes())]
    assert names[2:] == ["Dice, held out: Anterior", "Dice, held out: Posterior"]
    table = chart.GetNthPlotSeriesNode(0).GetTableNode().GetTable()
    assert table.GetNumberOfRows() >= 30
    before = {kind: count(kind) for kind in CURVE_NODES}
    assert all(
        not node.GetSaveWithScene() for kind in CURVE_NODES for node in slicer.util.getNodesByClass(kind)
    )
    ui(panel).startButton.click()
    waitForEnd(panel)
    start(panel)
    waitForSteps(part(panel), 10)
    assert {kind: count(kind) for kind in CURVE_NODES} == before
    assert before["vtkMRMLPlotChartNode"] == before["vtkMRMLPlotViewNode"] == 1
    assert part(panel).view.curve.curve.chart.GetNthPlotSeriesNode(0).GetTableNode().GetTable() is not None


def test_the_curve_outlives_the_scene_and_goes_with_the_panel(panel_with_cases: Any) -> None:
    from harness import slicer_qt
    from harness.learning import waitForSteps
    from harness.panel import settle

    panel = panel_with_cases
    start(panel)
    slicer.mrmlScene.Clear(0)
    settle()
    waitForSteps(part(panel), 20)
    assert count("vtkMRMLPlotChartNode") == 1
    assert part(panel).view.curve.curve.whole
    plot = part(panel).view.curve._plot
    assert plot.mrmlPlotViewNode() is part(panel).view.curve.curve.view
    slicer_qt.leave(panel)
    panel.cleanup()
    assert [count(kind) for kind in CURVE_NODES] == [0, 0, 0, 0]


def test_pause_and_resume(panel_with_cases: Any) -> None:
    from harness.learning import waitForSteps
    from harness.panel import waitUntil

    panel = panel_with_cases
    start(panel)
    assert ui(panel).pauseButton.text == "Pause"
    ui(panel).pauseButton.click()
    assert waitUntil(lambda: part(panel).job.state == "paused" and "Paused" in status(panel))
    assert ui(panel).pauseButton.text == "Resume"
    rests = part(panel).job.losses.rows[-1][0]
    ui(panel).pauseButton.click()
    waitForSteps(part(panel), rests + 5)
    assert waitUntil(lambda: ui(panel).pauseButton.text == "Pause")


@pytest.mark.parametrize("word", ["better", "undecided", "too_few"])
def test_the_new_model_is_chosen_and_the_way_back_is_one_click(
    panel_with_cases: Any, trainer: Any, word: str
) -> None:
    panel = panel_with_cases
    trainer(word=word)
    start(panel)
    assert ui(panel).startButton.text == "Stop and keep best"
    ui(panel).startButton.click()
    assert not ui(panel).startButton.enabled
    assert "keeping the best" in status(panel)
    waitForEnd(panel)
    assert "0.91 against 0.88" in verdict(panel)
    assert "ready" in verdict(panel)
    assert ui(panel).comparisonLabel.visible
    assert not ui(panel).previewLabel.visible
    child = panel.learn.context.chosenModel()
    assert child.id.startswith("hippocampus")
    assert child.title.startswith("Child")
    parent = next(card for card in panel.learn.context.models() if card.id == "hippocampus")
    assert ui(panel).resultButton.text.startswith("Back to 'Hippocampus")
    assert ui(panel).resultButton.toolTip == parent.title
    ui(panel).resultButton.click()
    assert panel.learn.context.chosenModel().id == "hippocampus"
    assert ui(panel).resultButton.text == f"Use '{child.title}'"
    ui(panel).resultButton.click()
    assert panel.learn.context.chosenModel() == child
    assert ui(panel).startButton.text == "Start"
    assert ui(panel).startButton.enabled


def test_the_way_back_leads_to_the_parent_itself_and_not_to_one_of_its_name(
    panel_with_cases: Any, own_home: Path
) -> None:
    import json
    import shutil

    panel = panel_with_cases
    parent = panel.learn.context.chosenModel()
    start(panel)
    other = own_home / "models" / "other"
    shutil.copytree(parent.folder, other)
    card = json.loads((other / "model.json").read_text(encoding="utf-8"))
    card |= {"version": "99.0.0", "title": "Another one"}
    card["weights"][0]["sha256"] = "0" * 64
    (other / "model.json").write_text(json.dumps(card), encoding="utf-8")
    ui(panel).startButton.click()
    waitForEnd(panel)
    assert "Another one" in [card.title for card in panel.learn.context.models()]
    assert ui(panel).resultButton.toolTip == parent.title
    ui(panel).resultButton.click()
    assert panel.learn.context.chosenModel() == parent


def test_without_the_parent_there_is_no_way_back(panel_with_cases: Any) -> None:
    panel = panel_with_cases
    start(panel)
    models = panel.learn.context.models
    panel.learn.context.models = lambda: [
        dataclasses.replace(card, sha256="0" * 64) if card.id == "hippocampus" else card for card in models()
    ]
    ui(panel).startButton.click()
    waitForEnd(panel)
    assert panel.learn.context.chosenModel().title.startswith("Child")
    assert not ui(panel).resultButton.visible


def test_a_worse_model_is_kept_but_not_chosen(panel_with_cases: Any, trainer: Any, own_home: Path) -> None:
    panel = panel_with_cases
    trainer(word="worse", steps=60)
    start(panel)
    waitForEnd(panel)
    assert "Verdict: worse" in verdict(panel)
    assert "kept, and not selected" in verdict(panel)
    assert panel.learn.context.chosenModel().id == "hippocampus"
    (kept,) = (own_home / "models").iterdir()
    assert panel.ui.modelSelector.findText(f"Child {kept.name}") >= 0
    assert ui(panel).resultButton.text == f"Use 'Child {kept.name}'"
    ui(panel).resultButton.click()
    assert panel.learn.context.chosenModel().id == kept.name


def test_each_training_makes_a_model_of_its_own(panel_with_cases: Any, trainer: Any, own_home: Path) -> None:
    panel = panel_with_cases
    trainer(steps=60)
    for _round in range(2):
        start(panel)
        waitForEnd(panel)
    assert len(list((own_home / "models").iterdir())) == 2
    assert len({card.id for card in panel.learn.context.models()}) == 3


def test_closing_slicer_ends_nothing_and_reopening_finds_it(session: Callable[[], Any]) -> None:
    from harness.learning import waitForSteps

    panel = session()
    start(panel)
    folder = part(panel).job.folder
    panel = session()
    assert part(panel).job.folder == folder
    assert ui(panel).startButton.text == "Stop and keep best"
    waitForSteps(part(panel), 20)
    assert part(panel).job.losses.rows[0][0] == 1
    ui(panel).startButton.click()
    waitForEnd(panel)
    assert "ready" in verdict(panel)


def test_what_ended_while_slicer_was_closed_is_shown_once(session: Callable[..., Any], trainer: Any) -> None:
    from harness.panel import waitUntil
    from medcontext import jobs

    trainer(steps=150)
    panel = session()
    start(panel)
    job = part(panel).job
    session(opening=False)
    assert waitUntil(lambda: not jobs.read(job.folder).active)
    panel = session()
    waitForEnd(panel)
    assert "0.91 against 0.88" in verdict(panel)
    assert panel.learn.context.chosenModel().title.startswith("Child")
    panel = session()
    assert part(panel).job is None
    assert verdict(panel) == ""
    assert not ui(panel).dismissButton.visible


@pytest.mark.parametrize("back", [False, True])
def test_an_older_training_that_is_shown_later_does_not_replace_the_model(
    session: Callable[..., Any], trainer: Any, back: bool
) -> None:
    from harness import dialogs
    from harness.panel import waitUntil
    from medcontext import jobs

    trainer(steps=150)
    panel = session()
    start(panel)
    older = part(panel).job.folder
    ui(panel).dismissButton.click()
    assert waitUntil(lambda: not jobs.read(older).active)
    dialogs.answers.append(True)
    start(panel)
    newer = part(panel).job.folder
    session(opening=False)
    assert waitUntil(lambda: not jobs.read(newer).active)
    panel = session()
    waitForEnd(panel)
    assert part(panel).job.folder == newer
    if back:
        ui(panel).resultButton.click()
    chosen = panel.learn.context.chosenModel()
    assert (chosen.id == "hippocampus") == back
    ui(panel).dismissButton.click()
    assert part(panel).job.folder == older
    waitForEnd(panel)
    assert "ready" in verdict(panel)
    assert panel.learn.context.chosenModel() == chosen
    ui(panel).resultButton.click()
    assert panel.learn.context.chosenModel() == part(panel).job.result.card


def test_a_model_that_a_person_chose_is_not_replaced_by_what_ended_before(
    session: Callable[..., Any], trainer: Any
) -> None:
    from harness.panel import waitUntil
    from medcontext import jobs

    trainer(steps=150)
    panel = session()
    start(panel)
    job = part(panel).job
    session(opening=False)
    assert waitUntil(lambda: not jobs.read(job.folder).active)
    panel = session()
    chosen = panel.learn.context.chosenModel()
    panel.ui.modelSelector.activated.emit(panel.ui.modelSelector.currentIndex)
    waitForEnd(panel)
    assert "ready" in verdict(panel)
    assert panel.learn.context.chosenModel() == chosen


def test_two_slicers_follow_the_same_training(session: Callable[..., Any]) -> None:
    panels = [session(), session(closing=False)]
    start(panels[0])
    part(panels[1]).refresh()
    assert part(panels[1]).job.folder == part(panels[0]).job.folder
    ui(panels[1]).startButton.click()
    for panel in panels:
        waitForEnd(panel)
        assert "ready" in verdict(panel)


def test_a_killed_training_is_taken_up_again(panel_with_cases: Any, trainer: Any) -> None:
    from harness.learning import commandOf, killTrainer, waitForSteps

    panel = panel_with_cases
    start(panel)
    job = part(panel).job
    killTrainer(job)
    waitForEnd(panel)
    assert "interrupted" in verdict(panel)
    assert "Resume" in verdict(panel)
    assert ui(panel).pauseButton.visible
    assert ui(panel).pauseButton.text == "Resume"
    trainer(steps=40)
    ui(panel).pauseButton.click()
    assert part(panel).job.folder == job.folder
    assert "--resume" in commandOf(job.folder)
    assert ui(panel).startButton.text == "Stop and keep best"
    waitForSteps(part(panel), 10)
    waitForEnd(panel)
    assert "ready" in verdict(panel)


def test_a_killed_training_waits_until_it_is_resumed_or_hidden(session: Callable[[], Any]) -> None:
    from harness.learning import killTrainer

    panel = session()
    start(panel)
    killTrainer(part(panel).job)
    waitForEnd(panel)
    for _start in range(2):
        panel = session()
        waitForEnd(panel)
        assert ui(panel).pauseButton.text == "Resume"
    ui(panel).dismissButton.click()
    assert part(panel).job is None
    assert part(session()).job is None


def test_a_training_that_cannot_be_taken_up_is_not_offered_for_ever(
    session: Callable[[], Any], trainer: Any
) -> None:
    from harness.learning import killTrainer
    from harness.panel import waitUntil

    panel = session()
    start(panel)
    job = part(panel).job
    killTrainer(job)
    waitForEnd(panel)
    trainer(error="The case store is gone.")
    ui(panel).pauseButton.click()
    assert waitUntil(lambda: "The case store is gone." in verdict(panel))
    assert str(job.task.output) in verdict(panel)
    assert (job.task.output / "training").is_dir()
    assert not ui(panel).pauseButton.visible
    assert ui(panel).dismissButton.visible
    assert ui(panel).startButton.text == "Start"
    assert part(session()).job is None


def test_a_failed_training_says_why(panel_with_cases: Any, trainer: Any) -> None:
    from harness.panel import waitUntil

    panel = panel_with_cases
    trainer(error="The label 'x' is in no case.")
    ui(panel).startButton.click()
    assert waitUntil(lambda: "failed" in verdict(panel))
    assert "The label 'x' is in no case." in verdict(panel)
    assert panel.learn.context.chosenModel().id == "hippocampus"
    assert ui(panel).startButton.text == "Start"


def test_two_trainings_at_once_only_when_confirmed(panel_with_cases: Any, own_home: Path) -> None:
    from harness import dialogs
    from harness.learning import jobFolders
    from harness.panel import waitUntil

    panel = panel_with_cases
    start(panel)
    first = part(panel).job
    ui(panel).dismissButton.click()
    assert part(panel).job is None
    assert first.job.active
    dialogs.answers.append(False)
    ui(panel).startButton.click()
    assert "running already" in dialogs.texts("question")[-1]
    assert len(jobFolders(own_home)) == 1
    dialogs.answers.append(True)
    ui(panel).startButton.click()
    assert len(jobFolders(own_home)) == 2
    assert part(panel).job.folder != first.folder
    assert waitUntil(lambda: part(panel).job.active)


def test_nothing_starts_without_the_packages(panel_with_cases: Any, own_home: Path) -> None:
    from harness.learning import jobFolders

    panel = panel_with_cases
    asked: list[str] = []
    part(panel)._install = _Install(asked)
    ui(panel).startButton.click()
    assert asked == ["train"]
    assert jobFolders(own_home) == []
    assert ui(panel).startButton.text == "Start"


def test_the_worker_gives_its_memory_back(panel_with_cases: Any) -> None:
    panel = panel_with_cases
    sent: list[str] = []
    part(panel)._logic = _Logic(_Worker(sent))
    start(panel)
    assert sent == ["release"]


def test_a_double_click_does_not_stop_what_it_started(panel_with_cases: Any) -> None:
    from harness.learning import waitForSteps

    panel = panel_with_cases
    part(panel).ignoredSeconds = 60.0
    ui(panel).startButton.click()
    ui(panel).startButton.click()
    waitForSteps(part(panel), 5)
    assert part(panel).job.job.requested is None


def test_a_full_or_read_only_home_is_told(
    panel_with_cases: Any, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness import dialogs
    from medcontext import jobs

    panel = panel_with_cases

    def refuse(_title: str) -> Path:
        raise PermissionError(13, "Permission denied", str(own_home / "jobs"))

    monkeypatch.setattr(jobs, "new_folder", refuse)
    ui(panel).startButton.click()
    assert "Permission denied" in dialogs.texts("error")[-1]
    assert ui(panel).startButton.enabled
    assert ui(panel).startButton.text == "Start"


def test_every_network_of_the_package_can_be_chosen(panel: Any) -> None:
    from medcontext import networks

    selector = ui(panel).networkSelector
    assert sorted(selector.itemData(row) for row in range(selector.count)) == sorted(networks.names())


def _qt() -> Any:
    import qt

    return qt


@dataclasses.dataclass
class _Install:
    asked: list[str]

    def ensureInstalled(self, ask: bool = True, purpose: str = "segment") -> bool:  # noqa: ARG002
        self.asked.append(purpose)
        return False


@dataclasses.dataclass
class _Worker:
    sent: list[str]
    running: bool = True

    def send(self, kind: str, **_fields: Any) -> None:
        self.sent.append(kind)


@dataclasses.dataclass
class _Logic:
    worker: Any
