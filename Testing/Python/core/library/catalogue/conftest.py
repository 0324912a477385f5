"""A web server that does what a test tells it, and catalogues that lead to it."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from medcontext.library.catalogue import CatalogueEntry

CONTENT = bytes(hashlib.shake_256(b"a model").digest(200_000))


class Server(ThreadingHTTPServer):
    """Answers each path with the next of the answers that a test gave; the last one is repeated.

    Attributes:
        asked: path and headers of each request, in order.
        released: set when answers that stall may end.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.released = threading.Event()
        self._answers: dict[str, list[Answer]] = {}
        self._one_at_a_time = threading.Lock()

    def answer(self, path: str, *answers: Answer) -> str:
        """Set what a path is answered with; gives its address."""
        self._answers[path] = list(answers)
        return self.url(path)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def next_answer(self, path: str, headers: dict[str, str]) -> Answer:
        with self._one_at_a_time:
            self.asked.append((path, headers))
            answers = self._answers.get(path.partition("?")[0], [Answer(status=404)])
            return answers.pop(0) if len(answers) > 1 else answers[0]

    def ranges(self, path: str) -> list[str | None]:
        """The ``Range`` of each request for a path."""
        return [headers.get("range") for asked, headers in self.asked if asked == path]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is what several tests are about."""


@dataclass(frozen=True)
class Answer:
    """How a request is answered.

    Attributes:
        content: the whole file.
        status: of the answer; 200 becomes 206 where a part was asked for.
        headers: further headers.
        ranges: whether parts are served.
        tag: ``ETag`` of the file; a part is served only where ``If-Range`` is it or is not there.
        sent: bytes that come before the connection is closed; all when None.
        silent: whether nothing comes at all.
        stalls: whether the connection stays open, silent, in place of being closed.
        length: ``Content-Length`` to claim; the true one when None, none at all when negative.
        part: ``Content-Range`` to claim.
    """

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    tag: str = ""
    sent: int | None = None
    silent: bool = False
    stalls: bool = False
    length: int | None = None
    part: str = ""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.next_answer(self.path, headers)
        if answer.silent:
            self.server.released.wait()
            return
        start = self._start(answer, headers)
        body = answer.content[start:]
        self.send_response(206 if start else answer.status)
        length = len(body) if answer.length is None else answer.length
        if length >= 0:
            self.send_header("Content-Length", str(length))
        if start:
            end = len(answer.content)
            self.send_header("Content-Range", answer.part or f"bytes {start}-{end - 1}/{end}")
        for name, value in (answer.headers | ({"ETag": answer.tag} if answer.tag else {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: answer.sent])
        if answer.stalls:
            self.server.released.wait()

    @staticmethod
    def _start(answer: Answer, headers: dict[str, str]) -> int:
        wanted = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
        same = headers.get("if-range") in (None, answer.tag)
        return int(wanted[1]) if wanted and answer.ranges and same and answer.status == 200 else 0

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.released.set()
        made.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def answer() -> type[Answer]:
    """``answer(content, ...)``: one way to answer a request."""
    return Answer


@pytest.fixture(scope="session")
def content() -> bytes:
    """Of a file that is no model."""
    return CONTENT


@pytest.fixture(scope="session")
def facts() -> Callable[..., dict[str, Any]]:
    """``facts(content, url, **changes)``: an entry of a catalogue as JSON has it."""

    def make(content: bytes = CONTENT, url: str = "model.zip", **changes: Any) -> dict[str, Any]:
        return {
            "id": "liver",
            "version": "1.0.0",
            "title": "Liver",
            "url": url,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "licence": "CC-BY-4.0",
            "modality": ["CT"],
            "labels": ["liver"],
        } | changes

    return make


@pytest.fixture(scope="session")
def entry_of(facts: Callable[..., dict[str, Any]]) -> Callable[..., CatalogueEntry]:
    """``entry_of(url, content=..., **changes)``: an entry of a catalogue."""

    def make(url: str, content: bytes = CONTENT, **changes: Any) -> CatalogueEntry:
        return CatalogueEntry.model_validate(facts(content, url, **changes))

    return make


@pytest.fixture(scope="session")
def catalogue_of() -> Callable[..., bytes]:
    """``catalogue_of(*entries, **changes)``: the content of a catalogue file."""

    def make(*entries: dict[str, Any], **changes: Any) -> bytes:
        whole = {"schema_version": 1, "title": "Examples", "models": list(entries)} | changes
        return json.dumps(whole).encode()

    return make


@pytest.fixture
def on_disk(tmp_path: Path) -> Callable[..., Path]:
    """``on_disk(content)``: a catalogue file with that content."""

    def make(content: bytes) -> Path:
        path = tmp_path / "catalogue.json"
        path.write_bytes(content)
        return path

    return make
