"""A small terminology of our own, in the JSON format that Slicer's Terminologies module reads.

Slicer ships complete lists; slicer-core ships none, and its logic wants three files with these names.
The context names are those of Slicer, because modules look them up by name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCHEMA = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/{}-context-schema.json#"
SIDES = [("24028007", "Right"), ("7771000", "Left")]


def _code(value: str, meaning: str) -> dict[str, Any]:
    return {"CodingSchemeDesignator": "SCT", "CodeValue": value, "CodeMeaning": meaning}


def _type(
    value: str, meaning: str, color: tuple[int, int, int], label: str, sided: bool = False
) -> dict[str, Any]:
    entry = {**_code(value, meaning), "recommendedDisplayRGBValue": list(color), "3dSlicerLabel": label}
    if sided:
        entry["Modifier"] = [
            {
                **_code(*side),
                "recommendedDisplayRGBValue": list(color),
                "3dSlicerLabel": f"{side[1].lower()} {label}",
            }
            for side in SIDES
        ]
    return entry


def _category(value: str, meaning: str, types: list[dict[str, Any]]) -> dict[str, Any]:
    return {**_code(value, meaning), "showAnatomy": True, "Type": types}


def _segment_context(name: str) -> dict[str, Any]:
    categories = [
        _category("85756007", "Tissue", [_type("85756007", "Tissue", (128, 174, 128), "tissue")]),
        _category(
            "123037004",
            "Anatomical Structure",
            [
                _type("12738006", "Brain", (250, 250, 225), "brain"),
                _type("10200004", "Liver", (221, 130, 101), "liver"),
                _type("64033007", "Kidney", (185, 102, 83), "kidney", sided=True),
                _type("78961009", "Spleen", (157, 108, 162), "spleen"),
            ],
        ),
        _category(
            "49755003",
            "Morphologically Altered Structure",
            [_type("4147007", "Mass", (144, 238, 144), "mass")],
        ),
    ]
    return {
        "SegmentationCategoryTypeContextName": name,
        "@schema": SCHEMA.format("segment"),
        "SegmentationCodes": {"Category": categories},
    }


def _region_context(name: str) -> dict[str, Any]:
    regions = [
        _code("69536005", "Head"),
        {**_code("64033007", "Kidney"), "Modifier": [_code(*side) for side in SIDES]},
    ]
    return {
        "AnatomicContextName": name,
        "@schema": SCHEMA.format("anatomic"),
        "AnatomicCodes": {"AnatomicRegion": regions},
    }


CONTEXTS = {
    "SegmentationCategoryTypeModifier-SlicerGeneralAnatomy": _segment_context(
        "Segmentation category and type - 3D Slicer General Anatomy list"
    ),
    "SegmentationCategoryTypeModifier-DICOM-Master": _segment_context(
        "Segmentation category and type - DICOM master list"
    ),
    "AnatomicRegionAndModifier-DICOM-Master": _region_context("Anatomic codes - DICOM master list"),
}


def write_terminologies(folder: Path) -> None:
    """Write the three files into `folder` (made when missing)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, context in CONTEXTS.items():
        (folder / f"{name}.term.json").write_text(json.dumps(context, indent=1), encoding="utf-8")
