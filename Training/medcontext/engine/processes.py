"""One process or several, started by torchrun: who speaks, who goes first, and what all agree on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, PartialState
from accelerate.state import AcceleratorState

from medcontext.devices import Device
from medcontext.engine.ranks import process_count


@contextmanager
def main_process_first(device: Device) -> Iterator[None]:
    """The first process runs the body alone, the others after it: they find the files it wrote."""
    if process_count() == 1:
        yield
        return
    with PartialState(cpu=device.kind == "cpu").main_process_first():
        yield


def make_accelerator(device: Device, precision: str) -> Accelerator:
    """An accelerator for this run on this device."""
    if process_count() == 1:
        # accelerate keeps device and precision of the first run of a process; a later run may want others.
        AcceleratorState._reset_state(reset_partial_state=True)
        if device.kind == "cuda" and device.torch_device.index is not None:
            torch.cuda.set_device(device.torch_device)
    return Accelerator(
        cpu=device.kind == "cpu",
        mixed_precision={"fp32": "no"}.get(precision, precision),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def largest_of_all(accelerator: Accelerator, value: int) -> int:
    """The largest of a number over all processes."""
    if accelerator.num_processes == 1:
        return value
    values = accelerator.gather(torch.tensor([value], device=accelerator.device))
    return int(values.max())


def from_main_process(accelerator: Accelerator, value: int) -> int:
    """A number as the first process has it."""
    if accelerator.num_processes == 1:
        return value
    values = accelerator.gather(torch.tensor([value], device=accelerator.device))
    return int(values[0])
