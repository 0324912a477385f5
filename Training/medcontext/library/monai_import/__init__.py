"""MONAI bundles as models of ours: read as data, with the same result."""

from __future__ import annotations

from medcontext.library.monai_import.bundle import convert_bundle, is_bundle

__all__ = ["convert_bundle", "is_bundle"]
