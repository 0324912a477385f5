"""Where the package ``medcontext`` is. The only place that touches ``sys.path``; standard library only."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

PACKAGE = "medcontext"


def addPackageToPath(moduleFolder: Path | None = None) -> Path:
    """Make the package importable: beside the module (as installed), else in a checkout, else as it is found.

    Args:
        moduleFolder: the folder of ``MedContextSegment.py``; the one this file belongs to when None.

    Returns:
        The folder that holds the package.

    Raises:
        ImportError: it is in none of these places.
    """
    module = moduleFolder or Path(__file__).resolve().parents[2]
    for folder in (module, module.parent / "Training"):
        if (folder / PACKAGE / "__init__.py").is_file():
            if str(folder) not in sys.path:
                sys.path.insert(0, str(folder))
            return folder
    spec = importlib.util.find_spec(PACKAGE)
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parents[1]
    error = f"The Python package '{PACKAGE}' is missing in {module}. Install the extension MedContext again."
    raise ImportError(error)
