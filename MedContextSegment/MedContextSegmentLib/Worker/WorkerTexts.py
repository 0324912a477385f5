"""What the worker says, in a person's words: why it ended, what went wrong, what it is doing."""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from slicer.i18n import tr as _

from medcontext.errors import CancelledError, InputError, MedContextError, ResourceError
from MedContextSegmentLib.Worker.WorkerChild import WorkerEnd

CAUSE_LINES = 60
"""How far back in the log the cause of a crash is looked for: the stack of all threads may come after it."""

_KILLED = {-9, 137}
_ABNORMAL = "exit abnormally"
"""What Slicer's launcher says, with exit code 1, of a Python that ended by a signal. All signals but the one that
cannot be caught leave their name in the log."""

_NO_MEMORY = {0xC0000017, 0xC000012D}
"""Windows: no memory, commit limit."""

_MEMORY_WORDS = re.compile(
    r"MemoryError|bad_alloc|not enough memory|out of memory|memory ran out", re.IGNORECASE
)
_MISSING = re.compile(r"(?:ModuleNotFoundError|ImportError): (.+)")
_CAUSE = re.compile(
    r"^(?:Fatal Python error: .+|terminate called .+|(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception)\b.*)$"
)


def explainEnd(end: WorkerEnd) -> MedContextError:
    """One sentence on why the worker ended before it answered, with the cause."""
    if end.code is None:
        return InputError(
            _("The worker cannot be started: {reason}.").format(reason=end.reason),
            _("Install MedContext again, or start Slicer from its own folder."),
        )
    if end.reason:
        return InputError(
            _("The worker is of another version than this module ({reason}).").format(reason=end.reason),
            _("Install MedContext again and restart Slicer."),
        )
    cause = _cause(end.log)
    if end.code in _KILLED or (not cause and any(_ABNORMAL in line for line in end.log[-3:])):
        message = _("The worker was killed by the system, probably because memory ran out.")
        return ResourceError(message, _memoryHint())
    if end.code in _NO_MEMORY or _MEMORY_WORDS.search(cause):
        return ResourceError(_("Memory ran out in the worker."), _memoryHint())
    missing = _MISSING.search(cause)
    if missing:
        return _missingPackage(missing[1])
    return MedContextError(
        _("The worker ended unexpectedly: {cause}.").format(cause=(cause or _exitText(end.code)).rstrip(".")),
        _("Try again: a fresh one will be started. If this happens again, please report it."),
    )


def errorOf(event: Mapping[str, Any]) -> MedContextError:
    """The ``error`` event of a request as an exception of its kind."""
    message, hint = str(event.get("message", "")), str(event.get("hint", ""))
    kinds = {error.kind: error for error in (InputError, CancelledError, ResourceError)}
    kind = kinds.get(str(event.get("kind")))
    if kind is not None:
        return kind(message, hint)
    missing = _MISSING.search(message)
    return _missingPackage(missing[1]) if missing else MedContextError(message, hint)


def unexpected(error: Exception) -> MedContextError:
    """A fault of ours, logged with its traceback, as something to tell a person."""
    logging.getLogger(__name__).error("A run failed", exc_info=error)
    return MedContextError(f"{type(error).__name__}: {error}", _("Please report this."))


def isOutOfMemory(error: MedContextError) -> bool:
    """Whether memory ran out, so that the low-memory plan may help."""
    if not isinstance(error, ResourceError):
        return False
    return error.hint == _memoryHint() or bool(_MEMORY_WORDS.search(error.message))


def withoutLowMemoryHint(error: MedContextError) -> MedContextError:
    """The error of a run with the low-memory plan, with nothing about turning that on."""
    if not isOutOfMemory(error):
        return error
    return ResourceError(error.message, _("Restrict the run to a region, or close other programs."))


def stageTitle(stage: str) -> str:
    """The name of a stage of the work for the progress bar; the stage itself where it has none."""
    titles = {
        "prepare": _("Sending the image"),
        "receive": _("Reading the image"),
        "load model": _("Loading the model"),
        "preprocess": _("Preparing the image"),
        "plan": _("Planning"),
        "adapt": _("Learning from the correction"),
        "segment": _("Segmenting"),
        "certainty": _("Estimating certainty"),
        "label": _("Finding labels"),
        "send": _("Sending the result"),
        "read": _("Receiving the result"),
        "write": _("Writing segments"),
        "read segments": _("Reading the segments"),
        "check case": _("Checking the case"),
        "write case": _("Writing the case"),
        "list case": _("Listing the case"),
        "suggest": _("Looking at scans"),
        "look at scans": _("Looking at scans"),
        "propose": _("Proposing regions"),
    }
    return titles.get(stage, stage)


def _memoryHint() -> str:
    return _("Turn on the low-memory plan, restrict the run to a region, or close other programs.")


def _missingPackage(text: str) -> MedContextError:
    return InputError(
        _("A Python package that segmenting needs cannot be loaded: {text}.").format(text=text.rstrip(".")),
        _("Let MedContext install its packages."),
    )


def _cause(log: Sequence[str]) -> str:
    """The last line of the log that names an error; "" where none does."""
    return next((line for line in reversed(log[-CAUSE_LINES:]) if _CAUSE.match(line)), "")


def _exitText(code: int) -> str:
    if code < 0:
        try:
            return _("signal {name}").format(name=signal.Signals(-code).name)
        except ValueError:
            return _("signal {name}").format(name=-code)
    return _("exit code {code}").format(code=code)
