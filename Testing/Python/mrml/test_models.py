"""The chooser lists what can segment, and volumes find their channels by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import harness.application  # noqa: F401  makes slicer.i18n importable
from medcontext.cards import CardSummary, bundled_models, read_summary
from medcontext.errors import InputError
from MedContextSegmentLib.Run.Models import (
    encoderToolTip,
    findModel,
    listEncoders,
    listModels,
    modelKey,
    modelToolTip,
    preselect,
)


def makeModel(home: Path, folder: str, **changes: Any) -> Path:
    """A copy of the bundled model's card with changes; its weights are empty."""
    path = home / "models" / folder
    path.mkdir(parents=True)
    data = json.loads((bundled_models() / "hippocampus" / "model.json").read_text(encoding="utf-8"))
    (path / "model.json").write_text(json.dumps(data | {"id": folder} | changes), encoding="utf-8")
    (path / "weights.safetensors").write_bytes(b"")
    return path


def cardOf(*channels: tuple[str, str]) -> CardSummary:
    card = read_summary(bundled_models() / "hippocampus")
    return replace(card, channels=tuple(c[0] for c in channels), modalities=tuple(c[1] for c in channels))


def volumes(scene: Any, *names: str) -> list[Any]:
    return [scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in names]


def chosen(card: CardSummary, nodes: list[Any]) -> list[str | None]:
    return [node.GetName() if node else None for node in preselect(card, nodes)]


def test_the_bundled_model_is_listed_and_found(own_home: Path) -> None:
    (card,) = listModels()
    assert modelKey(card) == "hippocampus@1.0.0"
    assert findModel(modelKey(card)) == card
    assert not own_home.joinpath("models").exists()


def test_only_what_segments_is_listed_and_each_version_once(own_home: Path) -> None:
    makeModel(own_home, "encoder", kind="encoder")
    makeModel(own_home, "mine", id="hippocampus", title="Mine")
    makeModel(own_home, "broken", weights=[])
    cards = {modelKey(card): card for card in listModels()}
    assert sorted(cards) == ["broken@1.0.0", "hippocampus@1.0.0"]
    assert cards["hippocampus@1.0.0"].title == "Mine"
    assert cards["broken@1.0.0"].problem is not None


def test_encoders_have_a_list_of_their_own_and_say_what_they_are(own_home: Path) -> None:
    makeModel(own_home, "mine", kind="encoder", labels=[], title="Scans <2024>", method="voco")
    (card,) = listEncoders()
    assert modelKey(card) == "mine@1.0.0"
    assert modelKey(card) not in [modelKey(model) for model in listModels()]
    with pytest.raises(InputError, match="does not segment"):
        findModel("mine")
    told = encoderToolTip(card)
    assert "Scans &lt;2024&gt;" in told
    assert "without labels" in told
    assert "voco" in told
    assert "Network: dynunet" in told


def test_a_broken_copy_does_not_hide_a_whole_one(own_home: Path) -> None:
    makeModel(own_home, "mine", id="hippocampus", title="Mine", weights=[])
    (card,) = listModels()
    assert card.bundled


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("", "No model is chosen"),
        ("gone@1.0.0", "There is no model 'gone@1.0.0'"),
        ("encoder", "does not segment"),
    ],
)
def test_a_model_that_cannot_be_used_is_a_sentence(own_home: Path, model: str, said: str) -> None:
    makeModel(own_home, "encoder", kind="encoder")
    with pytest.raises(InputError, match=said):
        findModel(model)


def test_a_broken_folder_is_a_sentence(own_home: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be used: It lists no weights\."):
        findModel(str(makeModel(own_home, "broken", weights=[])))


def test_the_tooltip_says_what_to_know_and_escapes_it() -> None:
    text = modelToolTip(replace(listModels()[0], title="A <b> & c"))
    for said in (
        "A &lt;b&gt; &amp; c",
        "Anterior, Posterior",
        "MRI",
        "CC-BY-SA",
        "31 x 41 x 26 to 43 x 58 x 46",
    ):
        assert said in text


BRATS = (("FLAIR", "MRI"), ("T1w", "MRI"), ("t1gd", "MRI"), ("T2w", "MRI"))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["pat_t2w", "pat_t1gd", "pat_T1w", "pat_FLAIR"],
            ["pat_FLAIR", "pat_T1w", "pat_t1gd", "pat_t2w"],
        ),
        (
            ["3: Ax T2 FLAIR FS", "4: Ax T1 post", "2: Ax T1", "5: Ax T2"],
            ["3: Ax T2 FLAIR FS", "2: Ax T1", "4: Ax T1 post", "5: Ax T2"],
        ),
        (["BraTS-t1c", "BraTS-t1n", "BraTS-t2f", "BraTS-t2w"], ["BraTS-t2f", "BraTS-t1n", "BraTS-t1c", "BraTS-t2w"]),
        (["T1", "CT thorax", "scan"], [None, "T1", None, None]),
        ([], [None, None, None, None]),
    ],
)  # fmt: skip
def test_channels_find_their_volumes(scene: Any, names: list[str], expected: list[str | None]) -> None:
    assert chosen(cardOf(*BRATS), volumes(scene, *names)) == expected


def test_one_volume_is_used_once(scene: Any) -> None:
    card = cardOf(("T1", "MRI"), ("T1w", "MRI"))
    assert chosen(card, volumes(scene, "T1")).count("T1") == 1


@pytest.mark.parametrize(
    ("channel", "names", "expected"),
    [
        (("MRI", "MRI"), ["anything", "MRI head"], "MRI head"),
        (("MRI", "MRI"), ["anything"], "anything"),
        (("MRI", "MRI"), ["CT abdomen", "hippocampus_367"], "hippocampus_367"),
        (("CT", "CT"), ["T1 head"], None),
        (("CT", "CT"), ["T1 head", "CTA chest"], "CTA chest"),
        (("image", "unknown"), ["2: AX"], "2: AX"),
    ],
)
def test_a_single_channel_takes_what_is_not_clearly_wrong(
    scene: Any, channel: tuple[str, str], names: list[str], expected: str | None
) -> None:
    assert chosen(cardOf(channel), volumes(scene, *names)) == [expected]
