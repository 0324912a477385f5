"""Only the encoder learns, and what is hidden is hidden: for every network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from harness.zeros import without_zeros
from medcontext import networks
from medcontext.data.sampling import generator_for
from medcontext.engine.method import Clock
from medcontext.errors import InputError
from medcontext.methods.mae.config import MaeConfig
from medcontext.methods.mae.method import Mae
from medcontext.networks import registry
from medcontext.networks.encoder import encoder_names
from medcontext.plan import Plan

pytestmark = pytest.mark.usefixtures("names_once")


@pytest.fixture(params=registry.names())
def built(request: pytest.FixtureRequest, plan_of: Callable[..., Plan]) -> Any:
    """Method, student, network, and a batch of two crops of two channels, for each network in turn."""
    plan = plan_of(request.param, channels=2, batch=1)
    torch.manual_seed(0)
    network = networks.build(plan.network, 2, plan.classes)
    method = Mae(MaeConfig().updated(["crops=2", "width=8"]))
    student = method.build(network, plan)
    shape = [n + 3 for n in plan.patch_size]
    volume = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float16)
    return method, student, network, method.make([volume], [0], [generator_for(0, 0, 0)])


def test_the_encoder_gets_a_gradient_and_the_decoder_none(built: Any) -> None:
    method, student, network, batch = built
    without_zeros(network)
    clock = Clock(0, 1, method.stages(1, 1, 1)[0], 0, 0.0, 0)
    sum(method.loss(student, batch, clock).values()).backward()
    learnt = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    parameters = dict(network.named_parameters())
    encoder = set(encoder_names(network)) & set(parameters)
    assert 0 < len(encoder) < len(parameters)
    assert {name for name, p in parameters.items() if p.requires_grad} == encoder
    assert not {name for name, p in parameters.items() if p.grad is not None} - encoder
    # A few get a gradient of exactly zero: biases before a norm, in some networks.
    assert len(learnt) > 0.6 * len(encoder)
    unused = [n for n, p in student.named_parameters() if p.requires_grad and p.grad is None]
    assert unused == []  # several processes would stop


def test_hidden_voxels_change_nothing(built: Any) -> None:
    _, student, _, batch = built
    student.eval()
    other = torch.where(batch.hidden.unsqueeze(1), 1000.0, batch.image)
    with torch.no_grad():
        rebuilt = student(batch.image, batch.hidden)
        assert rebuilt.shape == batch.image.shape
        assert torch.equal(rebuilt, student(other, batch.hidden))
        assert not torch.equal(rebuilt, student(batch.image + 1, batch.hidden))


def test_about_the_share_asked_for_is_hidden_in_whole_tokens(built: Any) -> None:
    method, _, network, batch = built
    cell = network.mask_points().cell
    assert all(mine % token == 0 for mine, token in zip(method.config.mask.cell, cell, strict=True))
    pooled = torch.nn.functional.avg_pool3d(batch.hidden.float().unsqueeze(1), cell)
    assert set(pooled.unique().tolist()) == {0.0, 1.0}
    assert 0.4 < batch.hidden.float().mean() < 0.65


def test_what_is_delivered_is_the_network_that_learnt(built: Any) -> None:
    method, student, network, _ = built
    before = {name: value.clone() for name, value in network.state_dict().items()}
    delivered = method.deliver()
    assert type(delivered) is type(network)
    assert delivered.kwargs == network.kwargs
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1.0)
    method.after_step(student, momentum=0.5)
    after = method.deliver().state_dict()
    name = next(n for n, p in network.named_parameters() if p.requires_grad)
    assert torch.allclose(after[name], before[name] + 0.5)


def test_crops_that_the_network_does_not_take_are_refused(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of()
    network = networks.build(plan.network, 1, 1)
    with pytest.raises(InputError, match="multiples of"):
        Mae(MaeConfig()).build(network, plan.model_copy(update={"patch_size": (15, 16, 16)}))


def test_a_crop_of_one_cell_is_refused(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of()
    with pytest.raises(InputError, match="16 x 16 x 16 voxels has 1 cell"):
        Mae(MaeConfig().updated(["mask.cell=16"])).build(networks.build(plan.network, 1, 1), plan)
