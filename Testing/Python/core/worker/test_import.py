"""Models come into the library by the worker, for a program that cannot check them itself."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import medcontext

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
