"""Where networks run: CUDA, Apple graphics after a self-test, or the CPU; and in which precision."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import Literal

import psutil
import torch
from torch import nn

from medcontext.errors import InputError
from medcontext.events import Reporter

Precision = Literal["fp32", "bf16", "fp16"]

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
MINIMUM_TORCH_FOR_MPS = (2, 8)
SELF_TEST_TOLERANCE = 1e-3
"""Largest difference from the CPU accepted of a device: float32 kernels stay below 1e-5 on the self-test."""


@dataclass(frozen=True)
class Device:
    """Where to compute.

    Attributes:
        torch_device: handle for torch.
        name: what the user calls it, such as ``NVIDIA H200`` or ``CPU``.
        reason: one sentence that says why it was taken.
    """

    torch_device: torch.device
    name: str
    reason: str

    @property
    def kind(self) -> str:
        """``cpu``, ``cuda`` or ``mps``."""
        return self.torch_device.type


def choose_device(name: str = "auto", reporter: Reporter | None = None) -> Device:
    """The device to compute on.

    Args:
        name: ``auto`` takes CUDA, else Apple graphics after its self-test, else the CPU; or ``cpu``,
            ``cuda``, ``cuda:1``, ``mps``.
        reporter: is warned when a device is present but cannot be used.

    Raises:
        InputError: the name is unknown or that device cannot be used; the sentence says why.
    """
    kind = name.partition(":")[0]
    if name == "auto":
        return _automatic(reporter or Reporter())
    if kind not in ("cpu", "cuda", "mps") or (kind != "cuda" and name != kind):
        raise InputError(f"There is no device '{name}'.", "Allowed: auto, cpu, cuda, cuda:N, mps.")
    if kind == "cpu":
        return _cpu("The CPU was asked for.")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"There is no device '{name}'.", "Allowed: auto, cpu, cuda, cuda:N, mps.") from error
    problem = _cuda_problem(device) if kind == "cuda" else _mps_problem()
    if problem:
        raise InputError(f"Device '{name}' cannot be used: {problem}.", "Choose auto or cpu.")
    return Device(device, _device_name(device), f"{name} was asked for.")


def _automatic(reporter: Reporter) -> Device:
    problems = []
    for device, present, check in (
        (torch.device("cuda"), torch.cuda.is_available(), lambda: _cuda_problem(torch.device("cuda"))),
        (torch.device("mps"), torch.backends.mps.is_available(), _mps_problem),
    ):
        if not present:
            continue
        problem = check()
        name = _device_name(device)
        if problem is None:
            return Device(device, name, f"{name} was found and passed its test.")
        problems.append(f"{name} cannot be used: {problem}")
        reporter.warning(f"{problems[-1]}. Running on another device.")
    return _cpu(f"{'; '.join(problems)}." if problems else "No graphics processor was found.")


def _cpu(reason: str) -> Device:
    return Device(torch.device("cpu"), "CPU", reason)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "Apple graphics" if device.type == "mps" else "CPU"


def _cuda_problem(device: torch.device) -> str | None:
    """Why a CUDA device cannot be used, or None."""
    if not torch.cuda.is_available():
        return "no CUDA device was found, or this torch was built without CUDA"
    if device.index is not None and device.index >= torch.cuda.device_count():
        return f"there are {torch.cuda.device_count()} CUDA devices, counted from 0"
    return _self_test(device)


def _mps_problem() -> str | None:
    """Why Apple graphics cannot be used, or None."""
    if not torch.backends.mps.is_available():
        return "this machine or this torch has no Apple graphics"
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < MINIMUM_TORCH_FOR_MPS:
        return f"torch {torch.__version__} is older than 2.8"
    return _self_test(torch.device("mps"))


def _self_test(device: torch.device) -> str | None:
    """Run the layers that segmentation networks are made of here and on the CPU and compare."""
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(
        nn.Conv3d(2, 8, 3, padding=1),
        nn.InstanceNorm3d(8, affine=True),
        nn.LeakyReLU(0.01),
        nn.Conv3d(8, 16, 3, stride=2, padding=1),
        nn.GELU(),
        nn.ConvTranspose3d(16, 4, 2, stride=2),
        nn.Softmax(dim=1),
    ).eval()
    image = torch.randn(1, 2, 12, 10, 8, generator=generator)
    try:
        with torch.inference_mode():
            expected = network(image)
            given = network.to(device)(image.to(device)).cpu()
    except (RuntimeError, NotImplementedError) as error:
        return f"its self-test stopped with '{str(error).splitlines()[0]}'"
    difference = float((expected - given).abs().max())
    if not difference <= SELF_TEST_TOLERANCE:
        return f"its results differ from the CPU's by {difference:.2g}"
    return None


def choose_precision(device: Device, wanted: str = "auto") -> Precision:
    """The precision that convolutions run in; sums and losses stay in float32 either way.

    Args:
        device: where it will run.
        wanted: ``auto`` takes bf16 where it is native (CUDA from compute capability 8, CPUs with AVX512-BF16
            or AMX), fp16 on CUDA from 7.0, else fp32.

    Raises:
        InputError: the precision is unknown, or the device has no such arithmetic.
    """
    native = _native_precisions(device)
    if wanted == "auto":
        return native[0]
    if wanted not in PRECISIONS:
        raise InputError(f"There is no precision '{wanted}'.", f"Allowed: auto, {', '.join(PRECISIONS)}.")
    if wanted not in native:
        raise InputError(
            f"{device.name} does not compute in {wanted}; it has {', '.join(native)}.", "Choose auto."
        )
    return wanted


def has_precision(device: Device, precision: str) -> bool:
    """Whether a device computes in a precision itself."""
    return precision in _native_precisions(device)


def _native_precisions(device: Device) -> list[Precision]:
    """What the hardware computes itself, the preferred one first."""
    if device.kind == "cuda":
        capability = torch.cuda.get_device_capability(device.torch_device)
        if capability >= (8, 0):
            return ["bf16", "fp16", "fp32"]
        return ["fp16", "fp32"] if capability >= (7, 0) else ["fp32"]
    if device.kind == "cpu" and cpu_has_native_bf16():
        return ["bf16", "fp32"]
    return ["fp32"]


def cpu_has_native_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 itself; where it does not, torch emulates it and loses time."""
    # torch has no public question for this; a version without these two answers is taken as "no".
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in checks)


def torch_dtype(precision: str) -> torch.dtype:
    """The torch type of a precision."""
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def free_memory(device: torch.device) -> int:
    """Bytes that a new tensor may take on a device now."""
    if device.type == "cuda":
        free, _total = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(psutil.virtual_memory().available)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out, on a GPU or on the CPU (a plain RuntimeError there)."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)


def tune_cpu(threads: int | None = None) -> int:
    """Set torch up for inference on the CPU: one thread a physical core, no denormal numbers.

    ``OMP_NUM_THREADS`` wins over the core count, ``threads`` over both.

    Returns:
        Number of threads torch uses.
    """
    torch.set_flush_denormal(True)
    if threads is None and "OMP_NUM_THREADS" not in os.environ:
        threads = usable_cores()
    if threads is not None and threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def usable_cores() -> int:
    """Physical cores that this process may compute on: containers and schedulers allow fewer than there are."""
    return min(psutil.cpu_count(logical=False) or 1, _allowed_cores())


def _allowed_cores() -> int:
    if platform.system() == "Linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
