"""Small pictures, and one run of the method on one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medcontext.devices import choose_device
from medcontext.engine.loop import train
from medcontext.engine.method import Clock, Stage
from medcontext.engine.run import Outcome
from medcontext.engine.single_image import single_image_run
from medcontext.events import Reporter
from medcontext.methods.s3net.config import S3NetConfig
from medcontext.methods.s3net.method import S3NetMethod, make_network


@dataclass
class Learnt:
    """A run that is over."""

    method: S3NetMethod
    network: nn.Module
    outcome: Outcome

    @property
    def labels(self) -> Tensor:
        return self.method.labels().cpu()


@pytest.fixture(scope="session")
def disc() -> np.ndarray:
    """bool (48, 64): a disc that lies left of the middle."""
    j, i = np.mgrid[:48, :64]
    found: np.ndarray = (j - 22) ** 2 + (i - 27) ** 2 < 13**2
    return found


@pytest.fixture(scope="session")
def lesion(disc: np.ndarray) -> np.ndarray:
    """(3, 48, 64), 0..255: the disc, dark and noisy, on skin that is brighter on one side."""
    rng = np.random.default_rng(3)
    skin = np.array([200.0, 160.0, 140.0])[:, None, None] + np.linspace(-15, 15, 64)
    picture = np.where(disc, np.array([90.0, 60.0, 50.0])[:, None, None], skin)
    return np.clip(picture + rng.normal(0, 6, (3, 48, 64)), 0, 255).astype(np.float32)


@pytest.fixture(scope="session")
def picture() -> Tensor:
    """(1, 3, 16, 16) of noise."""
    return torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="session")
def clock() -> Callable[..., Clock]:
    """A moment of a run."""

    def at(step: int = 0, seed: int = 0) -> Clock:
        return Clock(step, 10, Stage("s3net", 1.0, 1.0, 0, 1), 0, step / 10, seed)

    return at


@pytest.fixture(scope="session")
def learn() -> Callable[..., Learnt]:
    """Runs the method on an image through the engine."""

    def run(image: Tensor, config: S3NetConfig, seed: int = 0, network: nn.Module | None = None) -> Learnt:
        network = network or make_network(config, image, seed)
        method = S3NetMethod(config)
        made = single_image_run(
            image,
            network,
            method,
            config.engine,
            choose_device("cpu"),
            steps=config.most_iterations,
            seed=seed,
            finished=method.finished,
        )
        return Learnt(method, network, train(made, Reporter()))

    return run
