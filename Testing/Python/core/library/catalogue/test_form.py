"""What a catalogue file may say, and where it may lead."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medcontext.errors import InputError
from medcontext.library.catalogue import Catalogue, CatalogueEntry, catalogue_schema, read_catalogue
from medcontext.library.import_options import labels_of

DOCS = Path(__file__).resolve().parents[5] / "docs"

Facts = Callable[..., dict[str, Any]]
Make = Callable[..., bytes]


def test_the_schema_on_the_page_is_that_of_the_program() -> None:
    assert (DOCS / "catalogue.schema.json").read_text(encoding="utf-8") == catalogue_schema()


def test_the_examples_on_the_page_are_allowed(on_disk: Callable[..., Path]) -> None:
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    labels, catalogue = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert "Hippocampus head" in [label.name for label in labels_of(json.loads(labels), "models.md")]
    (entry,) = read_catalogue(str(on_disk(catalogue.encode()))).models
    assert entry.options.orientation == "RAS"
    fields = set(re.findall(r"`(\w+)`", page[page.index("| field |") :]))
    assert set(CatalogueEntry.model_fields) - {"title"} <= fields


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sha256": "A" * 64}, "sha256"),
        ({"size": 0}, "size"),
        ({"id": "../liver"}, "id"),
        ({"version": "1/2"}, "version"),
        ({"title": "\x1b[2J"}, "title"),
        ({"licence": ""}, "licence"),
        ({"form": "pickle"}, "form"),
        ({"run": "rm -rf"}, "there is no field 'models.0.run'"),
        ({"orientation": "left"}, "orientation"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_entry_that_is_not_allowed_is_told_by_its_field(
    changes: dict[str, Any], said: str, facts: Facts, catalogue_of: Make, on_disk: Callable[..., Path]
) -> None:
    with pytest.raises(InputError, match=said):
        read_catalogue(str(on_disk(catalogue_of(facts(**changes)))))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>Not found</html>", "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", "cannot be used"),
        (b'{"schema_version": 1}', "the field 'models' is missing"),
        (b'{"schema_version": 2, "shops": []}', "is of schema 2; this program reads catalogues up to 1"),
    ],
    ids=["html", "bytes", "deep", "list", "models", "newer"],
)
def test_what_is_no_catalogue_is_refused_in_a_sentence(
    content: bytes, said: str, on_disk: Callable[..., Path]
) -> None:
    with pytest.raises(InputError, match=said):
        read_catalogue(str(on_disk(content)))


def test_a_version_is_listed_once(facts: Facts, catalogue_of: Make, on_disk: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"lists liver@1\.0\.0 more than once"):
        read_catalogue(str(on_disk(catalogue_of(facts(), facts(title="Liver again")))))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    for source in (str(tmp_path / "no.json"), (tmp_path / "no.json").as_uri(), str(tmp_path)):
        with pytest.raises(InputError, match="is no file"):
            read_catalogue(source)


@pytest.mark.parametrize(
    "source",
    ["ftp://example.org/c.json", "https://", "http://[::1", "https://example.org:99999/c.json", "data://x"],
)
def test_an_address_of_another_kind_is_told(source: str) -> None:
    with pytest.raises(InputError, match="is no address that can be opened"):
        read_catalogue(source)


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(InputError) as refused:
        read_catalogue("https://me:secret@example.org/c.json")
    assert "secret" not in str(refused.value)


def test_the_newest_version_is_found_and_older_ones_by_name(facts: Facts, catalogue_of: Make) -> None:
    entries = [facts(version=version) for version in ("1.9.0", "1.10.0", "1.10.0-rc1")]
    catalogue = Catalogue.model_validate(json.loads(catalogue_of(*entries)))
    assert catalogue.find("liver").version == "1.10.0"
    assert catalogue.find("liver@1.9.0").version == "1.9.0"


def test_a_wrong_name_gets_a_hint(facts: Facts, catalogue_of: Make) -> None:
    catalogue = Catalogue.model_validate(json.loads(catalogue_of(facts(), facts(id="spleen"))))
    for wrong, hint in (("livr", "'liver'"), ("liver@2", r"'liver@1\.0\.0'"), ("zzz", "liver, spleen")):
        with pytest.raises(InputError, match=hint):
            catalogue.find(wrong)
    empty = Catalogue.model_validate(json.loads(catalogue_of()))
    with pytest.raises(InputError, match="It lists: nothing"):
        empty.find("liver")


def test_a_catalogue_on_the_disk_may_name_files_beside_it(
    facts: Facts, catalogue_of: Make, on_disk: Callable[..., Path]
) -> None:
    path = on_disk(catalogue_of(facts(url="archives/lebér%20model.zip")))
    for source in (str(path), path.as_uri()):
        (entry,) = read_catalogue(source).models
        assert entry.url == (path.parent / "archives").as_uri() + "/lebér%20model.zip"


def test_the_import_is_told_what_the_catalogue_says(facts: Facts, catalogue_of: Make) -> None:
    said = {"configuration": "3d_lowres", "folds": ["0", "all"], "orientation": "RAS"}
    (entry,) = Catalogue.model_validate(json.loads(catalogue_of(facts(**said)))).models
    assert (entry.options.configuration, entry.options.folds) == ("3d_lowres", ("0", "all"))
    assert entry.options.orientation == "RAS"
