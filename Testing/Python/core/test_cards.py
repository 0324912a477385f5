"""The list of models shows everything that is there, works without any library, and ids find folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from medcontext import cards
from medcontext.cards import list_cards, read_summary, resolve
from medcontext.errors import InputError
from medcontext.labels import default_color


def make_model(root: Path, folder: str, **changes: Any) -> Path:
    """A folder that looks like a model to those who only list."""
    data = {
        "schema_version": 1,
        "id": folder,
        "version": "1.0.0",
        "title": f"Title of {folder}",
        "kind": "segmentation",
        "method": "medcontext",
        "network": {"name": "dynunet"},
        "input": {"channels": [{"name": "T1", "modality": "MRI"}, {"name": "FLAIR", "modality": "MRI"}]},
        "labels": [{"value": 1, "name": "anterior"}, {"value": 2, "name": "posterior"}],
        "training": {"shots": 12},
        "license": "CC0-1.0",
        "weights": [{"file": "weights.safetensors", "sha256": "0" * 64}],
    } | changes
    path = root / folder
    path.mkdir(parents=True)
    (path / "model.json").write_text(json.dumps(data), encoding="utf-8")
    (path / "weights.safetensors").write_bytes(b"")
    return path


@pytest.fixture
def library(own_home: Path) -> Path:
    return own_home / "models"


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "bundled"
    monkeypatch.setattr(cards, "bundled_models", lambda: root)
    return root


def test_a_summary_says_what_a_list_shows(library: Path) -> None:
    card = read_summary(make_model(library, "a"))
    assert (card.id, card.title, card.version, card.kind) == ("a", "Title of a", "1.0.0", "segmentation")
    assert card.sha256 == "0" * 64
    assert read_summary(make_model(library, "none", weights=[])).sha256 == ""
    assert (card.labels, card.channels, card.modalities) == (
        ("anterior", "posterior"), ("T1", "FLAIR"), ("MRI", "MRI")
    )  # fmt: skip
    assert (card.license, card.shots, card.method, card.problem) == ("CC0-1.0", 12, "medcontext", None)
    assert card.network == "dynunet"
    assert not card.bundled


def test_both_libraries_are_listed_newest_first(library: Path, bundled: Path) -> None:
    make_model(library, "b")
    make_model(bundled, "a", version="1.9.0")
    make_model(library, "a", version="1.9.0")
    make_model(library, "a-1.10.0", id="a", version="1.10.0")
    make_model(library, "a-rc", id="a", version="1.10.0-rc1")
    make_model(library, ".a.12345678.part", id="a", version="9.0.0")
    (library / "notes.txt").write_text("", encoding="utf-8")
    found = [(card.id, card.version, card.bundled) for card in list_cards()]
    assert found == [
        ("a", "1.10.0", False),
        ("a", "1.10.0-rc1", False),
        ("a", "1.9.0", False),
        ("a", "1.9.0", True),
        ("b", "1.0.0", False),
    ]


@pytest.mark.usefixtures("bundled")
def test_there_need_not_be_a_library(own_home: Path) -> None:
    assert list_cards() == []
    assert not (own_home / "models").exists()  # looking makes nothing


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "missing"),
        ("", "cannot be read"),
        ('{"a":' * 100_000, "cannot be read"),
        ("[]", "no object"),
        ("{}", "lacks schema_version"),
        ('{"schema_version": 2, "id": "new", "weights": 3}', "newer version"),
    ],
)
def test_a_broken_folder_is_listed_with_its_problem(library: Path, content: str | None, said: str) -> None:
    folder = make_model(library, "broken")
    (folder / "model.json").unlink()
    if content is not None:
        (folder / "model.json").write_text(content, encoding="utf-8")
    make_model(library, "good")
    problems = {card.id: card.problem for card in list_cards() if not card.bundled}
    assert problems.pop("good") is None
    (problem,) = problems.values()
    assert problem is not None
    assert said in problem


@pytest.mark.parametrize("weights", [[], None, [{}], [{"file": "other.safetensors"}], "text"])
def test_a_model_without_its_weights_has_a_problem(library: Path, weights: Any) -> None:
    problem = read_summary(make_model(library, "a", weights=weights)).problem
    assert problem is not None
    assert "eights" in problem


@pytest.mark.parametrize("key", ["id", "title", "version", "labels", "training", "input", "license"])
@pytest.mark.parametrize("value", [None, 3, [3], {"a": 3}])
def test_values_of_a_wrong_type_do_not_stop_the_list(library: Path, key: str, value: Any) -> None:
    card = read_summary(make_model(library, "a", **{key: value}))
    assert isinstance(card.id, str)
    assert isinstance(card.shots, int)


def test_a_summary_says_what_images_and_colors_to_expect(library: Path) -> None:
    spec = {
        "dims": 2,
        "orientation": "RAS",
        "transpose": [1, 0, 2],
        "spacing": [2, 1, 0.5],
        "patch_size": [16, 32, 32],
        "range": {"spacing": [[1, 1, 1], [3, 2, 2]], "field_of_view": [[20, 30, 40], [50, 60.5, 70]]},
    }
    labels = [{"value": 1, "name": "a", "color": [1, 2, 3]}, {"value": 2, "name": "b"}]
    card = read_summary(make_model(library, "a", input=spec, labels=labels))
    assert (card.dims, card.orientation, card.transpose) == (2, "RAS", (1, 0, 2))
    assert card.spacing_range == ((1, 1, 1), (3, 2, 2))
    assert card.field_of_view_range == ((20, 30, 40), (50, 60.5, 70))
    assert card.window == (32, 32, 16)
    assert card.label_colors == ((1, 2, 3), default_color(2))


@pytest.mark.parametrize(
    "value", [None, 3, [], [[1, 1, 1]], [[1, 1], [2, 2]], [[1, 1, 0], [1, 1, 1]], [["1"], 3]]
)
def test_a_range_that_is_none_is_left_out(library: Path, value: Any) -> None:
    ranges = {"spacing": value, "field_of_view": value}
    spec = {"range": ranges, "transpose": value, "dims": value, "patch_size": value, "spacing": [1, 1, 1]}
    card = read_summary(make_model(library, "a", input=spec))
    assert (card.spacing_range, card.field_of_view_range, card.window, card.dims) == (None, None, None, 3)


@pytest.mark.parametrize("color", [None, 7, [1, 2], [1, 2, 300], [1.5, 2, 3], ["red", 2, 3]])
def test_a_color_that_is_none_is_replaced(library: Path, color: Any) -> None:
    card = read_summary(make_model(library, "a", labels=[{"value": 3, "name": "a", "color": color}, "text"]))
    assert card.label_colors == (default_color(3), default_color(0))


def test_an_id_finds_the_newest_and_then_the_users_own(library: Path, bundled: Path) -> None:
    make_model(bundled, "a", version="1.0")
    assert resolve("a") == bundled / "a"
    make_model(library, "a", version="1.0")
    assert resolve("a") == library / "a"
    make_model(bundled, "a-2", id="a", version="2.0")
    assert resolve("a") == bundled / "a-2"
    assert resolve("a@1.0") == library / "a"


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = make_model(tmp_path, "my model ü")
    assert resolve(folder) == folder
    assert resolve(str(folder)) == folder


def test_a_broken_copy_gives_way_to_a_whole_one(library: Path, bundled: Path) -> None:
    make_model(bundled, "a", version="1.0")
    make_model(library, "a", version="2.0", weights=[])
    assert resolve("a") == bundled / "a"


@pytest.mark.usefixtures("bundled")
def test_what_is_not_there_is_a_sentence_with_a_guess(library: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="library is empty"):
        resolve("hippocampus")
    make_model(library, "hippocampus")
    make_model(library, "broken", weights=[])
    with pytest.raises(InputError, match="Did you mean 'hippocampus'"):
        resolve("hipocampus")
    with pytest.raises(InputError, match="Known models: broken, hippocampus"):
        resolve("zzz")
    with pytest.raises(InputError, match=r"'broken' cannot be used: It lists no weights"):
        resolve("broken")
    with pytest.raises(InputError, match=r"no model folder: it holds no model\.json"):
        resolve(tmp_path)


def test_the_readable_schema_is_the_one_that_is_written() -> None:
    from medcontext.card_schema import SCHEMA_VERSION

    assert cards.READABLE_SCHEMA == SCHEMA_VERSION


def test_listing_works_where_only_the_standard_library_is(library: Path) -> None:
    make_model(library, "a")
    code = (
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] not in sys.stdlib_module_names | {'medcontext'}:\n"
        "            raise ImportError(f'{name} is not there')\n"
        "sys.meta_path.insert(0, Blocker())\n"
        "from medcontext.cards import list_cards, resolve\n"
        "assert resolve('a').name == 'a'\n"
        "print([card.id for card in list_cards() if not card.bundled])\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("['a']\n", "")
