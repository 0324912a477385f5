"""Programs that do as they are told, in real jobs, where the Python of the worker is looked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from medcontext import jobs


def installPython(folder: Path, name: str, script: str, monkeypatch: Any) -> None:
    """Have every job run ``script``, which is kept in ``folder`` under this name; it gets the job's arguments."""
    file = folder / name
    file.write_text(script, encoding="utf-8")
    programs = folder / "bin"
    programs.mkdir()
    launcher = programs / "PythonSlicer"
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{file}" "$@"\n', encoding="utf-8")
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")


def endJobs(home: Path) -> None:
    """End all jobs of a home folder that still run."""
    for job in jobs.list_jobs(home / "jobs"):
        if job.active:
            jobs.kill(job.folder)
