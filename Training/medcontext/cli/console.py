"""What every command shares: reporting, stopping, and turning errors into sentences and exit codes."""

from __future__ import annotations

import contextlib
import errno
import signal
import sys
import traceback
import uuid
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import typer

from medcontext.cli.sinks import BarSink, EventSink, JsonSink, LineSink
from medcontext.errors import CancelledError, MedContextError, ResourceError
from medcontext.events import Reporter

_NO_MEMORY = "can't allocate memory"
STOPPING = "Stopping as soon as what is finished is safe. Press Ctrl-C again to stop at once."


class Console:
    """The two ways a command speaks: to people, or with ``--json`` to programs.

    Args:
        as_json: events as JSON lines on standard output; text for people on standard error.

    Attributes:
        reporter: to hand to the work.
    """

    def __init__(self, as_json: bool) -> None:
        from rich.console import Console as RichConsole

        self._as_json = as_json
        self._stopped = False
        run_id = uuid.uuid4().hex[:8]
        self._people = RichConsole(stderr=as_json, highlight=False)
        self._errors = RichConsole(stderr=True, highlight=False)
        self._sink: EventSink
        if as_json:
            self._sink = JsonSink(sys.stdout, run_id)
        elif self._errors.is_terminal:
            self._sink = BarSink(self._errors)
        else:
            self._sink = LineSink(self._errors)
        self.reporter = Reporter(self._sink, lambda: self._stopped, run_id)

    def say(self, text: str) -> None:
        """Print text for people: on standard output, with ``--json`` on standard error."""
        self._people.print(text, markup=False, soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
        """Print a table for people; numbers are right-aligned."""
        from rich.table import Table

        table = Table(title=title, title_justify="left", header_style="bold")
        for index, name in enumerate(columns):
            numbers = all(isinstance(row[index], int | float) for row in rows) and bool(rows)
            table.add_column(name, justify="right" if numbers else "left", overflow="fold")
        for row in rows:
            table.add_row(*(_cell(value) for value in row))
        self._people.print(table)

    def result(self, **facts: Any) -> None:
        """Send the ``result`` event that ends a command; people are told with :meth:`say`."""
        self.reporter.emit("result", **facts)

    def error(self, error: MedContextError) -> None:
        """Say what is wrong in one or two lines."""
        self._sink.close()
        if self._as_json:
            self.reporter.error(error)
        label = "Stopped" if isinstance(error, CancelledError) else "Error"
        self._errors.print(f"{label}: {error.message}", markup=False, soft_wrap=True)
        if error.hint:
            self._errors.print(error.hint, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Remove progress bars."""
        self._sink.close()

    def stop(self) -> None:
        """Ask the work to stop at the next safe place."""
        self._stopped = True
        self._errors.print(STOPPING, markup=False)

    @property
    def stopped(self) -> bool:
        """Whether stopping was asked for."""
        return self._stopped


@contextlib.contextmanager
def session(as_json: bool = False, *, gentle: bool = False) -> Iterator[Console]:
    """Run the body of a command and end the program with the right exit code.

    Args:
        as_json: the ``--json`` flag.
        gentle: the work asks ``reporter.check_cancelled()``, so the first Ctrl-C (or SIGTERM, which clusters
            send) lets it save first; the second stops at once.

    Raises:
        typer.Exit: an error was reported; 1 bug, 2 bad input, 3 cancelled, 4 no resources, 5 some cases failed.
    """
    console = Console(as_json)
    # With --json standard output is the protocol's alone, whatever a library prints.
    quiet = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
    try:
        with quiet, _signals(console) if gentle else contextlib.nullcontext():
            yield console
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        console.error(CancelledError("Stopped by Ctrl-C; files that were finished are kept."))
        raise typer.Exit(CancelledError.exit_code) from None
    except Exception as error:  # the last net: every error leaves through this door
        known = expected(error)
        if known is None:
            _bug(console, error)
            raise typer.Exit(1) from error
        console.error(known)
        raise typer.Exit(known.exit_code) from error
    finally:
        console.close()


def expected(error: BaseException) -> MedContextError | None:
    """The error as one a user can act on, or None for a bug."""
    if isinstance(error, MedContextError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        name = error.filename or "a file"
        return ResourceError(f"The disk is full: {name} was not written.", "Free some space.")
    # torch has its own kinds: OutOfMemoryError on a graphics card, a RuntimeError from the processor's allocator.
    if (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or _NO_MEMORY in str(error)
    ):
        return ResourceError(
            "There is not enough memory for this.",
            "Close other programs, restrict the region with --roi, use --device cpu, or a smaller network.",
        )
    return None


def _bug(console: Console, error: Exception) -> None:
    console.close()
    traceback.print_exception(error, file=sys.stderr)
    message = f"MedContext met something it did not expect ({type(error).__name__}: {error})."
    hint = "Please report it with the lines above and what 'medcontext doctor' prints."
    console.error(MedContextError(message, hint))


@contextlib.contextmanager
def _signals(console: Console) -> Iterator[None]:
    """The first SIGINT or SIGTERM asks to stop, the next SIGINT stops."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        if console.stopped:
            raise KeyboardInterrupt
        console.stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _cell(value: Any) -> str:
    from rich.markup import escape

    if isinstance(value, float):
        return "" if value != value else f"{value:.3f}"  # NaN: nothing to show
    return escape(str(value))
