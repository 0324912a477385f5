"""Colours and codes proposed for labels: what names are known, that codes are true, that nothing said is replaced."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest
from pydicom.sr._concepts_dict import concepts

from medcontext.labels import UNCODED, Code, Label, LabelSet, Terminology, default_color
from medcontext.library.anatomy import find_structure, propose_labels

TABLE = json.loads((files("medcontext") / "resources" / "anatomy.json").read_text(encoding="utf-8"))
STRUCTURES = TABLE["structures"]
LIVER = Code("SCT", "10200004", "Liver")


@pytest.fixture(scope="module")
def dicom() -> dict[str, str]:
    """Codes of DICOM PS3.16 with all their meanings in one lower-case text."""
    meanings: dict[str, str] = {}
    sct: dict[str, dict[str, tuple[str, list[int]]]] = concepts["SCT"]  # type: ignore[assignment]
    for entry in sct.values():
        for code, (meaning, _groups) in entry.items():
            meanings[code] = f"{meanings.get(code, '')} | {meaning}".casefold()
    return meanings


def test_every_code_is_the_one_that_dicom_lists_or_names_its_source(dicom: dict[str, str]) -> None:
    for entry in STRUCTURES:
        pairs = [entry[key] for key in ("type", "modifier", "region") if key in entry]
        if entry.get("source", "DICOM") != "DICOM":
            assert entry["source"] in TABLE["sources"]
            pairs = pairs[1:]
        for code, meaning in pairs:
            assert meaning.casefold() in dicom.get(code, ""), (entry["name"], code, meaning)
    assert sum("type" in entry and "source" not in entry for entry in STRUCTURES) >= 300


def test_the_table_is_large_and_no_two_structures_share_a_name_or_a_colour() -> None:
    assert sum("type" in entry for entry in STRUCTURES) >= 400
    names = [name for entry in STRUCTURES for name in (entry["name"], *entry.get("also", ()))]
    assert len(set(names)) == len(names)
    assert len({tuple(entry["color"]) for entry in STRUCTURES}) == len(STRUCTURES)
    assert all(name == name.casefold() for name in names)
    assert all(find_structure(name) is not None for name in names)


@pytest.mark.parametrize(
    ("name", "code", "side"),
    [
        ("kidney_right", "64033007", "Right"),  # TotalSegmentator
        ("lung_middle_lobe_right", "72481006", None),
        ("lung_upper_lobe_left", "45653009", "Left"),
        ("vertebrae_T12", "23215003", None),
        ("rib_left_1", "48535007", "Left"),
        ("heart_atrium_left", "82471001", None),
        ("subclavian_artery_left", "36765005", "Left"),
        ("autochthon_left", "244849004", "Left"),
        ("Left Atrium", "82471001", None),  # Medical Segmentation Decathlon
        ("lkid", "64033007", "Left"),  # BTCV
        ("veins (portal and splenic)", "110765007", None),
        ("postcava", "64131007", None),  # AMOS
        ("Left-Cerebral-White-Matter", "68523003", "Left"),  # FreeSurfer
        ("Femur_Head_R", "2812003", "Right"),  # radiotherapy
        ("OpticNrv_L", "18234004", "Left"),
        ("head of femur L", "2812003", "Left"),
        ("L1", "66794005", None),
        ("oesophagus", "32849002", None),
    ],
)
def test_usual_spellings_are_known(name: str, code: str, side: str | None) -> None:
    found = find_structure(name)
    assert found is not None
    assert found.terminology is not None
    assert found.terminology.type.value == code
    assert (found.terminology.modifier and found.terminology.modifier.meaning) == side


@pytest.mark.parametrize("name", ["tumor of the left kidney", "Left kidney tumour", "kidney_tumor_left"])
def test_a_finding_knows_the_structure_it_is_in(name: str) -> None:
    found = find_structure(name)
    assert found is not None
    assert found.terminology is not None
    terms = found.terminology
    assert terms.category.value == "49755003"
    assert terms.type.meaning == "Neoplasm"
    assert terms.region == Code("SCT", "64033007", "Kidney")
    assert terms.modifier == Code("SCT", "7771000", "Left")


@pytest.mark.parametrize(
    "name", ["structure 1", "kidney and mass", "left", "Anterior", "", "left right kidney"]
)
def test_what_is_not_certain_is_not_known(name: str) -> None:
    assert find_structure(name) is None


def test_the_right_one_of_a_pair_is_darker() -> None:
    left, right = find_structure("left kidney"), find_structure("right kidney")
    assert left is not None
    assert right is not None
    assert all(dark < light for light, dark in zip(left.color, right.color, strict=True))


def test_labels_get_what_they_lack() -> None:
    labels = propose_labels(LabelSet.from_names({1: "liver", 2: "kidney_left", 3: "thing"}))
    liver, kidney, thing = labels
    assert [label.name for label in labels] == ["liver", "kidney_left", "thing"]
    assert liver.terminology is not None
    assert liver.terminology.type == LIVER
    assert kidney.terminology is not None
    assert kidney.terminology.modifier is not None
    assert liver.color != default_color(1)
    assert thing == Label(3, "thing", default_color(3))


def test_what_the_source_says_stays() -> None:
    said = Terminology(Code("SCT", "85756007", "Tissue"), Code("99X", "1", "my liver"))
    liver = Label(1, "liver", (1, 2, 3), said)
    assert propose_labels(LabelSet((liver,))).labels == (liver,)


def test_slicers_tissue_counts_as_not_coded() -> None:
    (liver,) = propose_labels(LabelSet((Label(1, "liver", (1, 2, 3), UNCODED),)))
    assert liver.terminology is not None
    assert liver.terminology.type == LIVER
    assert liver.color == (1, 2, 3)


def test_no_two_labels_get_the_same_colour() -> None:
    names = {1: "liver tumor", 2: "kidney tumor", 3: "tumor", 4: "liver", 5: "hepatic"}
    colors = [label.color for label in propose_labels(LabelSet.from_names(names))]
    assert len(set(colors)) == len(colors)
