"""Small scans without labels, and pre-trainings of a few steps on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_volume
from medcontext.workflows.pretrain import PretrainRequest, PretrainResult, pretrain

SHAPE = (10, 30, 28)
SMALL = ("crop_size=8", "plan.network.kwargs.filters=[4,8,8]", "projector.hidden=16", "projector.out=16")
"""A grid of such crops covers 8 x 24 x 24 voxels."""

Scan = Callable[..., Volume]


def a_scan(seed: int, shape: tuple[int, int, int] = SHAPE, spacing: float = 1.0, channels: int = 1) -> Volume:
    """Stripes that become finer from front to back and brighter from right to left, in noise."""
    generator = np.random.default_rng(seed)
    k, j, i = np.meshgrid(*[np.linspace(0, 1, n) for n in shape], indexing="ij")
    image = 100 * (i + np.sin(20 * j * j + k) + 0.1 * generator.normal(size=(channels, *shape)))
    return Volume(image.astype(np.float32), Geometry.from_spacing(shape, (spacing,) * 3))


@pytest.fixture(scope="session")
def scan() -> Scan:
    """``scan(seed, shape, spacing, channels)``: see :func:`a_scan`."""
    return a_scan


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six scans."""
    folder = tmp_path_factory.mktemp("scans") / "scans of ümlaut"
    folder.mkdir()
    for seed in range(6):
        write_volume(folder / f"scan_{seed}.nii.gz", a_scan(seed))
    return folder


def short(data: Path | tuple[Path, ...], output: Path, **changes) -> PretrainRequest:
    """Two steps on the CPU."""
    places = data if isinstance(data, tuple) else (data,)
    options = {"settings": SMALL, "steps": 2, "device": "cpu", "precision": "fp32"}
    return PretrainRequest(places, output, **(options | changes))


@pytest.fixture(scope="session")
def request_of() -> Callable[..., PretrainRequest]:
    """``request_of(data, output, **changes)``: see :func:`short`."""
    return short


class Ran:
    """A pre-training that was run here.

    Attributes:
        events: what it said.
        result: what came out.
    """

    def __init__(self, request: PretrainRequest) -> None:
        self.events: list[dict] = []
        self.result: PretrainResult = pretrain(request, Reporter(self.events.append))

    def told(self, kind: str) -> str:
        """The sentences of a kind, one after the other."""
        return " ".join(event["message"] for event in self.events if event["event"] == kind)


@pytest.fixture(scope="session")
def ran() -> Callable[[PretrainRequest], Ran]:
    """Runs a pre-training; see :class:`Ran`."""
    return Ran


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory, scans: Path) -> Ran:
    """A VoCo pre-training of a few steps on the six scans."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDCONTEXT_HOME", str(tmp_path_factory.mktemp("home")))
        return Ran(short(scans, tmp_path_factory.mktemp("models") / "My encoder", steps=4))
