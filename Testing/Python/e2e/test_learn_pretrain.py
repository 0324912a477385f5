"""From scans without labels to a model, through the panel: the real commands in their own processes, on real crops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.missing import missing_for_gui

MISSING = missing_for_gui()
pytestmark = [pytest.mark.skipif(bool(MISSING), reason=MISSING), pytest.mark.slow]

MINUTES = 0.05
"""So short that the least number of steps is done, on slow and on fast machines."""
STEPS = 10
DEADLINE = 600.0
"""Generous: nothing here is about time, and a busy machine is several times slower."""


def text(label: Any) -> str:
    return str(label.text).replace("\u200b", "")


def waitForResult(part: Any) -> None:
    from harness.panel import waitUntil

    assert waitUntil(lambda: not part.job.active and not part._timer.active, DEADLINE)
    assert part.job.result is not None, text(part.ui.verdictLabel)


def test_pre_train_close_slicer_reopen_and_fine_tune_from_the_encoder(
    slicer_window: Callable[..., Any], own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.panel import waitUntil
    from harness.programs import installBrief
    from harness.runs import copySample

    installBrief(tmp_path, monkeypatch, STEPS)
    panel = slicer_window()
    panel.settings.pretrainingMinutes = panel.settings.trainingMinutes = str(MINUTES)
    panel.learn.cases.chooser.choose(copySample(tmp_path / "store", unlabelled=2, held_out=2))
    panel.learn.refresh()
    panel.ui.pretrainSection.collapsed = False
    part = panel.learn.pretrain
    assert part.ui.startButton.enabled, text(part.ui.trainingStatusLabel)
    part.ui.startButton.click()
    output = part.job.task.output
    assert waitUntil(lambda: (output / "training").exists() or not part.job.active, DEADLINE)

    panel = slicer_window()
    part = panel.learn.pretrain
    assert part.job is not None
    waitForResult(part)
    told = text(part.ui.verdictLabel)
    assert "finds the place of a crop" in told
    assert "held-out" in told
    assert "is ready" in told
    assert {"position_accuracy", "chance", "prediction_loss", "best_constant"} <= set(part.job.scores.names)
    assert {value for _step, value in part.job.scores.values("chance")} == {1 / 9}
    assert part.ui.previewLabel.visible
    encoder = part.job.result.card
    assert (encoder.kind, encoder.labels, encoder.folder) == (
        "encoder",
        (),
        own_home / "models" / output.name,
    )
    assert encoder.title not in [
        panel.ui.modelSelector.itemText(k) for k in range(panel.ui.modelSelector.count)
    ]

    part.ui.resultButton.click()
    fineTune = panel.learn.fineTune
    assert fineTune.options.parent == encoder
    fineTune.ui.startButton.click()
    assert waitUntil(lambda: fineTune.job.losses.rows or not fineTune.job.active, DEADLINE)
    fineTune.ui.startButton.click()
    waitForResult(fineTune)
    model = panel.learn.context.chosenModel()
    assert model == fineTune.job.result.card
    assert (model.parent_id, model.network) == (encoder.id, encoder.network)
    assert model.labels == ("Anterior", "Posterior")
