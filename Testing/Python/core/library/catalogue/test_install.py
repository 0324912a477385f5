"""From a catalogue into the library: by the package, the command and the worker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import medcontext
from medcontext import cards, home
from medcontext.cli.app import app
from medcontext.errors import CancelledError, InputError
from medcontext.events import Reporter
from medcontext.library import export_archive, read_card
from medcontext.library.catalogue import download_model
from medcontext.library.nnunet.export import export_nnunet
from medcontext.worker.handlers import Services

BUNDLED = Path(medcontext.__file__).parent / "resources" / "models" / "hippocampus"
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real model as a zip."""
    return export_archive(BUNDLED, tmp_path_factory.mktemp("archive") / "model.zip").read_bytes()


@pytest.fixture
def shop(server: Any, answer: Any, archive: bytes, facts: Any, catalogue_of: Any) -> str:
    """The address of a catalogue with one model, ``hc``."""
    server.answer("/hc.zip", answer(archive))
    entry = facts(archive, "hc.zip", id="hc", title="Hippocampus", modality=["MR"], labels=["a", "b"])
    return str(server.answer("/catalogue.json", answer(catalogue_of(entry))))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["model", *arguments])


def final(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout.splitlines()[-1]))


def asked(server: Any, path: str) -> int:
    return [place for place, _ in server.asked].count(path)


def test_a_model_comes_into_the_library_once(shop: str, server: Any) -> None:
    installed = download_model(shop, "hc")
    assert installed.folder == cards.user_models() / "hc"
    assert cards.read_summary(installed.folder).title == "Hippocampus"
    assert not home.downloads().exists() or list(home.downloads().iterdir()) == []
    again = download_model(shop, "hc@1.0.0")
    assert (again.folder, again.imported) == (installed.folder, None)
    assert asked(server, "/hc.zip") == 1


def test_models_of_other_programs_come_as_the_catalogue_says(
    server: Any, answer: Any, facts: Any, catalogue_of: Any, tmp_path: Path
) -> None:
    export_nnunet(
        "hippocampus", tmp_path / "nnunet" / "Dataset001_HC" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    )
    zipped = Path(shutil.make_archive(str(tmp_path / "hc"), "zip", tmp_path / "nnunet")).read_bytes()
    said = {"id": "hc", "form": "nnunet", "configuration": "3d_fullres", "folds": ["0"], "orientation": "RAS"}
    entries = [facts(zipped, "hc.zip", version=version, **said) for version in ("1.0.0", "2.0.0")]
    server.answer("/hc.zip", answer(zipped))
    source = server.answer("/catalogue.json", answer(catalogue_of(*entries)))
    for version in ("1.0.0", "2.0.0"):
        card = read_card(download_model(source, f"hc@{version}").folder)
        assert (card.id, card.version, card.title, card.input.orientation) == ("hc", version, "Liver", "RAS")
    assert [model["installed"] for model in final(run("catalogue", source, "--json"))["models"]] == [
        True,
        True,
    ]


def test_a_version_that_is_another_one_is_told(
    server: Any, answer: Any, archive: bytes, facts: Any, catalogue_of: Any
) -> None:
    server.answer("/hc.zip", answer(archive))
    source = server.answer("/c.json", answer(catalogue_of(facts(archive, "hc.zip", version="3"))))
    events: list[dict[str, Any]] = []
    download_model(source, "liver", Reporter(events.append))
    (told,) = [event["message"] for event in events if event["event"] == "warning"]
    assert told == "The model says that it is version 1.0.0, not 3 as its catalogue."


def test_the_commands_list_get_show_and_remove_it(shop: str, archive: bytes) -> None:
    (listed,) = final(run("catalogue", shop, "--json"))["models"]
    assert (listed["id"], listed["size"], listed["installed"]) == ("hc", len(archive), False)
    assert "Hippocampus" in run("catalogue", shop).output
    got = final(run("download", "hc", "--from", shop, "--json"))
    assert (got["id"], got["downloaded"]) == ("hc", True)
    assert final(run("catalogue", shop, "--json"))["models"][0]["installed"]
    use = final(run("list", "--json"))
    size = next(model["bytes"] for model in use["models"] if model["id"] == "hc")
    assert use["library_bytes"] == size > len(archive) * 0.9
    final(run("remove", "hc", "--json"))
    assert final(run("list", "--json"))["library_bytes"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["catalogue"], "No catalogue was named."),
        (["catalogue", "missing.json"], "is no file"),
        (["download", "liver", "--from", "SHOP"], "The catalogue lists no model 'liver'."),
    ],
    ids=["none", "missing", "model"],
)
def test_a_wrong_command_is_one_sentence(arguments: list[str], said: str, shop: str) -> None:
    result = run(*(shop if word == "SHOP" else word for word in arguments))
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) <= 2


def test_what_is_no_model_is_refused_and_deleted(
    server: Any, answer: Any, facts: Any, catalogue_of: Any, content: bytes
) -> None:
    server.answer("/model.zip", answer(content))
    source = server.answer("/catalogue.json", answer(catalogue_of(facts())))
    with pytest.raises(InputError, match="is not a zip archive"):
        download_model(source, "liver")
    assert list(home.downloads().rglob("*.zip*")) == []
    assert list(cards.user_models().glob("[!.]*")) == []


def test_a_command_that_was_killed_goes_on(
    shop: str, server: Any, answer: Any, archive: bytes, own_home: Path
) -> None:
    half = len(archive) // 2
    server.answer("/hc.zip", answer(archive, tag='"1"', sent=half, stalls=True), answer(archive, tag='"1"'))
    command = [sys.executable, "-m", "medcontext", "model", "download", "hc", "--from", shop]
    environment = {**os.environ, "MEDCONTEXT_HOME": str(own_home)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        end = time.monotonic() + PATIENCE_S
        while sum(part.stat().st_size for part in home.downloads().rglob("*.part")) < half:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "nothing came"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
    assert final(run("list", "--json"))["unfinished_bytes"] >= half
    assert final(run("download", "hc", "--from", shop, "--json"))["downloaded"]
    assert server.ranges("/hc.zip") == [None, f"bytes={half}-"]
    assert final(run("list", "--json"))["unfinished_bytes"] == 0


def ask(kind: str, reporter: Reporter, **fields: Any) -> dict[str, Any]:
    return Services().handle(kind, {"request": kind, "id": "1", **fields}, reporter)


def test_the_worker_lists_and_gets_models(shop: str) -> None:
    events: list[dict[str, Any]] = []
    listed = ask("catalogue", Reporter(), source=shop)
    assert listed["title"] == "Examples"
    assert [(model["id"], model["installed"]) for model in listed["models"]] == [("hc", False)]
    got = ask("download_model", Reporter(events.append), source=shop, model="hc")
    assert (got["model"], got["kind"]) == ("hc", "segmentation")
    assert Path(got["folder"]) == cards.user_models() / "hc"
    assert {"catalogue", "download", "check", "import"} <= {e.get("stage") for e in events}
    assert ask("catalogue", Reporter(), source=shop)["models"][0]["installed"]


def test_the_worker_stops_a_download_when_asked(shop: str, server: Any, answer: Any, archive: bytes) -> None:
    server.answer("/hc.zip", answer(archive, sent=1000, stalls=True))
    began = Reporter(None, lambda: any(home.downloads().rglob("*.part")))
    with pytest.raises(CancelledError):
        ask("download_model", began, source=shop, model="hc")
    assert not (cards.user_models() / "hc").exists()
