"""Any registered network learns by its encoder alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.zeros import without_zeros
from medcontext import networks
from medcontext.engine.optimiser import make_optimiser
from medcontext.errors import InputError
from medcontext.methods.voco.config import ProjectorConfig
from medcontext.methods.voco.projector import NARROW, BatchNorm, Projector
from medcontext.networks import registry
from medcontext.networks.encoder import encoder_names, encoder_state, load_encoder, tap_channels


@pytest.mark.parametrize("name", registry.names())
def test_one_step_moves_the_whole_encoder_and_nothing_of_the_decoder(name, built, plan_of, monkeypatch):
    """Three channels, the smallest crop, and a decoder that must not run."""
    small = built("default", "grid=[1,1,2]", "random_crops=1", plan=plan_of(name, (1, 1, 1), channels=3))
    monkeypatch.setattr(small.network, "_decode", lambda *_: pytest.fail("the decoder ran"))
    encoder = set(encoder_names(small.network))
    without_zeros(small.network)
    before = {key: value.clone() for key, value in small.network.state_dict().items()}
    optimiser = make_optimiser(small.student, small.method.config.engine.optimiser)
    sum(small.loss(small.batch(volumes=1)).values()).backward()
    for key, parameter in small.network.named_parameters():
        assert parameter.requires_grad == (key in encoder), key
        assert (parameter.grad is not None) == (key in encoder), key
    optimiser.step()
    moved = {key for key, value in small.network.state_dict().items() if not torch.equal(value, before[key])}
    assert moved <= encoder
    assert len(moved) > 0.9 * len([key for key in encoder if before[key].is_floating_point()])
    assert all(parameter.grad is not None for parameter in small.student.projector.parameters())


@pytest.mark.parametrize("name", ["dynunet", "segresnet"])
def test_features_are_the_means_of_all_outputs_of_the_encoder(name, built, plan_of):
    small = built(plan=plan_of(name, (8, 8, 8), channels=2))
    crops = torch.randn(3, 2, *small.plan.patch_size)
    _, pooled = small.student(crops)
    means = [level.mean((2, 3, 4)) for level in small.network.encode(crops)]
    assert torch.allclose(pooled, torch.cat(means, 1), atol=1e-6)
    assert small.student.features == sum(tap_channels(small.network))


def test_swin_unetr_is_looked_at_where_the_authors_look(built, plan_of):
    """Five outputs, 24 times the feature size in all: 1152 for the published 48."""
    small = built(plan=plan_of("swin_unetr", (32, 32, 64)))
    assert small.student.features == 24 * small.network.kwargs["feature_size"]


def test_chosen_outputs_are_looked_at_and_others_refused(built):
    assert built("default", "taps=[0,2]").student.features == 4 + 8
    with pytest.raises(InputError, match="has 3 outputs, not one with the number 3"):
        built("default", "taps=[3]")


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_is_torchs_without_scale_and_memory(training):
    rows = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)) * 3 + 1
    torchs = nn.BatchNorm1d(5, affine=False, track_running_stats=False).train(training)
    mine = BatchNorm().train(training)
    assert torch.allclose(mine(rows), torchs(rows), atol=1e-5)
    assert not mine.state_dict()


def test_the_projector_has_norm_and_relu_after_all_layers_but_the_last():
    projector = Projector(10, ProjectorConfig(hidden=6, out=4), 99)
    kinds = [type(layer).__name__ for layer in projector]
    assert kinds == ["Linear", "BatchNorm", "ReLU", "Linear", "BatchNorm", "ReLU", "Linear"]
    assert [tuple(w.shape) for w in projector.parameters() if w.dim() == 2] == [(6, 10), (6, 6), (4, 6)]
    assert len(Projector(10, ProjectorConfig(layers=2), 8)) == 4
    layered = Projector(10, ProjectorConfig(norm="layer"), 8)
    rows = torch.randn(3, 10)
    assert torch.allclose(layered(rows)[:1], layered(rows[:1]), atol=1e-6)


def test_on_a_cpu_the_projector_is_narrow(built):
    settings = ("projector.hidden=auto", "projector.out=auto")
    assert built("default", *settings).student.projector[-1].weight.shape == (NARROW, NARROW)


def test_a_run_of_another_kind_of_device_is_refused_in_a_sentence(built):
    """Its projector was wider."""
    wide = built("default", "projector.hidden=2048", "projector.out=2048").student.state_dict()
    with pytest.raises(
        InputError, match=r"begun with a projector of 2048 numbers, on another kind of device or"
    ):
        built("default", "projector.hidden=auto", "projector.out=auto").student.load_state_dict(wide)


@pytest.mark.parametrize("name", ["dynunet", "swin_unetr", "unetr"])
def test_what_learnt_is_what_moves_into_another_network(name, built, plan_of):
    """All of the encoder matches, nothing else is taken, and it then computes the same."""
    small = built(plan=plan_of(name, (8, 8, 8)))
    state = {f"network.{key}": value for key, value in encoder_state(small.network).items()}
    learning = {key for key, parameter in small.student.named_parameters() if parameter.requires_grad}
    assert {key for key in learning if key.startswith("network.")} <= set(state)
    other = networks.build(small.plan.network, 1, 5)
    whole = {key.removeprefix("network."): value for key, value in small.student.state_dict().items()}
    report = load_encoder(other, whole, "a run")
    assert len(report.matched) == len(state) == report.tensors
    assert {key for key, _ in report.unmatched} == set(whole) - {
        key.removeprefix("network.") for key in state
    }
    crops = torch.randn(2, 1, *small.plan.patch_size)
    for mine, moved in zip(small.network.eval().encode(crops), other.eval().encode(crops), strict=True):
        assert torch.equal(mine, moved)
