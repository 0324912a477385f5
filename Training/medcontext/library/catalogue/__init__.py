"""Catalogues: files that list models to download. None comes along and none is fetched before somebody asks for it.

``form``: the file and its JSON Schema. ``places``: addresses, and which may lead to which. ``fetch``: reading a
catalogue. ``transport``: one answer of a server. ``part_file``: what an unfinished download leaves on the disk.
``download``: the whole file with the right hash. ``install``: from an entry to a model in the library.
"""

from __future__ import annotations

from medcontext.library.catalogue.download import Patience, downloaded
from medcontext.library.catalogue.fetch import read_catalogue
from medcontext.library.catalogue.form import Catalogue, CatalogueEntry, catalogue_schema
from medcontext.library.catalogue.install import Installed, download_model

__all__ = [
    "Catalogue",
    "CatalogueEntry",
    "Installed",
    "Patience",
    "catalogue_schema",
    "download_model",
    "downloaded",
    "read_catalogue",
]
