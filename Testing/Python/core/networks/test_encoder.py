"""The encoder of every registered network: which tensors it is, and that it moves into another network."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from medcontext import networks
from medcontext.errors import InputError
from medcontext.networks.encoder import compare, encoder_names, encoder_state, load_encoder, tap_channels

pytestmark = pytest.mark.usefixtures("names_once")


def _changed(value: torch.Tensor) -> torch.Tensor:
    return value * 2 + 0.1 if value.is_floating_point() else value


def test_features_depend_on_the_encoders_tensors_and_on_no_other(example: Any) -> None:
    network, image = example.build().eval(), example.image()
    names = encoder_names(network)
    state = network.state_dict()
    assert names == [name for name in state if name in set(names)]
    assert 0 < len(names) < len(state)
    with torch.no_grad():
        before = network.encode(image)
        network.load_state_dict({n: v if n in names else _changed(v) for n, v in state.items()}, strict=True)
        assert all(torch.equal(a, b) for a, b in zip(before, network.encode(image), strict=True))


def test_every_tensor_that_gets_a_gradient_from_encode_is_the_encoders(example: Any) -> None:
    network = example.build()
    sum(level.square().mean() for level in network.encode(example.image())).backward()
    learning = {name for name, weight in network.named_parameters() if weight.grad is not None}
    parameters = {name for name, _ in network.named_parameters()}
    assert set(encoder_names(network)) & parameters == learning


def test_asking_for_names_changes_nothing(example: Any) -> None:
    network = example.build().train().requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = encoder_names(network)
    assert encoder_names(network) == first
    assert network.training
    assert not any(p.requires_grad or p.grad is not None for p in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_channels_of_the_taps_are_those_of_the_features(example: Any) -> None:
    network = example.build()
    assert tap_channels(network) == tuple(level.shape[1] for level in network.encode(example.image()))


def test_an_encoder_moves_into_a_network_of_other_classes(example: Any) -> None:
    one = example.build(seed=0).eval()
    torch.manual_seed(1)
    other = networks.build(example.name, example.in_channels, example.classes + 2, **example.kwargs).eval()
    names = set(encoder_names(other))
    decoder = {n: v.clone() for n, v in other.state_dict().items() if n not in names}
    report = load_encoder(other, encoder_state(one), "the first")
    assert len(report.matched) == report.tensors == len(names)
    assert (report.unmatched, report.missing, report.share) == ((), (), 1.0)
    with torch.no_grad():
        pairs = zip(one.encode(example.image()), other.encode(example.image()), strict=True)
        assert all(torch.equal(mine, theirs) for mine, theirs in pairs)
    assert all(torch.equal(other.state_dict()[name], value) for name, value in decoder.items())


def test_weights_of_less_precision_are_taken(example: Any) -> None:
    one, other = example.build(seed=0), example.build(seed=1)
    half = {n: v.half() if v.is_floating_point() else v for n, v in encoder_state(one).items()}
    assert load_encoder(other, half, "the first").share == 1
    assert all(
        torch.allclose(value, other.state_dict()[name], atol=1e-3)
        for name, value in encoder_state(one).items()
    )


@pytest.fixture
def a_network() -> networks.SegmentationNetwork:
    torch.manual_seed(0)
    kwargs: dict[str, Any] = {"filters": [4, 6, 8], "strides": [[1] * 3, [2] * 3, [2] * 3]}
    return networks.build("dynunet", 1, 2, **kwargs, kernels=[[3] * 3] * 3)


def test_what_does_not_fit_is_named_with_the_reason(a_network: networks.SegmentationNetwork) -> None:
    state = encoder_state(a_network)
    first, second, third, fourth = list(state)[:4]
    given = {
        **state,
        first: torch.zeros(5, *state[first].shape[1:]),
        second: torch.zeros(state[second].shape, dtype=torch.int64),
        "projector.0.weight": torch.zeros(3),
    }
    del given[third]
    report = load_encoder(a_network, given, "a file")
    reasons = dict(report.unmatched)
    assert reasons[first] == f"shape {tuple(given[first].shape)} instead of {tuple(state[first].shape)}"
    assert reasons[second] == "int64 instead of float32"
    assert reasons["projector.0.weight"] == "not in the encoder of this network"
    assert set(reasons) == {first, second, "projector.0.weight"}
    assert report.missing == (third,)
    assert fourth in report.matched
    assert report.share == pytest.approx((len(state) - 3) / len(state))
    assert report.to_json()["unmatched"][0] == {"name": first, "reason": reasons[first]}


def test_below_half_it_is_refused_and_nothing_changes(a_network: networks.SegmentationNetwork) -> None:
    names = encoder_names(a_network)
    given = {name: torch.ones_like(a_network.state_dict()[name]) for name in names[: len(names) // 2 - 1]}
    before = {name: value.clone() for name, value in a_network.state_dict().items()}
    with pytest.raises(InputError) as refused:
        load_encoder(a_network, given, "'Abdomen' (a dynunet)")
    message = refused.value.message
    assert f"Only {len(given)} of {len(names)} tensors of the encoder of this dynunet" in message
    assert "'Abdomen' (a dynunet)" in message
    assert f"the first that is missing is {names[len(given)]}" in message
    assert all(torch.equal(value, before[name]) for name, value in a_network.state_dict().items())


def test_an_encoder_of_another_network_fits_nowhere(a_network: networks.SegmentationNetwork) -> None:
    other = networks.build("segresnet", 1, 2, init_filters=4, blocks_down=[1, 1, 1])
    report = compare(a_network, encoder_state(other))
    assert report.matched == ()
    assert report.share == 0
    assert len(report.missing) == report.tensors
    with pytest.raises(
        InputError, match=r"the first that does not fit is backbone\.encoder\.conv_init\.weight"
    ):
        load_encoder(a_network, encoder_state(other), "'Liver' (a segresnet)")
