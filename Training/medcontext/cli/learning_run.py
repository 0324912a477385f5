"""How commands that learn run: here, stopped by Ctrl-C, or in the background."""

from __future__ import annotations

import sys
from collections.abc import Callable

from medcontext.cli.console import Console
from medcontext.events import Reporter


def listener(console: Console, until_stopped: bool) -> tuple[Reporter, Callable[[], str | None]]:
    """Who hears of a run, and who is asked whether it shall go on.

    Args:
        console: of the command.
        until_stopped: whether the run has no end: the first Ctrl-C is no accident then, and what is best is kept.
    """
    if not until_stopped:
        return console.reporter, console.control

    def control() -> str | None:
        return "stop" if console.stopped else console.control()

    return Reporter(console.forward, run_id=console.reporter.run_id), control


def detach(console: Console, title: str) -> None:
    """Start this very command again as a job of its own."""
    from medcontext import jobs

    arguments = [argument for argument in sys.argv[1:] if argument not in ("--detach", "--json")]
    job = jobs.start(
        [sys.executable, "-m", "medcontext", *arguments, "--json"], jobs.new_folder(title), title
    )
    console.say(f"Started in the background as {job.id}")
    console.say(f"Follow it: medcontext jobs follow {job.id}")
    console.result(job=job.id, folder=str(job.folder))
