"""Where the user's own things live: models, jobs, trained results. Never inside the program's folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HOME_VARIABLE = "MEDCONTEXT_HOME"


def home() -> Path:
    """The user's MedContext folder; it need not exist yet.

    ``MEDCONTEXT_HOME`` where it is set, else ``medcontext`` in ``XDG_DATA_HOME`` or ``~/.local/share`` on
    Linux, ``~/Library/Application Support/MedContext`` on macOS, ``%LOCALAPPDATA%\\MedContext`` on Windows.
    """
    chosen = os.environ.get(HOME_VARIABLE, "").strip()
    if chosen:
        return Path(chosen).expanduser().absolute()
    return _platform_folder(sys.platform)


def downloads() -> Path:
    """The folder of downloads that are not finished; it need not exist."""
    return home() / "downloads"


def _platform_folder(platform: str) -> Path:
    if platform == "win32":
        local = os.environ.get("LOCALAPPDATA", "").strip()
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "MedContext"
    if platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "MedContext"
    data = os.environ.get("XDG_DATA_HOME", "").strip()
    # The XDG specification asks for absolute paths and tells readers to ignore others.
    root = Path(data) if data and Path(data).is_absolute() else Path.home() / ".local" / "share"
    return root / "medcontext"
