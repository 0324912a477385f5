"""``medcontext jobs``: what runs in the background."""

from __future__ import annotations

import shutil
import textwrap
import time
from pathlib import Path
from typing import Annotated

import typer

from medcontext import jobs
from medcontext.cli.console import session
from medcontext.cli.options import Json
from medcontext.cli.sinks import remaining
from medcontext.errors import InputError
from medcontext.jobs import Job

app = typer.Typer(
    help="Follow, pause, stop and restart what runs in the background.", invoke_without_command=True
)

POLL_S = 0.5
TRAININGS = ("train", "finetune", "pretrain")
"""Commands that go on from a checkpoint with ``--resume``."""

INDENT, NARROWEST = "    ", 40

JobName = Annotated[str, typer.Argument(metavar="JOB", help="Name of the job, its beginning, or its folder.")]


@app.callback()
def overview(context: typer.Context) -> None:
    """Follow, pause, stop and restart what runs in the background."""
    if context.invoked_subcommand is None:
        list_jobs()


@app.command("list")
def list_jobs(as_json: Json = False) -> None:
    """List all jobs, the newest first."""
    with session(as_json) as console:
        found = jobs.list_jobs()
        for job in found:
            console.say("\n".join(_lines(job, shutil.get_terminal_size().columns)))
        if not found:
            console.say("There is no job. 'medcontext train --detach' starts one.")
        console.result(jobs=[_facts(job) for job in found])


@app.command()
def show(job: JobName, as_json: Json = False) -> None:
    """Show one job."""
    with session(as_json) as console:
        found = find(job)
        console.table(["", ""], [(name, text) for name, text in _shown(found).items() if text])
        console.result(**_facts(found))


@app.command()
def follow(job: JobName, as_json: Json = False) -> None:
    """Watch a job until it ends. Ctrl-C stops watching; the job goes on."""
    with session(as_json) as console:
        found, offset = find(job), 0
        while True:
            active = found.active  # asked before reading, so that nothing written last is missed
            events, offset = jobs.follow(found.folder, offset)
            for event in events:
                console.forward(event)
            if not active:
                break
            time.sleep(POLL_S)
            found = jobs.read(found.folder)
        console.say(f"{found.title}: {found.state}. {_told(found)}".strip())
        if found.exit_code:
            raise typer.Exit(found.exit_code)


@app.command()
def pause(job: JobName, as_json: Json = False) -> None:
    """Let a job rest; it keeps its memory."""
    _ask(job, "pause", as_json)


@app.command()
def resume(job: JobName, as_json: Json = False) -> None:
    """Let a paused job go on."""
    _ask(job, "resume", as_json)


@app.command()
def stop(
    job: JobName,
    now: Annotated[
        bool, typer.Option("--now", help="End it at once, without keeping the best so far.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Stop a job and keep the best it has."""
    if not now:
        _ask(job, "stop", as_json)
        return
    with session(as_json) as console:
        found = find(job)
        jobs.kill(found.folder)
        console.say(f"Ended {found.title}")
        console.result(**_facts(jobs.read(found.folder)))


@app.command()
def restart(job: JobName, as_json: Json = False) -> None:
    """Start a job that has ended too early once more; a training goes on from its last checkpoint."""
    with session(as_json) as console:
        found = find(job)
        # What is no training finishes what an earlier run left without being told to.
        more = ("--resume",) if set(TRAININGS) & set(found.command[:4]) else ()
        found = jobs.restart(found.folder, more)
        console.say(f"Started {found.title} again. Follow it: medcontext jobs follow {found.id}")
        console.result(**_facts(found))


def _ask(name: str, action: str, as_json: bool) -> None:
    with session(as_json) as console:
        found = find(name)
        jobs.request(found.folder, action)  # type: ignore[arg-type]
        console.say(f"Asked {found.title} to {action}; it follows within seconds.")
        console.result(job=found.id, requested=action)


def find(name: str) -> Job:
    """The job of that name, of that beginning of a name, or in that folder.

    Raises:
        InputError: there is none, or there are several.
    """
    if (Path(name) / "job.json").is_file():
        return jobs.read(Path(name))
    found = jobs.list_jobs()
    matching = [job for job in found if job.id == name] or [job for job in found if job.id.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise InputError(f"'{name}' begins the names of {len(matching)} jobs.", "Give more of the name.")
    raise InputError(f"There is no job '{name}'.", "'medcontext jobs' lists those that there are.")


def _lines(job: Job, width: int) -> list[str]:
    """A job in a list: its name in one piece, to be copied, and below it how it is doing."""
    facts = f"{job.title}: {_state(job)}" + (f", started {_when(job.started)}" if job.started else "")
    lines = [job.id]
    for text in (facts, _told(job)):
        lines += textwrap.wrap(
            text, max(width, NARROWEST), initial_indent=INDENT, subsequent_indent=INDENT,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return lines


def _told(job: Job) -> str:
    """The last message of a job, and what can be done about one that is lost."""
    more = f"Let it go on: medcontext jobs restart {job.id}" if job.state == "lost" else ""
    return " ".join(filter(None, (job.message, more)))


def _state(job: Job) -> str:
    if not job.active or job.stage is None:
        return job.state
    if job.progress is None:
        return f"{job.state}, {job.stage}" + ("" if job.step is None else f" step {job.step}")
    left = remaining(job.eta_s)
    return f"{job.state}, {job.stage} {job.progress:.0%}" + (f", {left}" if left else "")


def _when(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _shown(job: Job) -> dict[str, str]:
    """A job as a person reads it."""
    return {
        "Job": job.id,
        "Title": job.title,
        "State": _state(job),
        "Started": _when(job.started),
        "Ended": _when(job.ended),
        "Message": _told(job),
        "Folder": str(job.folder),
    }


def _facts(job: Job) -> dict[str, object]:
    """A job as a program reads it; of one that has ended nobody needs the time left."""
    return {
        "job": job.id,
        "title": job.title,
        "state": job.state,
        "stage": job.stage,
        "progress": job.progress,
        "step": job.step,
        "eta_s": job.eta_s if job.active else None,
        "started": _when(job.started),
        "ended": _when(job.ended),
        "message": _told(job),
        "folder": str(job.folder),
    }
