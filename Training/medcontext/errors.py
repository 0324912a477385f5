"""The errors a user can meet. Each says what was given and what is allowed, and hints at what to do."""

import errno

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_disk_full(error: OSError) -> bool:
    """Whether there was no room to write: the disk, a quota or the largest file is full."""
    return error.errno in _DISK_FULL


class MedContextError(Exception):
    """Base of every expected error.

    Args:
        message: one sentence: what was given and what is allowed.
        hint: one sentence: what to do about it; may be empty.
    """

    kind = "error"
    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InputError(MedContextError):
    """A file, an option or a data set cannot be used as given."""

    kind = "input"
    exit_code = 2


class CancelledError(MedContextError):
    """A person or another process asked to stop; what was finished is kept."""

    kind = "cancelled"
    exit_code = 3


class ResourceError(MedContextError):
    """Memory, disk space or a device ran out."""

    kind = "resources"
    exit_code = 4


class SomeCasesFailedError(MedContextError):
    """A run over many cases finished, but some of them failed."""

    kind = "some_cases_failed"
    exit_code = 5


class TrainingDivergedError(MedContextError):
    """A loss term became infinite or not a number."""

    kind = "diverged"
    exit_code = 4
