"""One process or several, started by torchrun: who speaks, who goes first, and what all agree on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from medcontext.devices import Device
from medcontext.engine.one_process import OneProcess
from medcontext.engine.ranks import process_count

if TYPE_CHECKING:
    from accelerate import Accelerator


@contextmanager
def main_process_first(device: Device) -> Iterator[None]:
    """The first process runs the body alone, the others after it: they find the files it wrote."""
    if process_count() == 1:
        yield
        return
    from accelerate import PartialState

    with PartialState(cpu=device.kind == "cpu").main_process_first():
        yield


def make_accelerator(device: Device, precision: str) -> Accelerator | OneProcess:
    """What joins the processes of this run: accelerate, where there are several or fp16 needs its gradients scaled."""
    if process_count() == 1:
        if device.kind == "cuda" and device.torch_device.index is not None:
            torch.cuda.set_device(device.torch_device)
        if precision != "fp16":
            return OneProcess(device.torch_device, precision)
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState

    if process_count() == 1:
        # accelerate keeps device and precision of the first run of a process; a later run may want others.
        AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(
        cpu=device.kind == "cpu",
        mixed_precision={"fp32": "no"}.get(precision, precision),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def largest_of_all(accelerator: Accelerator | OneProcess, value: int) -> int:
    """The largest of a number over all processes."""
    if isinstance(accelerator, OneProcess):
        return value
    values = accelerator.gather(torch.tensor([value], device=accelerator.device))
    return int(values.max())


def from_main_process(accelerator: Accelerator | OneProcess, value: int) -> int:
    """A number as the first process has it."""
    if isinstance(accelerator, OneProcess):
        return value
    values = accelerator.gather(torch.tensor([value], device=accelerator.device))
    return int(values[0])
