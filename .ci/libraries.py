"""Install the system libraries that the tests of the Slicer module need, where this user may. Standard library only.

Qt and off-screen rendering need them on Linux. Where they are there already nothing is done, and no network is needed.
Where they cannot be installed they are named, and the tests that need them are skipped visibly.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
}
"""What the dynamic linker looks for -> package of Debian and Ubuntu."""

FONT = "fonts-dejavu-core"
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts")


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def is_there(library: str) -> bool:
    """Whether the dynamic linker finds a library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_font() -> bool:
    folders = [Path(folder).expanduser() for folder in FONT_FOLDERS]
    return any(next(folder.rglob("*.[to]tf"), None) for folder in folders if folder.is_dir())


def missing() -> list[str]:
    """Packages that are needed and not there."""
    packages = [package for library, package in LIBRARIES.items() if not is_there(library)]
    return packages if has_font() else [*packages, FONT]


def root_prefix() -> list[str] | None:
    """What goes before a command to run it as root; None where this user may not."""
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True).returncode == 0
    ):
        return ["sudo", "-n"]
    return None


def install(packages: list[str], prefix: list[str]) -> bool:
    """Install packages of Debian or Ubuntu; whether it worked."""
    get = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run([*get, *command], check=False, capture_output=True, text=True)
        if done.returncode != 0 and command[0] == "install":
            say(done.stderr.strip())
            return False
    return True


def main() -> None:
    packages = missing() if sys.platform == "linux" else []
    if not packages:
        return
    names = " ".join(packages)
    prefix = root_prefix() if shutil.which("apt-get") else None
    if prefix is not None:
        say(f"Installing system libraries for the tests of the Slicer module: {names}")
        if install(packages, prefix):
            return
    say(f"Missing system libraries: {names}\nThe tests that need them are skipped. On Debian and Ubuntu:")
    say(f"    sudo apt-get install --no-install-recommends {names}")


if __name__ == "__main__":
    main()
