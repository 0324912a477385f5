"""Models come into the library by the worker, for a program that cannot check them itself."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import medcontext
from harness.nnunet_folders import nnunet_folder
from medcontext.library import read_card

BUNDLED = Path(medcontext.__file__).parent / "resources" / "models" / "hippocampus"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the worker."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def worker(connect: Callable[..., Any], home: Path) -> Iterator[Any]:
    """A worker with a library of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDCONTEXT_HOME", str(home))
        client = connect([sys.executable, "-m", "medcontext.worker"])
    yield client
    client.close()


def test_an_archive_comes_into_the_library_once(worker: Any, home: Path, tmp_path: Path) -> None:
    from medcontext.library import export_archive

    archive = export_archive(BUNDLED, tmp_path / "Modell ö.zip")
    first, second = (worker.ask("import_model", archive=str(archive)) for _ in range(2))
    assert first["event"] == "result", first
    assert first["model"] == "hippocampus"
    assert first["folder"] == second["folder"]
    assert Path(first["folder"]).parent == home / "models"


def test_a_damaged_model_is_refused_in_a_sentence(worker: Any, home: Path, tmp_path: Path) -> None:
    shutil.copytree(BUNDLED, tmp_path / "model")
    weights = tmp_path / "model" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    before = set((home / "models").glob("[!.]*"))
    answer = worker.ask("import_model", archive=str(tmp_path / "model"))
    assert (answer["event"], answer["kind"]) == ("error", "input")
    assert "was not imported" in answer["message"]
    assert set((home / "models").glob("[!.]*")) == before


def test_a_model_of_another_program_is_looked_at_and_imported_as_it_was_said(
    worker: Any, home: Path, tmp_path: Path
) -> None:
    results = nnunet_folder(tmp_path / "results", folds=(0, 1)).parent
    before = sorted((home / "models").glob("*"))
    found = worker.ask("inspect_model", archive=str(results))
    assert (found["event"], found["form"], found["kind"]) == ("result", "nnU-Net v2", "segmentation"), found
    assert (found["model"], found["choices"]["folds"]) == ("dataset004_hippocampus-3d_fullres", ["0", "1"])
    assert sorted((home / "models").glob("*")) == before
    labels = [entry | {"name": f"my {entry['name']}"} for entry in found["labels"]]
    said = {"model_id": "mine", "title": "Mine", "folds": ["1"], "orientation": "RAS", "labels": labels}
    answer = worker.ask("import_model", archive=str(results), **said)
    assert (answer["event"], answer["model"], answer["title"], answer["notes"]) == (
        "result",
        "mine",
        "Mine",
        [],
    )
    card = read_card(home / "models" / "mine")
    assert (card.input.orientation, card.labels, len(card.weights)) == ("RAS", labels, 1)


def test_what_is_asked_wrongly_is_answered_in_a_sentence(worker: Any, tmp_path: Path) -> None:
    results = nnunet_folder(tmp_path / "results").parent
    for said, message in (
        ({"folds": ["4"]}, "holds no fold 4"),
        ({"orientation": "up"}, "'up' is no orientation"),
        ({"labels": [{"value": 1}]}, "The table of labels is no list of labels"),
        ({"colour": 1}, "there is no field 'colour'"),
    ):
        answer = worker.ask("inspect_model", archive=str(results), **said)
        assert (answer["event"], answer["kind"]) == ("error", "input")
        assert message in answer["message"]
