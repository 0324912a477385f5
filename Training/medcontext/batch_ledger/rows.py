"""What one line of a ledger is."""

from __future__ import annotations

import json
from typing import Any

from medcontext.errors import InputError

Row = dict[str, Any]
"""One line of a ledger, as docs/batch.md describes it: ``case``, ``state`` and what became of the case."""

RUNNING, DONE, FAILED, SKIPPED = "running", "done", "failed", "skipped"
UNFINISHED = "unfinished"
"""Of a case that was begun by a run which was then stopped: nothing is wrong with it."""
STATES = (RUNNING, DONE, FAILED, SKIPPED, UNFINISHED)


def parse(line: bytes, key: str = "case") -> Row | None:
    """The object of one line; None where it is none or has no text under ``key``: power fails while disks write."""
    try:
        data = json.loads(line)
    except ValueError:
        return None
    return data if isinstance(data, dict) and isinstance(data.get(key), str) else None


def check_row(row: Row) -> None:
    """Raise where a row could not be told apart from others.

    Raises:
        InputError: it names no case or no known state.
    """
    if not isinstance(row.get("case"), str) or not row["case"] or row.get("state") not in STATES:
        raise InputError(f"A row of a ledger needs a case and one of the states {', '.join(STATES)}.")
