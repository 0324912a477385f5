"""Which of the processes this one is, that torchrun may have started."""

from __future__ import annotations

import os


def is_main_process() -> bool:
    """Whether this process writes and speaks: the only one, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def process_count() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))
