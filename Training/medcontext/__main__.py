"""``python -m medcontext`` and the command ``medcontext``."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line."""
    # Loading torch makes half a million objects; to search every 700 new ones for garbage takes 0.35 s of CPU.
    gc.set_threshold(10_000)
    # Sizes and names of files appear in every script: a Windows console in cp1252 must not stop a run.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    from medcontext.cli.app import app

    app(prog_name="medcontext")


if __name__ == "__main__":
    main()
