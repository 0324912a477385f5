"""What a run would hand over now."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

from medcontext.engine.method import Method
from medcontext.masking.network import MaskToken


class Delivery:
    """The method's network, moved back towards where it started as far as the settings say.

    ``theta = (1 - a) theta_start + a theta_trained`` for parameters and other floating-point numbers (Wortsman et al.
    2022, *Robust fine-tuning of zero-shot models*, section 3). What was known before and what was learnt are
    then both kept, where few cases teach a network that is good at them already.

    Args:
        method: built, and not trained yet.
        share: ``a``, above 0 and up to 1, which delivers the trained network itself.
    """

    def __init__(self, method: Method, share: float) -> None:
        self._method = method
        self._share = share
        start = {} if share >= 1 else method.deliver().state_dict()
        self._start = {name: value.detach().clone() for name, value in start.items()}

    @torch.no_grad()
    def network(self) -> nn.Module:
        """The network; not to be changed."""
        trained = self._method.deliver()
        if not self._start:
            return trained
        blend = deepcopy(trained)
        for name, value in blend.state_dict().items():
            if value.is_floating_point():
                value.lerp_(self._start[name].to(value), 1 - self._share)
        return blend

    def mask_token(self) -> MaskToken | None:
        """What the network takes for hidden parts."""
        return self._method.mask_token()
