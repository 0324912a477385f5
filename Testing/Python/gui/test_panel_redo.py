"""Redo in the panel: by the model that made the result, and only what the result holds."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

slicer = pytest.importorskip("slicer")


@pytest.fixture
def cards() -> list[Any]:
    """The bundled model, an older version of it, and another model with other values."""
    from medcontext.cards import list_cards

    good = next(card for card in list_cards() if card.id == "hippocampus")
    good = dataclasses.replace(good, window=(1.0, 1.0, 1.0))  # finer windows are offered
    other = dataclasses.replace(
        good, id="other", title="Other", labels=("posterior", "Anterior"), label_values=(5, 9)
    )
    return [good, dataclasses.replace(good, version="0.9", title="Older"), other]


@pytest.fixture
def result(panel: Any, cards: list[Any], sample: Any) -> Any:
    """What the older version made, of which only *Posterior* was wanted; chosen as output."""
    panel.segmentPanel.models._models = panel.redoPanel._library = lambda: cards
    panel.refresh()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "result")
    segmentation = node.GetSegmentation()
    segment = segmentation.GetSegment(segmentation.AddEmptySegment("", "Posterior"))
    segment.SetTag("MedContext.Model", "hippocampus@abc")
    segment.SetTag("MedContext.Label", "2")
    node.SetAttribute("MedContext.Model", "hippocampus@abc")
    node.SetAttribute("MedContext.ModelVersion", "0.9")
    panel.ui.segmentationSelector.setCurrentNode(node)
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    panel.ui.redoRoiSelector.setCurrentNode(roi)
    panel.update()
    assert panel.segmentPanel.channels.nodes() == [sample]
    return node


def choose(panel: Any, form: str, model: str = "") -> None:
    combo = panel.ui.redoFormSelector
    assert combo.findData(form) >= 0
    combo.setCurrentIndex(combo.findData(form))
    if model:
        combo = panel.ui.redoModelSelector
        combo.setCurrentIndex(combo.findData(model))


def forms(panel: Any) -> list[str]:
    combo = panel.ui.redoFormSelector
    return [combo.itemData(index) for index in range(combo.count)]


@pytest.mark.usefixtures("result")
@pytest.mark.parametrize("form", ["finer", "context"])
def test_the_model_that_made_it_does_it_again(panel: Any, form: str) -> None:
    choose(panel, form)
    request = panel._redoRequest()
    assert request.model == "hippocampus@0.9"
    assert panel.segmentPanel.models.key == "hippocampus@1.0.0"


@pytest.mark.usefixtures("result")
def test_labels_that_were_not_wanted_do_not_come_back(panel: Any) -> None:
    choose(panel, "finer")
    assert panel._redoRequest().labels == (2,)
    choose(panel, "model", "other@1.0.0")
    request = panel._redoRequest()
    assert (request.redo.model, request.labels) == ("other@1.0.0", (5,))


def test_a_renamed_segment_is_still_that_label(panel: Any, result: Any) -> None:
    result.GetSegmentation().GetNthSegment(0).SetName("tail")
    choose(panel, "finer")
    assert panel._redoRequest().labels == (2,)
    choose(panel, "model", "other@1.0.0")
    from medcontext.errors import InputError

    with pytest.raises(InputError, match="none of the labels"):
        panel._redoRequest()


def helpText(panel: Any) -> str:
    return str(panel.ui.redoFormHelpLabel.text.replace("\u200b", ""))


@pytest.mark.usefixtures("result")
def test_a_model_that_is_gone_leaves_it_to_others(panel: Any, cards: list[Any]) -> None:
    cards[1] = dataclasses.replace(cards[1], problem="Weights are missing.")
    panel.refresh()
    assert forms(panel) == ["model"]
    assert "'hippocampus@0.9', which made this segmentation, is not" in helpText(panel)
    request = panel._redoRequest()
    assert (request.redo.model, request.labels) == ("hippocampus@1.0.0", (2,))


@pytest.mark.usefixtures("result")
def test_without_a_usable_model_there_is_a_reason(
    panel: Any, cards: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from medcontext import redo_forms

    monkeypatch.setattr(redo_forms, "OFFERED", ("finer", "context"))
    del cards[1]
    panel.refresh()
    assert forms(panel) == []
    assert not panel.ui.redoButton.enabled
    assert "'hippocampus@0.9', which made this" in panel.ui.redoStatusLabel.text


@pytest.mark.usefixtures("result")
def test_a_model_of_other_images_must_be_chosen_above(panel: Any, cards: list[Any]) -> None:
    cards[1] = dataclasses.replace(cards[1], modalities=("CT",))
    panel.refresh()
    assert forms(panel) == ["model"]
    assert "from other images: choose it above" in helpText(panel)


def test_what_no_model_made_is_done_by_the_one_above_with_its_ticked_labels(panel: Any, result: Any) -> None:
    import qt

    for name in ("MedContext.Model", "MedContext.ModelVersion"):
        result.RemoveAttribute(name)
    panel.ui.labelsList.item(1).setCheckState(qt.Qt.Unchecked)
    choose(panel, "finer")
    request = panel._redoRequest()
    assert (request.model, request.labels) == ("hippocampus@1.0.0", (1,))
    choose(panel, "model", "other@1.0.0")
    assert panel._redoRequest().labels == (9,)
