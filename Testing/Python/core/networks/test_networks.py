"""What training, prediction and the model library rely on, for every registered network."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from monai.networks import nets
from safetensors.torch import load, save

from medcontext import networks
from medcontext.errors import InputError


def test_every_network_has_an_example(request: pytest.FixtureRequest) -> None:
    plugin = request.session.config.pluginmanager
    examples = next(m.EXAMPLES for m in plugin.get_plugins() if hasattr(m, "EXAMPLES"))
    assert sorted(e.name for e in examples) == sorted(networks.names())


def test_logits_have_the_size_of_the_image(example: Any) -> None:
    logits = example.build()(example.image(batch=2))
    assert logits.shape == (2, example.classes, *example.patch)


def test_deep_outputs_come_finest_first_at_their_own_resolution(example: Any) -> None:
    network = example.build().eval()
    outputs = network.forward_deep(example.image())
    assert [tuple(level.shape[2:]) for level in outputs] == example.outputs
    assert all(level.shape[1] == example.classes for level in outputs)
    assert torch.equal(outputs[0], network(example.image()))


def test_features_come_finest_first_and_need_no_decoder(example: Any) -> None:
    network = example.build()
    features = network.encode(example.image())
    sizes = [level[0, 0].numel() for level in features]
    assert len(features) >= 3
    assert sizes == sorted(sizes, reverse=True)
    assert all(level.shape[0] == 1 and level.ndim == 5 for level in features)
    sum(level.square().mean() for level in features).backward()
    idle = [name for name, weight in network.named_parameters() if weight.grad is None]
    assert len(idle) > 2, "encode() ran the decoder"


def test_training_mode_computes_what_evaluation_mode_does(example: Any) -> None:
    network, image = example.build(), example.image()
    with torch.no_grad():
        training = network.train()(image)
        evaluation = network.eval()(image)
    assert torch.equal(training, evaluation)


def test_samples_of_a_batch_do_not_influence_each_other(example: Any) -> None:
    network = example.build()
    with torch.no_grad():
        alone = network(example.image(1))
        together = network(torch.cat([example.image(0), example.image(1)]))
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-5)


def test_weights_survive_safetensors(example: Any) -> None:
    network, other, image = example.build(0).eval(), example.build(1).eval(), example.image()
    with torch.no_grad():
        expected = network.forward_deep(image)
        assert not torch.equal(other(image), expected[0])
        other.load_state_dict(load(save(network.state_dict())))  # save refuses tensors that share memory
        assert all(torch.equal(a, b) for a, b in zip(other.forward_deep(image), expected, strict=True))


def test_kwargs_are_json_that_builds_the_same_network(example: Any) -> None:
    network = example.build()
    kwargs = json.loads(json.dumps(network.kwargs))
    twin = networks.build(example.name, example.in_channels, example.classes, **kwargs)
    assert twin.kwargs == network.kwargs
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    assert {name: tensor.shape for name, tensor in twin.state_dict().items()} == shapes


def test_every_weight_learns_from_the_deep_outputs(example: Any) -> None:
    network = example.build()
    sum(level.square().mean() for level in network.forward_deep(example.image())).backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_the_monai_network_computes_the_same(example: Any) -> None:
    network, image = example.build().eval(), example.image()
    plain = network.monai_equivalent()
    if plain is None:
        assert example.name in ("nnformer", "nnunet")
        return
    twin = getattr(nets, plain.class_name)(**json.loads(json.dumps(plain.kwargs)))
    twin.load_state_dict(plain.state)
    with torch.no_grad():
        assert torch.equal(twin.eval()(image), network(image))


def test_a_patch_that_does_not_fit_gets_a_sentence(example: Any) -> None:
    network = example.build()
    wrong = torch.zeros(1, example.in_channels, *(n + 1 for n in example.patch))
    size = r"\d+ x \d+ x \d+"
    for call in (network, network.forward_deep, network.encode):
        with pytest.raises(InputError, match=rf"{example.name} cannot take a patch of {size} .* Use {size}"):
            call(wrong)
    with pytest.raises(InputError, match=rf"takes images of shape \(batch, {example.in_channels}, K, J, I\)"):
        network(torch.zeros(1, example.in_channels + 1, *example.patch))


def test_the_smallest_patch_works_and_less_is_refused_with_what_would_fit(example: Any) -> None:
    smallest = networks.round_patch(example.name, example.kwargs, (1, 1, 1))
    network = example.build().train()
    assert network(torch.randn(1, example.in_channels, *smallest)).shape[2:] == smallest
    one_voxel = network.patch_rule.multiple
    allowed = "takes nothing else" if example.name == "unetr" else "one of them at least twice that"
    with pytest.raises(InputError, match=allowed) as caught:
        networks.check_patch(example.name, example.kwargs, one_voxel)
    fitting = networks.round_patch(example.name, example.kwargs, one_voxel)
    assert caught.value.hint == f"Use {' x '.join(map(str, fitting))}."
