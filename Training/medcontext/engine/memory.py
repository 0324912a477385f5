"""How much memory a training may count on."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

from medcontext.errors import InputError

CGROUP = Path("/sys/fs/cgroup")


def memory_at_hand(device_name: str) -> int:
    """Bytes that are free now on a device such as ``"cpu"``, ``"cuda:0"`` or ``"mps"``.

    On the CPU the limit of the container or cluster job counts, not the machine's.

    Raises:
        InputError: the device is not there.
    """
    try:
        device = torch.device(device_name)
    except RuntimeError as error:
        raise InputError(f"'{device_name}' is not a device.", "Use cpu, cuda, cuda:1 or mps.") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise InputError("There is no CUDA device on this machine.", "Use --device cpu.")
        return int(torch.cuda.mem_get_info(device)[0])
    free = int(psutil.virtual_memory().available)
    limited = _free_in_cgroup()
    return free if limited is None else min(free, limited)


def _free_in_cgroup() -> int | None:
    """Bytes left in this process's memory control group (version 2), or None where nothing limits it."""
    folder = CGROUP
    membership = Path("/proc/self/cgroup")
    if membership.is_file():
        own = [line[3:] for line in membership.read_text().splitlines() if line.startswith("0::")]
        folder = CGROUP / own[0].lstrip("/") if own and (CGROUP / own[0].lstrip("/")).is_dir() else CGROUP
    limits = []
    for group in (folder, *folder.parents):
        if not group.is_relative_to(CGROUP):
            break
        limit, used = _number(group / "memory.max"), _number(group / "memory.current")
        if limit is not None and used is not None:
            # Cached file pages are given back when memory is asked for.
            limits.append(max(0, limit - used + _cached(group / "memory.stat")))
    return min(limits, default=None)


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _cached(path: Path) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
