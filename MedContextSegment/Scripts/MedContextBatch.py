"""A batch run that can end in scenes of 3D Slicer: inside Slicer without a window, or in Python with slicer-core.

::

    Slicer --no-splash --no-main-window --python-script MedContextBatch.py -- INPUT... -m MODEL -o OUT [--scenes]
    python MedContextBatch.py INPUT... -m MODEL -o OUT [--scenes]

It takes the options of ``medcontext batch``, which does the work in a process of its own, and ``--scenes``: then each
finished case also becomes ``OUT/scenes/<case>.mrb`` with scan and segmentation. Exit codes are those of the command.

This file lies below the folder in which Slicer looks for modules: it would take it for one.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

MODULE = Path(__file__).resolve().parents[1]
BUG, INPUT = 1, 2


def main(arguments: list[str]) -> int:
    """Run the batch; whatever happens ends in a sentence and an exit code.

    Args:
        arguments: those behind the name of the script; a ``--`` in front of them counts for nothing.
    """
    try:
        run = _prepared()
    except ImportError as error:
        sys.stderr.write(f"Error: this script needs 3D Slicer, or Python with slicer-core ({error}).\n")
        return INPUT
    try:
        return run(arguments[1:] if arguments[:1] == ["--"] else arguments)
    except Exception as error:  # Slicer would stay open with nobody in front of it
        traceback.print_exc()
        sys.stderr.write(f"Error: MedContext met something it did not expect ({error}). Please report it.\n")
        return BUG


def _prepared() -> Callable[[list[str]], int]:
    """What runs the batch, once all that it needs of Slicer is there.

    Raises:
        ImportError: something is not.
    """
    if str(MODULE) not in sys.path:
        sys.path.insert(0, str(MODULE))
    from MedContextSegmentLib.Setup.PackagePath import addPackageToPath

    addPackageToPath()
    from MedContextSegmentLib.Batch.SlicerCore import prepareSlicer

    prepareSlicer()
    from MedContextSegmentLib.Batch.BatchScript import runScript

    return runScript


def end(code: int) -> None:
    """End the program with an exit code; Slicer, which goes on after a script, too."""
    slicer = sys.modules.get("slicer")
    if getattr(slicer, "app", None) is None:
        sys.exit(code)
    slicer.util.exit(code)  # type: ignore[union-attr]


if __name__ == "__main__":
    end(main(sys.argv[1:]))
