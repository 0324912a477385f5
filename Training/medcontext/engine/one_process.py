"""A training that only one process takes part in.

It needs nothing of accelerate, which with what it touches of torch (its compiler, distributed training) takes two
seconds of CPU to load: each fine-tuning in Slicer would begin with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as trees

from medcontext.devices import torch_dtype


class OneProcess:
    """What a run uses of :class:`accelerate.Accelerator`, in float32 or bfloat16: nothing is scaled or gathered.

    Args:
        device: where everything lies.
        precision: ``fp32`` or ``bf16``, in which convolutions and products are computed.
    """

    process_index = 0
    num_processes = 1
    is_main_process = True
    scaler = None

    def __init__(self, device: torch.device, precision: str) -> None:
        self.device = device
        self._dtype = torch_dtype(precision)

    def prepare(self, part: Any) -> Any:
        """A network or an optimiser as it is; a network's answers are float32 in every precision."""
        if isinstance(part, nn.Module) and self._dtype != torch.float32:
            part.register_forward_hook(_in_float32)
        return part

    def autocast(self) -> AbstractContextManager[None]:
        """Inside, convolutions and products are computed in the precision of the run."""
        if self._dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self._dtype)

    def backward(self, loss: Any) -> None:
        """Compute the gradients of a tensor of one number."""
        loss.backward()

    def clip_grad_norm_(self, parameters: Iterable[nn.Parameter], largest: float) -> None:
        """Shrink the gradients so that their norm is at most ``largest``."""
        nn.utils.clip_grad_norm_(list(parameters), largest)

    def unwrap_model(self, network: nn.Module) -> nn.Module:
        """The network itself."""
        return network


def _in_float32(_network: nn.Module, _given: Any, answer: Any) -> Any:
    return trees.tree_map_only(Tensor, lambda t: t.float() if t.is_floating_point() else t, answer)
