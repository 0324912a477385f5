"""What a person reads and writes of models that are to be imported: codes, what was found, what is a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medcontext.errors import InputError
from medcontext.labels import UNCODED, Code, Label, Terminology

STRUCTURE = Code("SCT", "123037004", "Anatomical Structure")
KIDNEY = Code("SCT", "64033007", "Kidney")
LEFT = Code("SCT", "7771000", "Left")
CYST = Terminology(
    Code("SCT", "49755003", "Morphologically Altered Structure"),
    Code("SCT", "367643001", "Cyst"),
    LEFT,
    KIDNEY,
)
ANSWER: dict[str, Any] = {
    "form": "nnU-Net v2",
    "kind": "segmentation",
    "model": "organs",
    "title": "Organs",
    "labels": [{"value": 1, "name": "liver", "color": [1, 2, 3]}],
    "channels": ["CT"],
    "modality": "CT",
    "spacing": [3.0, 1.5, 1.5],
    "orientation": "stored",
    "notes": ["Folds 0 and 1 are an ensemble."],
    "choices": {"configuration": ["2d", "3d_fullres"], "folds": ["0", "1"]},
    "chosen": {"configuration": ["3d_fullres"], "folds": ["0", "1"]},
    "bytes": 125_000_000,
}


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        (Terminology(STRUCTURE, KIDNEY), "64033007 Kidney"),
        (Terminology(STRUCTURE, KIDNEY, LEFT), "64033007 Kidney, Left"),
        (CYST, "367643001 Cyst, Left; 64033007 Kidney"),
        (None, ""),
    ],
)
def test_codes_are_read_as_they_are_written(terms: Terminology | None, text: str) -> None:
    from MedContextSegmentLib.Setup.CodeTexts import codeText, readCode

    assert codeText(terms) == text
    before = None if terms is None else Terminology(terms.category, STRUCTURE)
    assert readCode(text, before) == terms


def test_a_code_keeps_what_the_line_does_not_say() -> None:
    from MedContextSegmentLib.Setup.CodeTexts import codeText, readCode

    anterior = Terminology(STRUCTURE, KIDNEY, Code("SCT", "255549009", "Anterior"))
    assert readCode(codeText(anterior), anterior) == anterior
    assert readCode("5366008 Hippocampus, anterior", anterior) == Terminology(
        STRUCTURE, Code("SCT", "5366008", "Hippocampus"), anterior.modifier
    )
    found = readCode("10200004 Liver", CYST)
    assert found is not None
    assert found.category == CYST.category
    assert readCode("10200004 Liver", UNCODED) == Terminology(STRUCTURE, Code("SCT", "10200004", "Liver"))


@pytest.mark.parametrize("text", ["liver", "10200004", "64033007 Kidney, up", "64033007 Kidney; there"])
def test_what_is_no_code_is_told_in_a_sentence(text: str) -> None:
    from MedContextSegmentLib.Setup.CodeTexts import readCode

    with pytest.raises(InputError, match="is no"):
        readCode(text)


def test_what_was_found_is_said_in_a_line() -> None:
    from MedContextSegmentLib.Setup.FoundModel import FoundModel

    found = FoundModel.fromAnswer(ANSWER)
    assert found.input == "CT · 1.5 x 1.5 x 3 mm · 125 MB"
    assert found.labels == (Label(1, "liver", (1, 2, 3)),)
    several = FoundModel.fromAnswer(ANSWER | {"channels": ["T1", "FLAIR"], "modality": "MR"})
    assert several.input.startswith("T1, FLAIR (MR) · ")


def test_only_what_a_person_said_is_sent() -> None:
    from MedContextSegmentLib.Setup.FoundModel import ImportChoices

    source = Path("/models/organs")
    assert ImportChoices().request(source) == {"archive": str(source)}
    said = ImportChoices("my", "", "2d", ("1",), "RAS", (Label(1, "liver", (1, 2, 3)),))
    assert said.inspection(source) == {"archive": str(source), "configuration": "2d"}
    assert said.request(source) == {
        "archive": str(source),
        "configuration": "2d",
        "model_id": "my",
        "folds": ["1"],
        "orientation": "RAS",
        "labels": [{"value": 1, "name": "liver", "color": [1, 2, 3]}],
    }
