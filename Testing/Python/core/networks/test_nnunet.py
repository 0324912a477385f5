"""The networks of nnU-Net: they compute what those of its package do, whatever its checkpoints call the weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from dynamic_network_architectures.building_blocks.residual import BottleneckD
from torch import nn

from medcontext import networks
from medcontext.errors import InputError
from medcontext.inference.plan import ExecutionPlan, planned_forward
from medcontext.networks.nnunet import NNUNet, load_nnunet_state

ROOM: dict[str, Any] = {
    "features_per_stage": [4, 6, 8],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
    "n_conv_per_stage_decoder": [2, 1],
}
SLICES: dict[str, Any] = {
    "features_per_stage": [4, 6, 8],
    "strides": [[1, 1], [2, 2], [2, 1]],
    "kernel_sizes": [[3, 3], [3, 3], [5, 3]],
    "n_conv_per_stage_decoder": [1, 2],
}
PLAIN = {"n_conv_per_stage": [2, 1, 2]}
RESIDUAL = {"n_blocks_per_stage": [1, 2, 1]}
THEIR_NORM = {"norm_op_kwargs": {"eps": 1e-3, "affine": True}}
OUR_NORM = {"norm_eps": 1e-3}
LEAKY: dict[str, Any] = {"nonlin": nn.LeakyReLU, "nonlin_kwargs": {"inplace": True}}
FORMS: dict[str, tuple[type[nn.Module], dict[str, Any], dict[str, Any]]] = {
    "plain": (
        PlainConvUNet,
        ROOM | PLAIN | LEAKY | THEIR_NORM | {"conv_bias": True, "norm_op": nn.InstanceNorm3d},
        ROOM | PLAIN | OUR_NORM,
    ),
    "residual": (
        ResidualEncoderUNet,
        ROOM | RESIDUAL | LEAKY | THEIR_NORM | {"conv_bias": False, "norm_op": nn.InstanceNorm3d},
        ROOM | RESIDUAL | OUR_NORM | {"architecture": "residual_encoder", "conv_bias": False},
    ),
    "bottleneck with batch norm": (
        ResidualEncoderUNet,
        ROOM
        | RESIDUAL
        | {"norm_op": nn.BatchNorm3d, "nonlin": nn.ReLU, "conv_bias": True, "stem_channels": 3}
        | {"block": BottleneckD, "bottleneck_channels": [2, 3, 4]},
        ROOM
        | RESIDUAL
        | {"architecture": "residual_encoder", "norm": "batch", "nonlinearity": "relu", "stem_channels": 3}
        | {"block": "bottleneck", "bottleneck_channels": [2, 3, 4]},
    ),
    "slices": (
        PlainConvUNet,
        SLICES | PLAIN | LEAKY | {"conv_bias": True, "conv_op": nn.Conv2d}
        | {"norm_op": nn.InstanceNorm2d, "norm_op_kwargs": {"affine": True}}
        | {"dropout_op": nn.Dropout2d, "dropout_op_kwargs": {"p": 0.1}, "nonlin_first": True},
        SLICES | PLAIN | {"dims": 2, "dropout": 0.1, "nonlinearity_first": True},
    ),
    "residual slices": (
        ResidualEncoderUNet,
        SLICES | RESIDUAL | LEAKY | {"norm_op": nn.InstanceNorm2d, "conv_op": nn.Conv2d},
        SLICES | RESIDUAL | {"dims": 2, "architecture": "residual_encoder", "conv_bias": False}
        | {"norm_affine": False},
    ),
}  # fmt: skip


def theirs(form: str, seed: int = 0) -> nn.Module:
    """A network of nnU-Net with weights, biases and statistics that are all random."""
    torch.manual_seed(seed)
    kind, kwargs, _ = FORMS[form]
    network = kind(
        input_channels=2, n_stages=3, num_classes=3, deep_supervision=True, **{"conv_op": nn.Conv3d} | kwargs
    )
    state = network.state_dict()
    for name, value in state.items():
        if value.is_floating_point():
            value.copy_(
                torch.rand_like(value) + 0.5 if "running_var" in name else 0.3 * torch.randn_like(value)
            )
    return network.eval()


def ours(form: str) -> NNUNet:
    network = networks.build("nnunet", 2, 3, **FORMS[form][2])
    assert isinstance(network, NNUNet)
    return network.eval()


@pytest.mark.parametrize("form", FORMS)
def test_weights_of_nnunet_compute_the_same_at_every_level(form: str) -> None:
    twin, network = theirs(form), ours(form)
    network.load_state_dict(load_nnunet_state(twin.state_dict()))
    flat = network.kwargs["dims"] == 2
    image = torch.randn(2, 2, 16, 8) if flat else torch.randn(2, 2, 4, 16, 8)
    with torch.no_grad():
        expected = twin(image)
        given = network.forward_deep(image.unsqueeze(2) if flat else image)
        assert [level.ndim for level in given] == [5, 5]
        for mine, level in zip(given, expected, strict=True):
            torch.testing.assert_close(mine.squeeze(2) if flat else mine, level, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_weights_return_to_nnunet_under_all_their_names(form: str) -> None:
    twin, network = theirs(form), ours(form)
    network.load_state_dict(load_nnunet_state(twin.state_dict()))
    state = network.nnunet_state()
    assert list(state) == list(twin.state_dict())
    assert all(torch.equal(value, state[name]) for name, value in twin.state_dict().items())


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod."])
def test_prefixes_of_compiled_and_distributed_networks_are_taken_off(prefix: str) -> None:
    state = theirs("plain").state_dict()
    prefixed = load_nnunet_state({prefix + name: value for name, value in state.items()})
    plain = load_nnunet_state(state)
    assert list(prefixed) == list(plain)
    assert len(plain) < len(state) / 2


def test_what_is_not_known_keeps_its_name_and_is_not_lost() -> None:
    state = theirs("plain").state_dict() | {"decoder.gate.conv.weight": torch.zeros(1)}
    loaded = load_nnunet_state(state)
    with pytest.raises(RuntimeError, match=r"backbone\.decoder\.gate\.conv\.weight"):
        ours("plain").load_state_dict(loaded)


def test_a_network_of_slices_takes_slices_only() -> None:
    network = ours("slices")
    with pytest.raises(
        InputError, match=r"patch of 4 x 16 x 8 voxels .* works on single slices\. Use 1 x 16 x 8"
    ):
        network(torch.zeros(1, 2, 4, 16, 8))
    assert networks.round_patch("nnunet", network.kwargs, (8, 3, 1)) == (1, 8, 2)
    assert networks.nearest_patch("nnunet", network.kwargs, (8, 30, 3)) == (1, 32, 4)


def test_batch_norm_keeps_its_statistics_in_training() -> None:
    network = ours("bottleneck with batch norm").train()
    before = {name: value.clone() for name, value in network.state_dict().items() if "running" in name}
    image = torch.randn(2, 2, 4, 16, 8)
    with torch.no_grad():
        assert torch.equal(network(image), network.eval()(image))
    assert before
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize("form", ["residual", "slices"])
def test_the_fastest_form_of_inference_can_compute_it(form: str) -> None:
    """Half precision, channels last: a CPU of the last years needs a quarter of the time."""
    network = ours(form)
    image = torch.randn(2, 2, 1, 32, 32) if form == "slices" else torch.randn(2, 2, 8, 16, 16)
    with torch.inference_mode():
        expected = network(image)
        given = planned_forward(network, ExecutionPlan("bf16", channels_last=True))(image)
    assert given.dtype == torch.float32
    assert (given - expected).abs().mean() < 0.05 * expected.std()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"strides": [[1, 1, 1]]}, "one entry for each stage"),
        ({"strides": [[2, 2, 2], [1, 2, 2], [2, 2, 2]]}, "first stride must be 1"),
        ({"kernel_sizes": [3, 3, 4]}, "must be odd"),
        ({"n_conv_per_stage": None}, "n_conv_per_stage needs one entry"),
        ({"n_blocks_per_stage": [1, 1, 1]}, "belongs to the other architecture"),
        ({"stem_channels": 4}, "belong to residual_encoder"),
        ({"n_conv_per_stage_decoder": [1]}, "one entry less than there are stages"),
        ({"dims": 2}, "a network of slices has kernels and strides of 1"),
        ({"features_per_stage": [4, 6, 10**7]}, "features_per_stage"),
        ({"features_per_stage": [4] * 1000}, "features_per_stage"),
        ({"n_conv_per_stage": [10**9, 1, 1]}, "n_conv_per_stage"),
    ],
)
def test_impossible_options_get_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        networks.build("nnunet", 1, 2, **{**FORMS["plain"][2], **changes})


def test_new_ones_get_as_many_blocks_as_nnunet_plans() -> None:
    """ResEnc M of nnU-Net for 128 voxels a side at 1 mm: 32 to 320 features, 1, 3, 4, 6, 6, 6 blocks."""
    kwargs = networks.default_kwargs("nnunet", (128, 128, 128), (1, 1, 1), "large")
    assert kwargs["features_per_stage"] == [32, 64, 128, 256, 320, 320]
    assert kwargs["n_blocks_per_stage"] == [1, 3, 4, 6, 6, 6]
    assert kwargs["n_conv_per_stage_decoder"] == [1] * 5
