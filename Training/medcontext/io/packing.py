"""One gzip file written by several threads: pieces are deflated side by side and joined to one ordinary member.

Some readers stop at the end of the first gzip member, so pieces must not become members of their own.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

import numpy as np

PIECE_BYTES = 1 << 20
"""Piece that one thread deflates at a time; the file does not depend on the number of threads."""

LEVEL = 1
"""Several times faster than the usual 9, and labelmaps hardly grow."""

_WINDOW = 32768  # deflate refers back this far, also into the piece before
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\x04\xff"  # no name and no time, so that equal content gives equal files
_LAST_BLOCK = b"\x03\x00"
_THREADS = 8


def write_gzip(
    stream: BinaryIO, parts: Iterable[np.ndarray | bytes], check: Callable[[], None] | None = None
) -> None:
    """Write the bytes of some parts, one after the other, as one gzip member.

    Args:
        stream: where.
        parts: bytes or contiguous arrays.
        check: called between pieces; raises to stop.

    Raises:
        OSError: the disk is full.
    """
    stream.write(_HEADER)
    checksum, length, before = 0, 0, b""
    waiting: deque[Future[bytes]] = deque()
    threads = min(_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        try:
            for piece in _pieces(parts):
                if check is not None:
                    check()
                waiting.append(pool.submit(_deflated, piece, before))
                checksum = zlib.crc32(piece, checksum)
                length += len(piece)
                before = bytes(piece[-_WINDOW:])
                if len(waiting) > 2 * threads:
                    stream.write(waiting.popleft().result())
            while waiting:
                stream.write(waiting.popleft().result())
        finally:
            for left in waiting:
                left.cancel()
    stream.write(_LAST_BLOCK)
    stream.write(checksum.to_bytes(4, "little") + (length % (1 << 32)).to_bytes(4, "little"))


def _pieces(parts: Iterable[np.ndarray | bytes]) -> Iterator[memoryview]:
    for part in parts:
        view = part.reshape(-1).data.cast("B") if isinstance(part, np.ndarray) else memoryview(part)
        for begin in range(0, len(view), PIECE_BYTES):
            yield view[begin : begin + PIECE_BYTES]


def _deflated(piece: memoryview, before: bytes) -> bytes:
    """The piece as blocks of a deflate stream that ends at a whole byte and goes on."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=before)
    return packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)
