"""Programs that do as they are told, in real jobs, where the Python of the worker is looked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from medcontext import jobs

# The real commands. A training ends after few steps where its minutes allow no more, keeps its first checkpoint after
# its first step, and may go no further than a step until it is resumed: nothing that a test sees depends on speed.
BRIEF = """
import runpy, sys, time

least, halt = LEAST, HALT
if sys.argv[1:3] == ["-m", "medcontext"]:
    from medcontext.engine import keeping, loop, timing

    timing.LEAST_STEPS, loop.TIMED_STEPS, keeping.FIRST_SECONDS = least, 4, 0.0
    after_step = loop._Session._after_step

    def halting(session):
        after_step(session)
        if session.step == halt and "--resume" not in sys.argv:
            session.log.flush()
            while True:
                session.reporter.check_cancelled()
                time.sleep(0.02)

    loop._Session._after_step = halting
position = sys.argv.index("-m")
module, sys.argv = sys.argv[position + 1], [sys.argv[0], *sys.argv[position + 2 :]]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def briefPython(folder: Path, least: int = 1, halt: int | None = None) -> Path:
    """A Python in which commands are as ever, but trainings brief.

    Args:
        folder: for the program.
        least: steps of a training whose minutes allow no more.
        halt: the step at which a training stands still, as if it took for ever, until it is interrupted or killed, and
            resumed.
    """
    return _python(folder, "brief.py", BRIEF.replace("LEAST, HALT", f"{least}, {halt}"))


def installBrief(folder: Path, monkeypatch: Any, least: int, halt: int | None = None) -> None:
    """Have jobs and the worker run by the Python that :func:`briefPython` makes."""
    _putFirst(briefPython(folder, least, halt), monkeypatch)


def installPython(folder: Path, name: str, script: str, monkeypatch: Any) -> None:
    """Have every job run ``script``, which is kept in ``folder`` under this name; it gets the job's arguments."""
    _putFirst(_python(folder, name, script), monkeypatch)


def _python(folder: Path, name: str, script: str) -> Path:
    """A program that runs ``script``, under the name of Slicer's Python."""
    file = folder / name
    file.write_text(script, encoding="utf-8")
    programs = folder / "bin"
    programs.mkdir()
    launcher = programs / "PythonSlicer"
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{file}" "$@"\n', encoding="utf-8")
    launcher.chmod(0o755)
    return launcher


def _putFirst(program: Path, monkeypatch: Any) -> None:
    """Have this program found before others of its name."""
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def endJobs(home: Path) -> None:
    """End all jobs of a home folder that still run."""
    for job in jobs.list_jobs(home / "jobs"):
        if job.active:
            jobs.kill(job.folder)
