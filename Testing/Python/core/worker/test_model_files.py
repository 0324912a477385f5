"""What the list of models in Slicer asks of the worker: remove, export, colours and codes by name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import medcontext
from medcontext.cards import user_models
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.library.read import read_card
from medcontext.worker.handlers import Services

BUNDLED = Path(medcontext.__file__).parent / "resources" / "models" / "hippocampus"


def ask(kind: str, **fields: Any) -> dict[str, Any]:
    return Services().handle(kind, {"request": kind, "id": "1", **fields}, Reporter())


@pytest.fixture
def mine() -> Path:
    """A model in the user's library."""
    folder = user_models() / "mine"
    shutil.copytree(BUNDLED, folder)
    return folder


def test_a_model_of_the_user_is_removed(mine: Path) -> None:
    assert Path(str(ask("remove_model", model="mine")["folder"])) == mine
    assert not mine.exists()


def test_a_bundled_model_stays() -> None:
    with pytest.raises(InputError, match="cannot be removed"):
        ask("remove_model", model="hippocampus")
    assert BUNDLED.is_dir()


def test_a_broken_model_can_be_removed(mine: Path) -> None:
    (mine / "model.json").unlink()
    ask("remove_model", model="mine")
    assert not mine.exists()


def test_an_exported_model_comes_back(tmp_path: Path) -> None:
    target = tmp_path / "out.zip"
    assert ask("export_model", model="hippocampus", output=str(target))["file"] == str(target)
    with pytest.raises(InputError, match="exists"):
        ask("export_model", model="hippocampus", output=str(target))
    ask("export_model", model="hippocampus", output=str(target), replace=True)
    assert ask("import_model", archive=str(target))["model"] == read_card(BUNDLED).id


def test_labels_get_colours_and_codes_by_name() -> None:
    (label,) = ask("propose_labels", labels=[{"value": 1, "name": "kidney_right"}])["labels"]
    assert label["name"] == "kidney_right"
    assert label["terminology"]["type"]["value"] == "64033007"
    assert label["terminology"]["modifier"]["meaning"] == "Right"


def test_what_is_no_label_is_refused() -> None:
    with pytest.raises(InputError, match="no list of labels"):
        ask("propose_labels", labels=[{"name": "kidney"}])
