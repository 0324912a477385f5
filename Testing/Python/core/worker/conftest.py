"""A worker process and what is sent to it."""

from __future__ import annotations

import itertools
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import medcontext
from medcontext import api, networks
from medcontext.card_schema import InputRange, InputSpec, ModelCard
from medcontext.events import Reporter
from medcontext.exchange import ExchangeFolder, SharedArray
from medcontext.geometry import Volume
from medcontext.inference.predictor import Prediction
from medcontext.library import save_model
from medcontext.plan import Channel, NetworkSpec
from medcontext.workflows.predictor import make_predictor

SAMPLE = Path(medcontext.__file__).parent / "resources" / "samples" / "hippocampus"

Event = dict[str, Any]

PATIENCE_SECONDS = 120.0
"""How long a test waits for an event before it fails: importing torch on a busy machine takes its time."""


class Client:
    """Talks to one worker process.

    Attributes:
        events: all that came, in order.
        strange: lines on stdout that are no events.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUTF8": "1", **(environment or {})},
        )
        self.events: list[Event] = []
        self.strange: list[bytes] = []
        self.log: list[str] = []
        self._arrived: queue.Queue[Event | None] = queue.Queue()
        self._numbers = itertools.count(1)
        for read in (self._read_events, self._read_log):
            threading.Thread(target=read, daemon=True).start()

    def _read_events(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                event = json.loads(line)
                self.events.append(event)
                self._arrived.put(event)
            except ValueError:
                self.strange.append(line)
        self._arrived.put(None)

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line.decode())

    def send_line(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def send(self, kind: str, **fields: Any) -> str:
        """Send a request; gives its id."""
        request_id = str(next(self._numbers))
        self.send_line(json.dumps({"request": kind, "id": request_id, **fields}).encode())
        return request_id

    def wait_for(self, wanted: Callable[[Event], bool], seconds: float = PATIENCE_SECONDS) -> Event:
        """The next event that is wanted; others are passed over."""
        end = time.monotonic() + seconds
        while True:
            try:
                event = self._arrived.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no such event within {seconds} s; log: {''.join(self.log)}") from None
            if event is None:
                raise AssertionError(f"the worker ended; log: {''.join(self.log)}")
            if wanted(event):
                return event

    def answer(self, request_id: str, seconds: float = PATIENCE_SECONDS) -> Event:
        """The event that ends a request."""
        return self.wait_for(lambda e: e["id"] == request_id and e["event"] in ("result", "error"), seconds)

    def ask(self, kind: str, **fields: Any) -> Event:
        """Send a request and wait for the event that ends it."""
        return self.answer(self.send(kind, **fields))

    def of(self, request_id: str) -> list[Event]:
        """All events of a request so far."""
        return [event for event in self.events if event["id"] == request_id]

    @staticmethod
    def array(answer: Event, name: str = "labelmap") -> np.ndarray:
        """An array of a result."""
        assert answer["event"] == "result", answer
        return np.array(SharedArray.from_json(answer[name]).open())

    def close(self) -> None:
        """End of stdin, and the end by force if that is not enough."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
            self.process.wait(20)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="session")
def connect() -> Callable[[Sequence[str]], Client]:
    """``connect(command)``: a new worker process, which whoever asked for it closes."""
    return Client


@pytest.fixture
def start() -> Iterator[Callable[..., Client]]:
    """``start(*arguments, code=None)``: a new worker; ``code`` replaces ``-m medcontext.worker``."""
    clients = []

    def make(*arguments: str, code: str | None = None, environment: dict[str, str] | None = None) -> Client:
        what = ["-m", "medcontext.worker"] if code is None else ["-c", code]
        clients.append(Client([sys.executable, *what, *arguments], environment))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A worker that the tests share: it must survive whatever they do to it, and answer each once."""
    home = {"MEDCONTEXT_HOME": str(tmp_path_factory.mktemp("home"))}
    client = Client([sys.executable, "-m", "medcontext.worker"], home)
    yield client
    alive = client.process.poll() is None
    client.close()
    assert alive
    assert client.strange == []
    ended = [event["id"] for event in client.events if event["event"] in ("result", "error") and event["id"]]
    assert len(ended) == len(set(ended))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[ExchangeFolder]:
    with ExchangeFolder(tmp_path) as made:
        yield made


@pytest.fixture
def request_for(folder: ExchangeFolder) -> Callable[..., dict[str, Any]]:
    """``request_for(image, **fields)``: the fields of a request to segment an image."""

    def make(image: Volume, model: str = "hippocampus", **fields: Any) -> dict[str, Any]:
        channels = [
            {
                "array": folder.write(f"channel-{number}", channel).to_json(),
                "axis_order": "KJI",
                "affine": image.geometry.affine.tolist(),
            }
            for number, channel in enumerate(image.array)
        ]
        return {"model": model, "channels": channels, "output": str(folder.path), "device": "cpu", **fields}

    return make


@pytest.fixture(scope="session")
def crop() -> Volume:
    """A T1 crop around a hippocampus, 35 x 51 x 35 voxels or so."""
    return api.read_image([SAMPLE / "images" / "hippocampus_011.nii.gz"])


@pytest.fixture(scope="session")
def expected() -> Callable[..., Prediction]:
    """``expected(image, **options)``: what the package itself says of an image."""
    predictor, _ = make_predictor("hippocampus", "cpu", "auto", Reporter())
    return predictor.predict


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """``make_model(channels=1, labels=2)``: a model folder with a small network and random weights."""

    def make(channels: int = 1, labels: int = 2, name: str = "random") -> Path:
        patch = (32, 32, 32)
        kwargs = networks.default_kwargs("dynunet", patch, (1.0, 1.0, 1.0), "small") | {"filters": [4, 8, 8]}
        kwargs |= {"strides": kwargs["strides"][:3], "kernels": kwargs["kernels"][:3]}
        spec = NetworkSpec(name="dynunet", kwargs=kwargs)
        extent = InputRange(spacing=((0.5,) * 3, (4.0,) * 3), field_of_view=((1.0,) * 3, (1000.0,) * 3))
        inputs = [Channel(name=f"c{number}", modality="MRI") for number in range(channels)]
        card = ModelCard(
            id=name,
            title="Random weights",
            method="supervised",
            network=spec,
            input=InputSpec(
                channels=inputs, spacing=(1.0,) * 3, orientation="LPS", patch_size=patch, range=extent
            ),
            labels=[{"value": value, "name": f"label {value}"} for value in range(1, labels + 1)],
        )
        torch.manual_seed(0)
        network = networks.build(spec, in_channels=channels, classes=labels + 1)
        save_model(tmp_path / name, card, [network.state_dict()])
        return tmp_path / name

    return make
