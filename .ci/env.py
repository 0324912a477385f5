"""Create or refresh .venv in the repository root from the pinned versions. Standard library only.

A stamp inside .venv holds a hash of what the environment was made from: nothing is done, and no network is
needed, while that has not changed. Needs Python 3.11 or newer.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from importlib import util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "medcontext.stamp"
NO_WHEEL = r"No matching distribution found for (slicer-core|vtk|PySide6)"
"""What pip says where the extra ``slicer`` has nothing for this Python or platform."""


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def wanted() -> str:
    """A hash of everything that decides what the environment holds."""
    digest = hashlib.sha256(str(ROOT).encode())
    for name in ("pyproject.toml", "constraints.txt", ".ci/env.py"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def create() -> None:
    """Make .venv, also where the system's Python came without ensurepip (Debian without python3-venv)."""
    if util.find_spec("ensurepip"):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    elif util.find_spec("virtualenv"):
        subprocess.run([sys.executable, "-m", "virtualenv", "-q", "--clear", str(VENV)], check=True)
    elif util.find_spec("pip"):
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)], check=True)
        outside = [sys.executable, "-m", "pip", "--python", str(PYTHON)]
        subprocess.run([*outside, "install", "-q", "pip"], check=True)
    else:
        sys.exit("This Python has neither venv nor pip. On Debian or Ubuntu: sudo apt install python3-venv")


def pip(*arguments: str) -> str:
    """Install something into .venv; what went wrong, or nothing."""
    command = [str(PYTHON), "-m", "pip", "--require-virtualenv", "install", "-q", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False, stderr=subprocess.PIPE, text=True)
    return done.stderr or "pip failed" if done.returncode else ""


def has_pip() -> bool:
    """Whether .venv is there and complete: making it may have been interrupted.

    Without pyvenv.cfg its Python would be the system's, and pip would install there.
    """
    if not PYTHON.exists() or not (VENV / "pyvenv.cfg").exists():
        return False
    command = [str(PYTHON), "-m", "pip", "--version"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def install() -> None:
    """Install the pinned versions and the package itself, editable."""
    say("Installing the pinned libraries and medcontext ...")
    problem = pip("-c", "constraints.txt", "-e", ".[test,dicom,surfaces,cluster,slicer]")
    if re.search(NO_WHEEL, problem):
        say(
            f"There is no slicer-core for Python {sys.version.split()[0]}: the tests of the Slicer module are skipped."
        )
        problem = pip("-c", "constraints.txt", "-e", ".[test,dicom,surfaces,cluster]")
    if problem:
        say(problem)
        sys.exit("Installing failed; the lines above say why. A network is needed the first time only.")


def main() -> None:
    if sys.version_info < (3, 11):
        sys.exit(f"MedContext needs Python 3.11 or newer, this is {sys.version.split()[0]}.")
    target = wanted()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text(encoding="utf-8") == target:
        return
    if not has_pip():
        say("Making .venv ...")
        create()
    install()
    STAMP.write_text(target, encoding="utf-8")


if __name__ == "__main__":
    main()
