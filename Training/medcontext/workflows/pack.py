"""An offline pack: what the Slicer module needs on a computer without a network, in one folder.

``wheels/`` holds the Python packages for the other computer, ``models/`` models as zip files, and ``pack.json`` says
for which computer it is and the SHA-256 of each file. Nothing in it is executed when it is read.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import medcontext
from medcontext.cards import read_summary, resolve
from medcontext.errors import InputError, ResourceError
from medcontext.events import Reporter
from medcontext.library.archive import export_archive
from medcontext.library.folder import commit, disk_errors, sha256_of, staging, write_file

PACK_FILE = "pack.json"
SCHEMA_VERSION = 1
SLICER_PYTHON = "3.12"

SHIPPED = ("numpy", "pillow", "scipy", "SimpleITK")
"""What Slicer ships, built for it; never installed beside it."""

TO_SEGMENT = (
    "dynamic-network-architectures",
    "einops",
    "monai",
    "psutil",
    "pydantic",
    "PyYAML",
    "safetensors",
    "torch",
)
"""What the worker needs to segment, beside what Slicer ships; a test segments with nothing else."""

FROM_SOURCE = ("dynamic-network-architectures",)
"""Pure Python of which no wheel is published: it is built here, for every system alike."""

GLIBC = range(28, 16, -1)
"""Minor versions of glibc 2 whose wheels a Linux of the last years takes."""

POLL_SECONDS = 0.1
MACHINES = {"amd64": "x86_64", "aarch64": "arm64"}


@dataclass(frozen=True)
class PackRequest:
    """What to pack, and for whom.

    Attributes:
        output: the folder to make.
        models: ids or folders of models to take along; the bundled ones are there anyway.
        purpose: what shall be possible: to segment, or to train as well.
        python: Python version of the other computer's Slicer.
        system: its operating system; this computer's when None.
        constraints: what ``pip freeze`` says on the other computer, so that only versions that fit are packed.
        extra_index: a second package index, such as that of PyTorch builds for a graphics card.
    """

    output: Path
    models: Sequence[str | Path] = ()
    purpose: Literal["segment", "train"] = "segment"
    python: str = SLICER_PYTHON
    system: Literal["linux", "win32", "darwin"] | None = None
    constraints: Path | None = None
    extra_index: str | None = None


def requirements(purpose: str) -> list[str]:
    """What pip is asked for, with the ranges of this package's own metadata.

    Args:
        purpose: "segment" or "train".

    Raises:
        InputError: this package was not installed by pip, so its ranges are not known.
    """
    try:
        declared = metadata.requires("medcontext") or []
    except metadata.PackageNotFoundError as error:
        raise InputError(
            "This medcontext was not installed by pip, so what it needs is not known.",
            "Make the pack in an environment made by 'make env' or 'pip install'.",
        ) from error
    base = [line for line in declared if "extra ==" not in line]
    wanted = {name.casefold() for name in TO_SEGMENT}
    shipped = {name.casefold() for name in SHIPPED}
    if purpose == "segment":
        return [line for line in base if name_of(line).casefold() in wanted]
    return [line for line in base if name_of(line).casefold() not in shipped]


def name_of(requirement: str) -> str:
    """The package's name in a requirement as pip writes it."""
    found = re.match(r"[\w.-]+", requirement)
    return found[0] if found else ""


def make_pack(request: PackRequest, reporter: Reporter | None = None) -> Path:
    """Download packages, export models and list them with their hashes; the folder appears when all is well.

    Returns:
        The folder.

    Raises:
        InputError: the folder is in use, a model or a package is not there, or the options do not fit.
        ResourceError: the disk is full.
        CancelledError: someone asked to stop.
    """
    reporter = reporter or Reporter()
    system = request.system or _this_system()
    _check(request)
    sources = [resolve(model) for model in request.models]
    wanted = requirements(request.purpose)
    if system != _this_system():
        reporter.warning(
            "pip judges by this computer which packages torch needs beside it; if it fails, make the pack on "
            "a computer with the other system."
        )
    with disk_errors(request.output), staging(request.output) as staged:
        pack = staged / "pack"
        (pack / "wheels").mkdir(parents=True)
        (pack / "models").mkdir()
        reporter.progress("download", 0)
        _download(request, system, wanted, pack / "wheels", reporter)
        reporter.progress("download", 1)
        for source in sources:
            card = read_summary(source)
            export_archive(source, pack / "models" / f"{card.id}-{card.version}.zip")
        write_file(pack / PACK_FILE, _contents(request, system, wanted, pack, reporter))
        if request.output.exists():
            request.output.rmdir()  # it is empty
        commit(pack, request.output)
    return request.output


def _check(request: PackRequest) -> None:
    if request.output.exists() and (not request.output.is_dir() or any(request.output.iterdir())):
        raise InputError(f"{request.output} exists and is not empty.", "Choose another folder.")
    if not re.fullmatch(r"3\.\d{1,2}", request.python):
        raise InputError(f"'{request.python}' is no Python version such as {SLICER_PYTHON}.")
    if request.constraints is not None and not request.constraints.is_file():
        raise InputError(f"{request.constraints} does not exist.")


def _this_system() -> str:
    return "linux" if sys.platform.startswith("linux") else sys.platform


def _machine(system: str) -> str:
    """Kind of processor; of another system the one that most of its computers have."""
    if system != _this_system():
        return "arm64" if system == "darwin" else "x86_64"
    machine = platform.machine().lower()
    return MACHINES.get(machine, machine)


def _platforms(system: str) -> list[str]:
    """The platform tags of wheels that a computer takes."""
    machine = _machine(system)
    if system == "win32":
        return ["win_arm64" if machine == "arm64" else "win_amd64"]
    if system == "darwin":
        return [f"macosx_{version}_0_{machine}" for version in (14, 13, 12, 11)]
    machine = "aarch64" if machine == "arm64" else machine
    tags = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC]
    return [*tags, f"manylinux2014_{machine}", f"linux_{machine}"]


def _download(request: PackRequest, system: str, wanted: list[str], folder: Path, reporter: Reporter) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    shared: list[str] = []
    if request.constraints is not None:
        shared += ["--constraint", str(request.constraints)]
    if request.extra_index is not None:
        shared += ["--extra-index-url", request.extra_index]
    built = [line for line in wanted if name_of(line) in FROM_SOURCE]
    if built:
        _run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), *shared, *built], reporter)
    command = [*pip, "download", "--dest", str(folder), "--find-links", str(folder), *shared]
    command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", request.python]
    for tag in _platforms(system):
        command += ["--platform", tag]
    _run([*command, *wanted], reporter)


def _run(command: list[str], reporter: Reporter) -> None:
    """Run pip until it ends or someone asks to stop."""
    errors: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        reading = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
        reading.start()
        try:
            while reading.is_alive():
                reading.join(POLL_SECONDS)
                reporter.check_cancelled()
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        _raise(errors)


def _raise(errors: list[str]) -> None:
    said = [line.removeprefix("ERROR: ").strip() for line in errors if line.strip()]
    if any("No space left on device" in line for line in said):
        raise ResourceError("The disk is full.", "Free some space or choose another folder for the pack.")
    reason = next((line for line in reversed(said) if "No matching" in line or "No module" in line), None)
    reason = reason or (said[-1] if said else "pip says no reason")
    raise InputError(
        f"The packages could not be downloaded: {reason.rstrip('.')}.",
        "Check the network, --python, --system and --constraints.",
    )


def _contents(request: PackRequest, system: str, wanted: list[str], pack: Path, reporter: Reporter) -> bytes:
    hashes = {}
    files = sorted(path for path in pack.rglob("*") if path.is_file())
    for number, path in enumerate(files):
        reporter.check_cancelled()
        reporter.progress("check", number / len(files))
        hashes[path.relative_to(pack).as_posix()] = sha256_of(path)
    reporter.progress("check", 1)
    data = {
        "schema_version": SCHEMA_VERSION,
        "medcontext": medcontext.__version__,
        "purpose": request.purpose,
        "python": request.python,
        "system": system,
        "machine": _machine(system),
        "requirements": wanted,
        "files": hashes,
    }
    return (json.dumps(data, indent=2) + "\n").encode()
