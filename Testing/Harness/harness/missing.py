"""Which libraries a layer of tests lacks, in one sentence; such a layer is skipped visibly, never silently."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PACKAGES = "pip install '.[slicer]' brings it"
LIBRARIES = "libegl1 libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libglib2.0-0 fonts-dejavu-core"


def _cannot_import(module: str) -> str:
    try:
        importlib.import_module(module)
    except ImportError as error:
        return str(error)
    return ""


def missing_for_mrml() -> str:
    """A sentence, or "" when the MRML layer can run."""
    error = _cannot_import("slicer_core")
    return f"the MRML tests need slicer-core ({error}): {PACKAGES}" if error else ""


def missing_for_gui() -> str:
    """A sentence, or "" when the Qt layer can run."""
    sentence = missing_for_mrml()
    if sentence:
        return sentence
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    error = _cannot_import("PySide6.QtWidgets") or _cannot_import("PySide6.QtUiTools")
    if not error:
        return ""
    hint = PACKAGES if "No module named" in error else f"on Debian and Ubuntu: apt-get install {LIBRARIES}"
    return f"the GUI tests need PySide6 ({error}): {hint}"


def skip_modules(reason: str) -> Callable[..., Any]:
    """The hook ``pytest_pycollect_makemodule`` for a conftest.py: each test file is skipped with `reason`, if any."""

    class SkippedModule(pytest.Module):
        def collect(self) -> Any:
            pytest.skip(reason, allow_module_level=True)

    def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> Any:
        return SkippedModule.from_parent(parent, path=module_path) if reason else None

    return pytest_pycollect_makemodule
