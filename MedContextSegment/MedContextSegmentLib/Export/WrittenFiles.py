"""Files that appear whole or not at all, written by libraries that may not say that the disk is full."""

from __future__ import annotations

import contextlib
import errno
import gzip
import math
import secrets
import struct
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from slicer.i18n import tr as _

from medcontext.errors import InputError, MedContextError, ResourceError

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NIFTI_HEADER = 352
_LONGEST_HEADER = 2**20
_BYTES = {"char": 1, "uchar": 1, "short": 2, "ushort": 2, "int": 4, "uint": 4, "float": 4, "double": 8}


class Consent:
    """Which files that exist already an export may replace.

    Args:
        everything: all of them.
        agreed: those that the person has agreed to.
        waits: whether to wait for :meth:`allow` where there are others; else that is an error.

    Attributes:
        asked: the files that wait for an answer.
    """

    def __init__(self, everything: bool = False, agreed: Iterable[Path] = (), waits: bool = False) -> None:
        self.everything, self.waits = everything, waits
        self.asked: tuple[Path, ...] = ()
        self._agreed = set(agreed)

    def allow(self) -> None:
        """The files that were asked for may be replaced."""
        self._agreed.update(self.asked)
        self.asked = ()

    def waitFor(self, targets: Sequence[Path], share: float) -> Generator[float, None, None]:
        """Yield ``share`` until all targets may be written.

        Raises:
            InputError: one exists already, and there is nobody to ask.
        """
        if self.everything:
            return
        self.asked = tuple(path for path in targets if path.exists() and path not in self._agreed)
        if self.asked and not self.waits:
            raise InputError(
                _("'{path}' exists already.").format(path=self.asked[0]),
                _("Choose another name, or replace it."),
            )
        while self.asked:
            yield share


def checkName(path: Path, suffix: str) -> None:
    """Raise InputError where a file name does not have its suffix."""
    if not path.name.lower().endswith(suffix) or len(path.name) == len(suffix):
        raise InputError(
            _("The file name '{name}' does not end in {suffix}.").format(name=path.name, suffix=suffix),
            _("Choose a name that does."),
        )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``, with the same ending; what is written there replaces ``path``.

    Raises:
        ResourceError: the disk is full.
        InputError: the place cannot be written.
    """
    temporary = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        # Says what is wrong with the place in the system's own words, which the libraries do not.
        temporary.touch(exist_ok=False)
        temporary.unlink()
        yield temporary
        if not temporary.exists() or not isWhole(temporary):
            raise OSError(errno.ENOSPC, "")
        temporary.replace(path)
    except OSError as error:
        raise explained(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def explained(error: OSError, path: Path) -> MedContextError:
    """One sentence on why a file could not be written."""
    if error.errno in _DISK_FULL:
        return ResourceError(
            _("There is no room to write '{path}'.").format(path=path),
            _("Free some space or choose another folder; what was there before has not changed."),
        )
    return InputError(
        _("'{path}' cannot be written: {reason}.").format(path=path, reason=error.strerror or error),
        _("Choose another folder."),
    )


def isWhole(path: Path) -> bool:
    """Whether a ``.nii.gz`` or a compressed ``.nrrd`` holds all the bytes that its header promises.

    Compressed data end with the number of bytes that went in, which a cut file does not have there. Other files
    count as whole when they are not empty.
    """
    size = path.stat().st_size
    promised = _promised(path) if size else None
    if promised is None:
        return size > 0
    if size < 8:
        return False
    with path.open("rb") as file:
        file.seek(-4, 2)
        return int.from_bytes(file.read(4), "little") == promised % 2**32


def _promised(path: Path) -> int | None:
    """Bytes before compression, by the header; None for other kinds, -1 where the header itself is cut."""
    name = path.name.lower()
    if name.endswith(".nii.gz"):
        return _promisedByNifti(path)
    return _promisedByNrrd(path) if name.endswith(".nrrd") else None


def _promisedByNifti(path: Path) -> int:
    try:
        with gzip.open(path) as file:
            header = file.read(_NIFTI_HEADER)
        dimensions = struct.unpack_from("<8h", header, 40)
        bits, offset = struct.unpack_from("<h", header, 72)[0], struct.unpack_from("<f", header, 108)[0]
    except (EOFError, OSError, struct.error):
        return -1
    return int(offset) + math.prod(dimensions[1 : dimensions[0] + 1]) * bits // 8


def _promisedByNrrd(path: Path) -> int | None:
    with path.open("rb") as file:
        header, end, _rest = file.read(_LONGEST_HEADER).partition(b"\n\n")
    if not end:
        return -1
    lines = (line.partition(": ") for line in header.decode("utf-8", "replace").splitlines())
    fields = {key: value.strip() for key, _colon, value in lines}
    kind = fields.get("type", "").replace("unsigned ", "u").replace("signed ", "")
    if fields.get("encoding") not in ("gzip", "gz") or kind not in _BYTES:
        return None
    return math.prod(int(size) for size in fields["sizes"].split()) * _BYTES[kind]
