"""Reading a catalogue from the net: only that one, whole, and from where it may come."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import medcontext
from medcontext.cli.app import app
from medcontext.errors import InputError, ResourceError
from medcontext.events import Reporter
from medcontext.library.catalogue import fetch, read_catalogue

BUNDLED = Path(medcontext.__file__).parent / "resources" / "models" / "hippocampus"


def test_models_lie_relative_to_where_the_catalogue_was_found(
    server: Any, answer: Any, facts: Any, catalogue_of: Any
) -> None:
    moved = server.answer("/new/catalogue.json", answer(catalogue_of(facts(url="zips/liver.zip"))))
    source = server.answer("/catalogue.json", answer(status=302, headers={"Location": moved}))
    (entry,) = read_catalogue(source).models
    assert entry.url == server.url("/new/zips/liver.zip")
    assert len(server.asked) == 2


def test_a_catalogue_on_the_net_names_no_files_of_this_computer(
    server: Any, answer: Any, facts: Any, catalogue_of: Any
) -> None:
    for url in ("file:///etc/hostname", "file://localhost/etc/hostname"):
        source = server.answer("/catalogue.json", answer(catalogue_of(facts(url=url))))
        with pytest.raises(InputError, match="names a file on this computer"):
            read_catalogue(source)
    for url in ("ftp://example.org/model.zip", "javascript:alert(1)"):
        source = server.answer("/catalogue.json", answer(catalogue_of(facts(url=url))))
        with pytest.raises(InputError, match="is no address that can be opened"):
            read_catalogue(source)


def test_an_endless_catalogue_is_left(server: Any, answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAXIMUM_BYTES", 100_000)
    source = server.answer("/catalogue.json", answer(b" " * 200_000, length=-1, stalls=True))
    with pytest.raises(InputError, match="is larger than"):
        read_catalogue(source)


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (404, InputError, "is not there"),
        (403, InputError, "without permission"),
        (418, InputError, "was refused"),
        (503, ResourceError, "cannot be had just now"),
    ],
)
def test_a_server_that_refuses_is_told(
    status: int, error: type[Exception], said: str, server: Any, answer: Any
) -> None:
    source = server.answer("/catalogue.json", answer(status=status)) + "?key=secret"
    with pytest.raises(error, match=said) as refused:
        read_catalogue(source)
    assert str(status) in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_computer_that_is_not_there_is_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ResourceError, match=r"The connection to 127\.0\.0\.1 failed"):
        read_catalogue(f"http://127.0.0.1:{port}/catalogue.json")


def test_a_proxy_of_the_environment_is_asked(
    server: Any, answer: Any, facts: Any, catalogue_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[dict[str, Any]] = []
    address = "http://models.example/catalogue.json"
    server.answer(address, answer(catalogue_of(facts())))
    monkeypatch.setenv("http_proxy", server.url(""))
    assert read_catalogue(address, Reporter(said.append)).title == "Examples"
    assert [path for path, _ in server.asked] == [address]
    assert any("is not encrypted" in event.get("message", "") for event in said)


def test_nothing_else_opens_a_connection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from medcontext.worker.handlers import Services

    def refuse(*arguments: Any, **_named: Any) -> Any:
        raise AssertionError(f"a connection to {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    archive = tmp_path / "model.zip"
    run = CliRunner().invoke
    for command in (
        ["model", "list"],
        ["model", "show", "hippocampus"],
        ["model", "verify", "hippocampus"],
        ["model", "export", "hippocampus", "-o", str(archive)],
        ["model", "import", str(archive), "--id", "copy"],
        ["model", "remove", "copy"],
    ):
        result = run(app, command)
        assert result.exit_code == 0, result.output
    shutil.copytree(BUNDLED, tmp_path / "model")
    Services().handle(
        "import_model", {"request": "import_model", "id": "1", "archive": str(tmp_path / "model")}, Reporter()
    )


def test_one_file_of_the_package_opens_addresses() -> None:
    package = Path(medcontext.__file__).parent
    words = ("urllib.request", "urllib import request", "http.client", "import requests", "import socket")
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(word in path.read_text(encoding="utf-8") for word in words)
    }
    # Clusters talk to their own workers; a file: address becomes a path without being opened.
    cluster = {"batch/cluster_worker.py"}
    assert found - cluster == {"library/catalogue/transport.py", "library/catalogue/places.py"}
