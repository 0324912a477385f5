"""What files of the module expect of Slicer, where there is only Python with slicer-core: a scene, and texts."""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any

import slicer

TEXTS = "slicer.i18n"
NEEDED = ("vtkMRMLScene", "vtkMRMLApplicationLogic", "vtkSlicerSegmentationsModuleLogic")

_logics: list[Any] = []  # they observe the scene as long as they live


def insideSlicer() -> bool:
    """Whether this is Slicer itself."""
    return getattr(slicer, "app", None) is not None


def prepareSlicer() -> None:
    """Make a scene and English texts where the application does not; does nothing inside Slicer.

    Raises:
        ImportError: this Python has a part of Slicer only, as Slicer's own Python has while Slicer does not run.
    """
    if insideSlicer() or _logics:
        return
    missing = [name for name in NEEDED if not hasattr(slicer, name)]
    if missing:
        error = f"there is no slicer.{missing[0]}"
        raise ImportError(error)
    if importlib.util.find_spec(TEXTS) is None:
        sys.modules[TEXTS] = _untranslated()
    scene = slicer.vtkMRMLScene()
    for kind in (slicer.vtkMRMLApplicationLogic, slicer.vtkSlicerSegmentationsModuleLogic):
        logic = kind()
        logic.SetMRMLScene(scene)  # which registers the kinds of nodes
        _logics.append(logic)
    slicer.mrmlScene = scene


def _untranslated() -> types.ModuleType:
    """``slicer.i18n`` for one language."""

    def tr(text: str) -> str:
        return text

    def translate(_context: str, text: str) -> str:
        return text

    module = types.ModuleType(TEXTS)
    module.tr, module.translate = tr, translate  # type: ignore[attr-defined]
    return module
