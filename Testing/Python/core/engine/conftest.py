"""Small cases on which the whole loop runs in a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medcontext import networks
from medcontext.data.preprocess import PreparedCase, class_locations
from medcontext.devices import choose_device
from medcontext.engine.learner import Learner
from medcontext.engine.loop import Run
from medcontext.engine.segmentation import Segmentation
from medcontext.methods import make_config, make_method
from medcontext.plan import Channel, Fingerprint, NetworkSpec, Plan

SIZE = (16, 16, 16)
STRIDES = [[1, 1, 1], [2, 2, 2], [2, 2, 2]]


def a_case(seed: int, labelled: bool = True) -> PreparedCase:
    """A bright ball next to a dark one in noise."""
    generator = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in SIZE], indexing="ij"))
    labels = np.zeros(SIZE, np.uint8)
    for value, center in ((1, (5, 8, 8)), (2, (11, 8, 8))):
        shifted = np.array(center) + generator.integers(-1, 2, 3)
        labels[((grid - shifted[:, None, None, None]) ** 2).sum(0) < 9] = value
    image = np.choose(labels, [0.0, 2.0, -2.0]) + 0.3 * generator.standard_normal(SIZE)
    locations = class_locations(labels, 3) if labelled else []
    return PreparedCase(
        f"case{seed}",
        image[None].astype(np.float16),
        labels if labelled else None,
        np.ones(3, bool),
        locations,
        str(seed),
    )


def a_plan(batch_size: int = 2) -> Plan:
    kwargs = {"filters": [4, 8, 8], "strides": STRIDES, "kernels": [[3, 3, 3]] * 3}
    unit = (1.0, 1.0, 1.0)
    extent = (16.0, 16.0, 16.0)
    return Plan(
        channels=[Channel(name="image", modality="MRI")],
        labels=[{"value": 1, "name": "bright"}, {"value": 2, "name": "dark"}],
        spacing=unit,
        patch_size=SIZE,
        batch_size=batch_size,
        steps=1000,
        allowed_flips=[2],
        network=NetworkSpec(name="dynunet", kwargs=kwargs),
        fingerprint=Fingerprint(
            cases=2,
            median_shape=SIZE,
            median_spacing=unit,
            spacing_range=(unit, unit),
            field_of_view_range=(extent, extent),
            anisotropy=1.0,
        ),
    )


def a_run(folder: Path, method: str = "medcontext", **changes) -> Run:
    """A run over two labelled and two unlabelled cases."""
    settings = changes.pop("settings", [])
    plan = changes.pop("plan", a_plan())
    if method == "medcontext":  # runs of a few steps go through both stages all the same
        settings = ["unlabelled.least_steps=0", *settings]
    config = make_config(method).updated(settings)
    torch.manual_seed(0)
    data = {
        "labelled": [a_case(0), a_case(1)],
        "unlabelled": [a_case(2, labelled=False), a_case(3, labelled=False)],
        "validation": [],
        "monitor": [],
        "precision": changes.get("precision", "fp32"),
    }
    data |= {
        name: changes.pop(name)
        for name in ("labelled", "unlabelled", "validation", "monitor")
        if name in changes
    }
    options = {
        "folder": folder,
        "task": Segmentation(plan=plan, config=config.engine, **data),
        "network": networks.build(plan.network, 1, 3),
        "method": make_method(method, config),
        "config": config.engine,
        "device": choose_device("cpu"),
        "precision": "fp32",
        "steps": 8,
    }
    return Run(**(options | changes))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs leave an empty curve behind: drawing takes longer than many a run here, and is tested alone."""
    monkeypatch.setattr("medcontext.engine.log.draw_curve", lambda _records, path: path.touch())


@pytest.fixture
def run_of():
    """Makes runs; see :func:`a_run`."""
    return a_run


class Asked:
    """What somebody asks of a run: nothing until told otherwise.

    Attributes:
        answer: "pause", "stop" or None; a run that is given this object as its control follows it.
        events: what the run said, where the object is its sink.
    """

    def __init__(self) -> None:
        self.answer: str | None = None
        self.events: list[dict[str, Any]] = []
        self._orders: list[tuple[str, int, str]] = []

    def __call__(self) -> str | None:
        return self.answer

    def at(self, stage: str, step: int, order: str) -> None:
        """Ask for ``order`` when a stage is heard of for the ``step``-th time, or at this step of the training."""
        self._orders.append((stage, step, order))

    def hear(self, event: dict[str, Any]) -> None:
        """The sink."""
        self.events.append(event)
        told = [e for e in self.events if e["event"] == "progress"]
        for stage, step, order in list(self._orders):
            of_stage = [e for e in told if e["stage"] == stage]
            if of_stage and of_stage[-1].get("step", len(of_stage)) >= step:
                self._orders.remove((stage, step, order))
                self.answer = order

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of a kind."""
        return [event for event in self.events if event["event"] == kind]


@pytest.fixture
def asked() -> Asked:
    """Somebody who asks something of a run; see :class:`Asked`."""
    return Asked()


class Clocks:
    """Clocks that a test sets: time passes only where it says so.

    Attributes:
        passed: seconds that have passed.
        wrong: seconds by which the clock on the wall is wrong.
        each: seconds that a step takes.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = 0.0
        self.wrong = 0.0
        self.each = 0.125
        monotonic, wall = 1000.0, round(time.time())
        monkeypatch.setattr(time, "monotonic", lambda: monotonic + self.passed)
        monkeypatch.setattr(time, "time", lambda: wall + self.passed + self.wrong)
        learn = Learner.learn

        def timed(*arguments: Any) -> Any:
            self.passed += self.each
            return learn(*arguments)

        monkeypatch.setattr(Learner, "learn", timed)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Set clocks, by which each step takes an eighth of a second; see :class:`Clocks`."""
    return Clocks(monkeypatch)


@contextmanager
def disk_with_room_for(size: int) -> Iterator[None]:
    """The kernel refuses to let a file grow beyond ``size`` bytes, in the middle of a write, as a full disk does."""
    resource = pytest.importorskip("resource", reason="Windows has no limit on file size")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def nearly_full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """``with nearly_full_disk(1000):`` no file grows beyond 1000 bytes."""
    return disk_with_room_for
