"""What this machine has to offer and what to do where something is missing: text to paste into a question."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import asdict, dataclass
from importlib import util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import medcontext
from medcontext.cards import list_cards
from medcontext.events import Reporter
from medcontext.home import home

LIBRARIES = ("torch", "monai", "numpy", "SimpleITK", "scipy", "pydantic", "accelerate", "safetensors")
FOR_LEARNING = {"accelerate"}
ENOUGH_MEMORY_GB, ENOUGH_DISK_GB = 4.0, 5.0
"""A small network trains in about 2 GB beside the system; preprocessed scans and models take disk space."""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was looked at.
        value: what was found.
        ok: whether it is as it should be.
        advice: what to do, or what this means; may be empty.
    """

    name: str
    value: str
    ok: bool = True
    advice: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def examine(reporter: Reporter | None = None) -> list[Finding]:
    """Look at versions, device, threads, memory, disk and models.

    Args:
        reporter: told of progress: loading torch and reading weights takes seconds.
    """
    reporter = reporter or Reporter()
    reporter.progress("look", 0)
    findings = [_program(), _python(), *_libraries()]
    if util.find_spec("torch") is not None:
        findings += [*_device(reporter), _threads()]
    findings += [_memory(), _disk()]
    reporter.progress("look", 0.5)
    findings += _models(reporter)
    reporter.progress("look", 1)
    return findings


def _program() -> Finding:
    place = Path(medcontext.__file__).parent
    return Finding("MedContext", f"{medcontext.__version__} in {place}")


def _python() -> Finding:
    return Finding("Python", f"{platform.python_version()} on {platform.platform()}")


def _libraries() -> list[Finding]:
    found, missing = [], []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    findings = [Finding("Libraries", ", ".join(found))]
    if missing and FOR_LEARNING.issuperset(missing):
        findings.append(Finding("Missing", ", ".join(missing), True, "Only learning needs it."))
    elif missing:
        findings.append(Finding("Missing", ", ".join(missing), False, "Install medcontext again with pip."))
    if any(text.startswith("torch 2.9.") for text in found):
        findings.append(Finding("torch", "2.9 is not supported", False, "Install another version of torch."))
    return findings


def _device(reporter: Reporter) -> list[Finding]:
    from medcontext.devices import choose_device, choose_precision, cpu_has_native_bf16

    device = choose_device("auto", reporter)
    precision = choose_precision(device)
    advice = ""
    if device.kind == "cpu" and shutil.which("nvidia-smi"):
        advice = "There is an NVIDIA card, but this torch cannot use it: install the CUDA build of torch."
    elif device.kind == "cpu":
        advice = "Fine for small organs and few-shot training; large networks want a graphics card."
    findings = [
        Finding("Device", f"{device.name}: {device.reason}", not (advice and "NVIDIA" in advice), advice),
        Finding("Precision", f"{precision} (auto)"),
    ]
    if device.kind == "cpu":
        native = cpu_has_native_bf16()
        meaning = (
            "" if native else "fp32 is used: this processor would have to emulate bf16, which is slower."
        )
        findings.append(Finding("bf16 on CPU", "native" if native else "not native", True, meaning))
    return findings


def _threads() -> Finding:
    import psutil
    import torch

    threads, cores = torch.get_num_threads(), psutil.cpu_count(logical=False) or 1
    text = f"{threads} used by torch, {cores} cores, {os.cpu_count()} logical"
    if threads < cores and os.environ.get("OMP_NUM_THREADS"):
        return Finding("Threads", text, False, "OMP_NUM_THREADS holds torch back; unset it for full speed.")
    return Finding("Threads", text)


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    free = memory.available / 1e9
    text = f"{free:.1f} GB free of {memory.total / 1e9:.1f} GB"
    if free < ENOUGH_MEMORY_GB:
        return Finding("Memory", text, False, "Close other programs, or choose small networks and --roi.")
    return Finding("Memory", text)


def _disk() -> Finding:
    folder = home()
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(existing).free / 1e9
    text = f"{free:.1f} GB free for {folder}"
    if not os.access(existing, os.W_OK):
        return Finding("Disk", f"{folder} cannot be written", False, "Set MEDCONTEXT_HOME to another folder.")
    if free < ENOUGH_DISK_GB:
        return Finding("Disk", text, False, "Free some space, or set MEDCONTEXT_HOME to another disk.")
    return Finding("Disk", text)


def _models(reporter: Reporter) -> list[Finding]:
    """Every model of the library, its hashes checked."""
    from medcontext.library import verify

    findings = []
    for card in list_cards():
        reporter.check_cancelled()
        errors = [found.message for found in verify(card.folder) if found.severity == "error"]
        name = f"{card.id} {card.version}"
        if errors:
            findings.append(Finding("Model", f"{name}: {errors[0]}", False, "Remove it and import it again."))
        else:
            findings.append(Finding("Model", f"{name}: {card.title} (complete, unchanged)"))
    if not findings:
        advice = "Train one with 'medcontext train', or add one with 'medcontext model import'."
        findings.append(Finding("Model", "none", False, advice))
    return findings
