"""Models come into the library by the worker, for a program that cannot check them itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import medcontext

BUNDLED = Path(medcontext.__file__).parent / "resources" / "models" / "hippocampus"


def test_an_archive_comes_into_the_library_once(start: Callable[..., Any], tmp_path: Path) -> None:
    from medcontext.library import export_archive

    archive = export_archive(BUNDLED, tmp_path / "Modell ö.zip")
    worker = start(environment={"MEDCONTEXT_HOME": str(tmp_path / "home")})
    first, second = (worker.ask("import_model", archive=str(archive)) for _ in range(2))
    assert first["event"] == "result", first
    assert first["model"] == "hippocampus"
    assert first["folder"] == second["folder"]
    assert Path(first["folder"]).parent == tmp_path / "home" / "models"


def test_a_damaged_model_is_refused_in_a_sentence(start: Callable[..., Any], tmp_path: Path) -> None:
    shutil.copytree(BUNDLED, tmp_path / "model")
    weights = tmp_path / "model" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    worker = start(environment={"MEDCONTEXT_HOME": str(tmp_path / "home")})
    answer = worker.ask("import_model", archive=str(tmp_path / "model"))
    assert (answer["event"], answer["kind"]) == ("error", "input")
    assert "was not imported" in answer["message"]
    assert not list((tmp_path / "home" / "models").glob("[!.]*"))
