"""A dynunet as a network of nnU-Net: the same outputs, level by level."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from medcontext import networks
from medcontext.errors import InputError
from medcontext.networks.nnunet_twin import as_nnunet, widened_stages

UNIFORM: dict[str, Any] = {
    "filters": [4, 6, 8, 8],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2], [1, 2, 1]],
    "kernels": [[3, 3, 3]] * 4,
}
MIXED = UNIFORM | {"kernels": [[1, 3, 3], [1, 3, 3], [3, 3, 3], [1, 5, 3]]}


def a_dynunet(kwargs: dict[str, Any]) -> networks.SegmentationNetwork:
    torch.manual_seed(0)
    network = networks.build("dynunet", 2, 3, **kwargs).eval()
    for value in network.parameters():
        torch.nn.init.normal_(value, std=0.3)
    return network


@pytest.mark.parametrize(("kwargs", "widened"), [(UNIFORM, []), (MIXED, [1, 2])], ids=["uniform", "mixed"])
def test_a_dynunet_computes_the_same_as_a_network_of_nnunet(
    kwargs: dict[str, Any], widened: list[int]
) -> None:
    network = a_dynunet(kwargs | {"deep_heads": 1})
    options: Any = network.options
    assert widened_stages(options) == widened
    twin = as_nnunet(network)
    image = torch.randn(1, 2, 4, 16, 8)
    with torch.no_grad():
        expected, given = network.forward_deep(image), twin.forward_deep(image)
    assert len(given) == 3
    for mine, theirs in zip(expected, given, strict=False):
        torch.testing.assert_close(theirs, mine, rtol=1e-4, atol=1e-5)
    assert not given[2].any(), "an output that dynunet does not have is not zero"


def test_nnunets_own_network_stays_itself() -> None:
    kwargs = networks.default_kwargs("nnunet", (16, 16, 16), (1, 1, 1), "small")
    network = networks.build("nnunet", 1, 2, **kwargs)
    assert as_nnunet(network) is network


def test_what_nnunet_cannot_compute_is_refused() -> None:
    other = networks.build("segresnet", 1, 2, init_filters=4, blocks_down=[1, 1, 1])
    for network, name in (
        (other, "segresnet"),
        (a_dynunet(UNIFORM | {"res_block": True}), "residual blocks"),
    ):
        with pytest.raises(InputError, match=name) as refused:
            as_nnunet(network)
        assert "nnunet and dynunet" in str(refused.value.hint)
