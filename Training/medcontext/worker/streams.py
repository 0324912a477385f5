"""The worker's own ends of stdin and stdout, which nothing else in the process can reach.

Standard library only: this runs before anything is imported that might print.
"""

from __future__ import annotations

import os
import sys
from typing import BinaryIO, TextIO


def take_streams() -> tuple[BinaryIO, TextIO]:
    """Keep stdin and stdout for the protocol.

    File descriptor 1 is pointed at stderr, so that no print of a library, in C or in a child process, lands
    between events. File descriptor 0 is pointed at nothing: a child process must not eat requests, and on
    Windows a library whose start-up looks at stdin would wait for our blocked read.

    Returns:
        Where requests are read from and where events are written to.
    """
    requests = os.fdopen(os.dup(0), "rb")
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdin = os.fdopen(0, "r", encoding="utf-8", closefd=False)
    sys.stdout = sys.stderr
    return requests, events
