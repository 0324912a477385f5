"""What every command shares: reporting, stopping, and turning errors into sentences and exit codes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
import uuid
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from medcontext.cli.sinks import BarSink, EventSink, JsonSink, LenientSink, LineSink, SilentSink
from medcontext.errors import CancelledError, InputError, MedContextError, ResourceError, is_disk_full
from medcontext.events import Event, Reporter
from medcontext.jobs import JobControl

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

LONGEST_WORD = 10
"""Letters of a word that a table keeps on one line where it can."""
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
        # Of several processes that torchrun started, the first one speaks; the others only report errors.
        self._silent = os.environ.get("RANK", "0") != "0"
        self._people = RichConsole(stderr=as_json, highlight=False, emoji=False)
        self._errors = RichConsole(stderr=True, highlight=False, emoji=False)
        run_id = uuid.uuid4().hex[:8]
        self._sink = LenientSink(self._chosen_sink(run_id))
        self._job = JobControl.from_environment(self._sink)
        self.reporter = Reporter(self._sink, lambda: self._stopped, run_id)

    def _chosen_sink(self, run_id: str) -> EventSink:
        if self._silent:
            return SilentSink()
        if self._as_json:
            return JsonSink(sys.stdout, run_id)
        return BarSink(self._errors) if self._errors.is_terminal else LineSink(self._errors)

    def control(self) -> str | None:
        """What was asked of this command: ``stop`` (and keep the best), ``pause``, or None.

        A job is asked through its folder; at a terminal the first Ctrl-C asks to stop.
        """
        if self._job is None:
            return "stop" if self._stopped else None
        request = self._job.poll()
        self._job.beat("paused" if request == "pause" else "running")
        return None if request == "run" else request

    def finish(self, exit_code: int) -> None:
        """Leave the terminal as it was, and record how the job ended where this is one."""
        self._sink.close()
        if self._job is not None:
            # Without room for it readers go by the last event, or take the job for lost, which can be restarted.
            with contextlib.suppress(ResourceError):
                self._job.finish(exit_code)

    def say(self, text: str) -> None:
        """Print text for people: on standard output, with ``--json`` on standard error. Ends the bars."""
        self._sink.close()
        if not self._silent:
            self._print(self._people, text)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
        """Print a table for people; numbers are right-aligned. Ends the bars."""
        from rich.table import Table

        self._sink.close()
        table = Table(title=title, title_justify="left", header_style="bold")
        for index, name in enumerate(columns):
            numbers = any(isinstance(row[index], int | float) for row in rows)
            # A number that is cut is a wrong number; texts may go over several lines, but whole words read better.
            words = [len(word) for row in rows for word in str(row[index]).split()]
            longest = min(max(words, default=0), LONGEST_WORD)
            table.add_column(
                name,
                justify="right" if numbers else "left",
                overflow="fold",
                min_width=6 if numbers else longest,
            )
        for row in rows:
            table.add_row(*(_cell(value) for value in row))
        if not self._silent:
            self._people.print(table)

    def forward(self, event: Event) -> None:
        """Show an event that came from elsewhere, such as from a job."""
        self._sink(event)

    def result(self, **facts: Any) -> None:
        """Send the ``result`` event that ends a command; people are told with :meth:`say`."""
        self.reporter.emit("result", **facts)

    def error(self, error: MedContextError) -> None:
        """Say what is wrong in one or two lines."""
        self._sink.close()
        if self._as_json:
            self.reporter.error(error)
        label = "Stopped" if isinstance(error, CancelledError) else "Error"
        told = error.message if error.message.startswith(label) else f"{label}: {error.message}"
        self._print(self._errors, told)
        if error.hint:
            self._print(self._errors, error.hint)

    def _print(self, console: RichConsole, text: str) -> None:
        """Print a line; where a full disk has no room for it, the work still counts."""
        try:
            console.print(text, markup=False, soft_wrap=True)
        except OSError as error:
            if not is_disk_full(error):
                raise

    def stop(self) -> None:
        """Ask the work to stop at the next safe place."""
        self._stopped = True
        if not self._silent:
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
        typer.Exit: an error was reported; 1 bug, 2 input, 3 cancelled, 4 resources, 5 some cases failed.
    """
    console = Console(as_json)
    # With --json standard output is the protocol's alone, whatever a library prints.
    quiet = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
    code = 0
    try:
        with quiet, _signals(console) if gentle else contextlib.nullcontext():
            yield console
    except typer.Exit as end:
        code = end.exit_code
    except KeyboardInterrupt:
        code = _report(console, CancelledError("Stopped by Ctrl-C; files that were finished are kept."))
    except Exception as error:  # the last net: every error leaves through this door
        code = _report(console, error)
    finally:
        console.finish(code)
    if code:
        raise typer.Exit(code)


def _report(console: Console, error: Exception) -> int:
    """Say what went wrong; the exit code that fits."""
    known = expected(error)
    if known is None:
        traceback.print_exception(error, file=sys.stderr)
        known = MedContextError(
            f"MedContext met something it did not expect ({type(error).__name__}: {error}).",
            "Please report it with the lines above and what 'medcontext doctor' prints.",
        )
    console.error(known)
    return known.exit_code


def expected(error: BaseException) -> MedContextError | None:
    """The error as one a user can act on, or None for a bug."""
    if isinstance(error, MedContextError):
        return error
    if isinstance(error, OSError) and is_disk_full(error):
        name = error.filename or "a file"
        return ResourceError(f"The disk is full: {name} was not written.", "Free some space.")
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError | PermissionError):
        name = error.filename or "A file"
        return InputError(
            f"{name} cannot be written or opened: {error.strerror}.", "Choose another file or folder."
        )
    if isinstance(error, MemoryError) or _torch_ran_out(error):
        return ResourceError(
            "There is not enough memory for this.",
            "Close other programs, restrict the region with --roi, use --device cpu, or a smaller network.",
        )
    return None


def _torch_ran_out(error: BaseException) -> bool:
    """Whether this is one of torch's own errors about memory; without torch loaded it cannot be."""
    if "torch" not in sys.modules:
        return False
    from medcontext.devices import is_out_of_memory

    return is_out_of_memory(error)


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
