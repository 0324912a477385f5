"""Small cases on which the whole loop runs in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from medcontext import networks
from medcontext.data.preprocess import PreparedCase, class_locations
from medcontext.devices import choose_device
from medcontext.engine.loop import Run
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
    options = {
        "folder": folder,
        "plan": plan,
        "network": networks.build(plan.network, 1, 3),
        "method": make_method(method, config),
        "labelled": [a_case(0), a_case(1)],
        "unlabelled": [a_case(2, labelled=False), a_case(3, labelled=False)],
        "validation": [],
        "config": config.engine,
        "device": choose_device("cpu"),
        "precision": "fp32",
        "steps": 8,
    }
    return Run(**(options | changes))


@pytest.fixture
def run_of():
    """Makes runs; see :func:`a_run`."""
    return a_run
