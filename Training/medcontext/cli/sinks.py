"""Where events go: JSON lines for machines, progress bars at a terminal, plain lines in a log file."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from medcontext.errors import is_disk_full
from medcontext.events import PROTOCOL_VERSION, Event, json_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

LINE_EVERY_S = 10.0
"""Least time before and between progress lines of one stage, where no bar can be drawn."""


class EventSink(Protocol):
    """Takes the events of one command."""

    def __call__(self, event: Event) -> None:
        """Show or write one event."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


class JsonSink:
    """One JSON object a line; the first one says hello."""

    def __init__(self, stream: TextIO, run_id: str) -> None:
        self._stream = stream
        self._write = json_lines(stream)
        self._cut = False
        self({"event": "hello", "id": run_id, "time": time.time(), "protocol": PROTOCOL_VERSION})

    def __call__(self, event: Event) -> None:
        if self._cut:  # the disk was full in the middle of a line
            self._stream.write("\n")
        self._cut = True
        self._write(event)
        self._cut = False

    def close(self) -> None:
        """Nothing is held open."""


class SilentSink:
    """Drops everything."""

    def __call__(self, event: Event) -> None:
        """Drop an event."""

    def close(self) -> None:
        """Nothing is held open."""


class LenientSink:
    """Goes on when the disk that takes the events is full, and tells afterwards that some are missing.

    Signs of life and the events of several threads go through it one after the other.
    """

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self._missing = 0
        self._one_at_a_time = threading.RLock()

    def __call__(self, event: Event) -> None:
        with self._one_at_a_time:
            self._pass_on(event)

    def _pass_on(self, event: Event) -> None:
        try:
            if self._missing:
                told = {"event": "warning", "id": event.get("id"), "time": event.get("time")}
                self._sink(
                    {**told, "message": f"The disk was full: {self._missing} events are missing here."}
                )
                self._missing = 0
            self._sink(event)
        except OSError as error:
            if not is_disk_full(error):
                raise
            self._missing += 1

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._sink.close()


class LineSink:
    """Plain lines, few of them: for log files and for what follows a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stages: dict[str, tuple[float, bool]] = {}  # when it began or spoke last, whether it spoke

    def __call__(self, event: Event) -> None:
        if event["event"] == "progress":
            self._progress(event)
        elif text := describe(event):
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _progress(self, event: Event) -> None:
        name, value, now = stage_name(event), event["value"], time.monotonic()
        if value is None:
            self._without_end(name, event, now)
            return
        if value <= 0 or name not in self._stages:
            self._stages[name] = (now, False)
        last, spoken = self._stages[name]
        if value >= 1:
            del self._stages[name]
        if now - last < LINE_EVERY_S and not (spoken and value >= 1):
            return
        if value < 1:
            self._stages[name] = (now, True)
        left = remaining(event.get("eta_s"))
        text = f"{name}: {value:.0%}{', ' + left if left else ''}"
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _without_end(self, name: str, event: Event, now: float) -> None:
        last, _ = self._stages.setdefault(name, (now, False))
        if now - last >= LINE_EVERY_S:
            self._stages[name] = (now, True)
            self._console.print(f"{name}: {steps(event)}", markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Nothing is held open."""


class BarSink:
    """Progress bars with the time left; what is worth keeping scrolls above them."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        # Loading torch takes seconds, before the first event can come.
        self._waiting: TaskID | None = self._progress.add_task("Getting ready", total=None, left="", note="")
        self._note = ""
        self._progress.start()

    def __call__(self, event: Event) -> None:
        kind = event["event"]
        if kind == "progress":
            self._show(event)
        elif kind == "metric":
            self._note = metric_note(event) or self._note
            for task in self._tasks.values():
                self._progress.update(task, note=self._note)
        elif text := describe(event):
            self._progress.console.print(text, markup=False, highlight=False)
        if kind == "case" and "status" in event:  # a case that failed leaves stages that never end
            for name in [name for name in self._tasks if name.startswith(f"{event['case']}: ")]:
                self._progress.remove_task(self._tasks.pop(name))

    @property
    def stages(self) -> list[str]:
        """Names of the bars that are shown."""
        return list(self._tasks)

    def _show(self, event: Event) -> None:
        if self._waiting is not None:
            self._progress.remove_task(self._waiting)
            self._waiting = None
        name, value = stage_name(event), event["value"]
        if value is not None and value >= 1:
            task = self._tasks.pop(name, None)
            if task is not None:
                self._progress.remove_task(task)
            return
        if name not in self._tasks:
            total = None if value is None else 1.0
            self._tasks[name] = self._progress.add_task(name, total=total, left="", note="")
        left = steps(event) if value is None else remaining(event.get("eta_s"))
        self._progress.update(self._tasks[name], completed=value or 0.0, left=left)

    def close(self) -> None:
        """Remove the bars."""
        self._progress.stop()


def stage_name(event: Event) -> str:
    """What a bar is called: the stage, after the case where there is one."""
    stage = str(event.get("stage", "")).capitalize()
    return f"{event['case']}: {stage}" if event.get("case") else stage


def steps(event: Event) -> str:
    """How far a stage is whose end nobody knows."""
    return f"step {event['step']}" if "step" in event else ""


def remaining(seconds: float | None) -> str:
    """Time left in words, rounded as far as it is worth: ``about 3 min left``."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{max(1, round(seconds))} s left"
    minutes = seconds / 60
    return f"about {round(minutes)} min left" if minutes < 90 else f"about {minutes / 60:.1f} h left"


def metric_note(event: Event) -> str:
    """Loss, Dice and signals of a metric event in a few characters."""
    parts = []
    if event.get("loss"):
        parts.append(f"loss {sum(event['loss'].values()):.3f}")
    for name, value in (event.get("dice") or {}).items():
        parts.append(f"Dice {name} {value:.3f}")
    for name, value in (event.get("signals") or {}).items():
        parts.append(f"{name.replace('_', ' ')} {value:.3g}")
    return "  ".join(parts)


def describe(event: Event) -> str:
    """The line a person sees for an event, or nothing.

    Results and errors are printed by the command itself, metrics beside the bars.
    """
    kind = event["event"]
    if kind == "info":
        return str(event["message"])
    if kind == "warning":
        case = f"{event['case']}: " if event.get("case") else ""
        return f"Warning: {case}{event['message']}"
    if kind == "metric" and (event.get("dice") or event.get("signals")):
        where = ", held out" if event.get("held_out") else ""
        return f"Step {event.get('step')}{where}: {metric_note({**event, 'loss': None})}"
    if kind == "restarted":
        return "Started again."
    if kind == "case":
        return _describe_case(event)
    return ""


def _describe_case(event: Event) -> str:
    facts: dict[str, Any] = {
        k: v for k, v in event.items() if k not in ("event", "id", "time", "case", "status")
    }
    name = event.get("case") or str(facts.pop("stage", "")).capitalize()
    if event.get("status") == "failed":
        return f"Failed: {name}: {event.get('message', '')} {event.get('hint', '')}".rstrip()
    if event.get("status") == "skipped":
        return f"Left out: {name}: {event.get('message', '')}"
    if event.get("status") == "done":
        seconds = facts.get("seconds")
        return f"Done: {name}" + (f" ({seconds:.1f} s)" if isinstance(seconds, int | float) else "")
    described = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in facts.items())
    return f"{name}: {described}" if described else ""
