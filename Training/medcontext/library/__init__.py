"""Model folders: write, check, read; the user's library; archives and MONAI bundles."""

from __future__ import annotations

from medcontext.library.archive import export_archive, import_archive
from medcontext.library.encoders import LoadedEncoder, load_encoder_folder, save_encoder
from medcontext.library.import_model import Imported, import_model, inspect_model
from medcontext.library.import_options import ImportOptions
from medcontext.library.manage import disk_use, remove
from medcontext.library.monai_bundle import export_monai_bundle
from medcontext.library.read import (
    LoadedModel,
    check_segments,
    check_state,
    load_model,
    load_state,
    load_states,
    read_card,
    read_plan,
)
from medcontext.library.readme import model_readme
from medcontext.library.verify import Finding, verify
from medcontext.library.write import save_model, update_card

__all__ = [
    "Finding",
    "ImportOptions",
    "Imported",
    "LoadedEncoder",
    "LoadedModel",
    "check_segments",
    "check_state",
    "disk_use",
    "export_archive",
    "export_monai_bundle",
    "import_archive",
    "import_model",
    "inspect_model",
    "load_encoder_folder",
    "load_model",
    "load_state",
    "load_states",
    "model_readme",
    "read_card",
    "read_plan",
    "remove",
    "save_encoder",
    "save_model",
    "update_card",
    "verify",
]
