"""The network that most models are made of is MONAI's, though MONAI is not loaded for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.networks import nets
from torch import nn

from medcontext import networks
from medcontext.errors import InputError

SHAPE: dict[str, Any] = {
    "filters": [4, 6, 6, 8],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 3], [1, 1, 2]],
    "kernels": [[1, 3, 3], [3, 3, 3], [3, 3, 5], [1, 3, 3]],
}


@pytest.mark.parametrize("res_block", [False, True])
def test_a_seed_gives_the_weights_and_logits_that_it_gives_with_monai(res_block: bool) -> None:
    strides = SHAPE["strides"] if not res_block else [[1, 1, 1], [1, 2, 2], [2, 2, 2], [1, 1, 1]]
    kwargs = SHAPE | {"strides": strides, "res_block": res_block, "dropout": 0.2}
    torch.manual_seed(3)
    network = networks.build("dynunet", 2, 3, **kwargs)
    plain = network.monai_equivalent()
    assert plain is not None
    torch.manual_seed(3)
    twin = nets.DynUNet(**plain.kwargs)
    ours, theirs = network.backbone.state_dict(), twin.state_dict()
    assert {name for name in theirs if not name.startswith("skip_layers.")} == set(ours)
    assert all(torch.equal(weight, theirs[name]) for name, weight in ours.items())

    dropped = [
        [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)] for model in (network, twin)
    ]
    assert dropped[0] == dropped[1] != []
    image = torch.randn(2, 2, 4, 16, 24)
    with torch.no_grad():
        assert torch.equal(network.eval()(image), twin.eval()(image))


def test_a_kernel_that_would_leave_voxels_out_is_refused() -> None:
    with pytest.raises(InputError, match=r"a kernel of \(1, 3, 3\) is too small for a stride of \(3, 1, 1\)"):
        networks.build("dynunet", 1, 2, **SHAPE | {"strides": [*SHAPE["strides"][:3], [3, 1, 1]]})
