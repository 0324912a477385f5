"""The extension's files say the same in three places, and only what is true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[4]
SCHEMA = "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.2.json#"
FIELDS: dict[str, type] = {
    "$schema": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "category": str,
    "dicom_support_rule": str,
    "enabled": bool,
    "scm_revision": str,
    "scm_type": str,
    "scm_url": str,
    "tier": int,
}
"""Every field that version 1.0.2 of the catalogue's schema knows; it allows no other."""

FROM_CMAKE = ("homepage", "category", "contributors", "description", "iconurl", "screenshoturls", "status")
FROM_CMAKE += ("enabled", "tier", "depends", "build_subdirectory")


def cmake_settings(path: Path) -> dict[str, str]:
    """``set(NAME value)`` of a CMake file; the value as one text."""
    text = re.sub(r"^\s*#.*$", "", path.read_text(encoding="utf-8"), flags=re.M)
    return {
        name: value.strip() for name, value in re.findall(r"^set\((\w+)\s+(.*?)\)$", text, flags=re.M | re.S)
    }


def extension(name: str) -> str:
    """A setting of the root CMakeLists.txt without its quotes."""
    return cmake_settings(REPOSITORY / "CMakeLists.txt")[f"EXTENSION_{name.upper()}"].strip('"')


def s4ext() -> dict[str, str]:
    lines = (REPOSITORY / "MedContext.s4ext").read_text(encoding="utf-8").splitlines()
    entries = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    assert len({key for key, _, _ in entries}) == len(entries)
    return {key: value for key, _, value in entries}


def index_entry() -> dict[str, Any]:
    return json.loads((REPOSITORY / "docs" / "MedContext.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("field", FROM_CMAKE)
def test_the_description_file_equals_the_cmake_metadata(field: str) -> None:
    assert s4ext()[field] == extension(field)


def test_the_description_file_has_no_other_fields() -> None:
    assert set(s4ext()) == {*FROM_CMAKE, "scm", "scmurl", "scmrevision"}


def test_the_index_entry_follows_the_schema() -> None:
    entry = index_entry()
    assert {key: type(value) for key, value in entry.items()} == FIELDS
    assert entry["$schema"] == SCHEMA
    assert entry["scm_type"] in ("git", "local")
    assert entry["tier"] in (1, 3, 5)
    assert all(isinstance(name, str) for name in entry["build_dependencies"])
    assert entry["scm_url"].startswith("https://")


def test_the_index_entry_says_what_the_extension_says() -> None:
    entry, described = index_entry(), s4ext()
    assert entry["category"] == described["category"] == "Segmentation"
    assert entry["build_dependencies"] == described["depends"].split() == ["PyTorch"]
    assert (entry["scm_url"], entry["scm_revision"]) == (described["scmurl"], described["scmrevision"])
    assert (str(entry["tier"]), entry["build_subdirectory"]) == (
        described["tier"],
        described["build_subdirectory"],
    )
    assert entry["enabled"] is (described["enabled"] == "1")


def test_the_support_rule_is_an_expression_on_the_modality() -> None:
    rule = index_entry()["dicom_support_rule"]
    assert re.fullmatch(r"Modality == '[A-Z]{2}'( or Modality == '[A-Z]{2}')*", rule)


def test_the_index_entry_has_unix_line_ends() -> None:
    assert b"\r" not in (REPOSITORY / "docs" / "MedContext.json").read_bytes()


def test_names_follow_the_rules_of_the_index() -> None:
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    (name,) = re.findall(r"^project\((\w+)\)", text, flags=re.M)
    assert name == "MedContext"
    assert not name.startswith("Slicer")
    assert extension("homepage").rpartition("/")[2] == f"Slicer{name}"
    assert s4ext()["scmurl"] == extension("homepage") + ".git"


@pytest.mark.parametrize("name", ["ICONURL", "SCREENSHOTURLS"])
def test_addresses_of_pictures_are_one_quoted_string_and_lead_to_files(name: str) -> None:
    value = cmake_settings(REPOSITORY / "CMakeLists.txt")[f"EXTENSION_{name}"]
    assert re.fullmatch(r'"[^"\n]+"', value)
    root = extension("homepage").replace("github.com", "raw.githubusercontent.com") + "/main/"
    for url in value.strip('"').split():
        assert url.startswith(root)
        file = REPOSITORY / url.removeprefix(root)
        assert file.suffix == ".png"
        assert file.read_bytes().startswith(b"\x89PNG")


def test_the_icon_has_the_size_that_the_catalogue_shows() -> None:
    icon = REPOSITORY / "MedContextSegment/Resources/Icons/MedContextSegment.png"
    header = icon.read_bytes()[16:24]
    assert (int.from_bytes(header[:4]), int.from_bytes(header[4:])) == (128, 128)


def test_slicer_packs_our_readme_and_licence() -> None:
    settings = cmake_settings(REPOSITORY / "CMakeLists.txt")
    for name in ("README", "LICENSE"):
        path = (
            settings[f"EXTENSION_{name}_FILE"]
            .strip('"')
            .replace("${CMAKE_CURRENT_SOURCE_DIR}", str(REPOSITORY))
        )
        assert Path(path).is_file()
    assert (REPOSITORY / "LICENSE.txt").read_text(encoding="utf-8").strip().startswith("Apache License")


def test_the_order_that_slicers_build_needs() -> None:
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    steps = [
        "find_package(Slicer REQUIRED)",
        "include(${Slicer_USE_FILE})",
        "add_subdirectory(Training)",
        "add_subdirectory(MedContextSegment)",
        "## NEXT_MODULE",
        "include(${Slicer_EXTENSION_GENERATE_CONFIG})",
        "include(${Slicer_EXTENSION_CPACK})",
    ]
    places = [text.index(step) for step in steps]
    assert places == sorted(places)
