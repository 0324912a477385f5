"""Which cases belong to one part of a run that machines share without knowing of each other."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from medcontext.batch.case import BatchCase
from medcontext.batch_ledger import Layout
from medcontext.batch_ledger.locking import WriterLock
from medcontext.errors import InputError

_LEDGER_OF_PART = re.compile(r"ledger\.\d+-of-(\d+)\.jsonl")


def parse_shard(text: str) -> tuple[int, int]:
    """The part that ``3/16`` means, counted from 1.

    Raises:
        InputError: it is not of that form, or there is no such part.
    """
    index, slash, count = text.partition("/")
    if not slash or not (index.isdecimal() and count.isdecimal()) or not 1 <= int(index) <= int(count):
        raise InputError(
            f"'{text}' is no part of a run.",
            "Give its number and how many there are, such as 3/16; the first is 1.",
        )
    return int(index), int(count)


def cases_of(cases: Sequence[BatchCase], shard: tuple[int, int] | None) -> list[BatchCase]:
    """The cases of one part; every case belongs to exactly one, whatever else lies in the folder."""
    if shard is None:
        return list(cases)
    return [case for case in cases if part_of(case.id, shard[1]) == shard[0]]


def refuse_overlap(layout: Layout, shard: tuple[int, int] | None) -> None:
    """Refuse to work beside a run that divides the cases in another way: both would write the same files.

    Args:
        layout: of the output folder; the ledger of this run is there and locked.
        shard: the part that this run works on; None: the whole.

    Raises:
        InputError: there is such a run.
    """
    for path in layout.ledgers():
        match = _LEDGER_OF_PART.fullmatch(path.name)
        count = None if match is None else int(match[1])
        if path == layout.ledger(shard) or (shard is not None and count == shard[1]):
            continue
        try:
            WriterLock(path).release()
        except OSError as error:
            raise InputError(
                f"{path} cannot be locked: {error.strerror or error}.", "Choose another output folder."
            ) from error


def part_of(case_id: str, count: int) -> int:
    """The part, from 1 to ``count``, that a case belongs to: always the same for the same name."""
    # Names differing in letter case only are the same name on some systems.
    digest = hashlib.sha256(case_id.casefold().encode()).digest()
    return int.from_bytes(digest[:8], "big") % count + 1
