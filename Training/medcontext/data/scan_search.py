"""Searching folders for scans and case stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medcontext.data.store import CaseStore
from medcontext.dataset_form import INDEX
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.io.names import FORMATS, LABEL_FOLDERS, ImageSource, files_in, series_in

TEST_FOLDERS = frozenset({"imagests"})
"""Names, in small letters, of folders of test images in the form of the Decathlon and of nnU-Net."""


@dataclass
class Found:
    """What lies in some places.

    Attributes:
        stores: case stores.
        sources: images that no store lists.
        skipped: folders of labels or test images, by their names.
    """

    stores: list[CaseStore] = field(default_factory=list)
    sources: list[ImageSource] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)


def search(places: Sequence[Path], channels: int | None, reporter: Reporter) -> Found:
    """Search places and the folders below them, each folder once; hidden files and folders do not count.

    Args:
        places: folders. One that is named as a folder of labels or test images is searched where it is given itself.
        channels: of an image; None for as many as the first store has, else 1.
        reporter: asked whether to stop.

    Raises:
        InputError: a place is missing or holds no image; or a store is broken.
        CancelledError: someone asked to stop.
    """
    found, seen = Found(), set[Path]()
    folders = {place: _enter(place, found, seen) for place in places}
    if channels is None:
        channels = len(found.stores[0].channels) if found.stores else 1
    for place, below in folders.items():
        for folder in below:
            reporter.check_cancelled()
            found.sources += [*files_in(folder, channels), *series_in(folder, place, reporter)]
    holding = [source.paths[0].resolve() for source in found.sources]
    holding += [store.folder.resolve() for store in found.stores if store.cases]
    for place in places:
        if not any(path.is_relative_to(place.resolve()) for path in holding):
            raise InputError(f"{place} holds no image that can be read.", f"Allowed are {FORMATS}.")
    return found


def _enter(place: Path, found: Found, seen: set[Path]) -> list[Path]:
    """The folders at and below a place that no case store lists the images of; stores and skipped ones are noted."""
    if not place.is_dir():
        missing = "is not a folder" if place.exists() else "does not exist"
        raise InputError(f"{place} {missing}.", "Give a folder of scans or a data set.")
    folders, waiting = [], [place]
    while waiting:
        folder = waiting.pop()
        if folder.resolve() in seen:
            continue
        seen.add(folder.resolve())
        if (folder / INDEX).is_file():
            found.stores.append(CaseStore.open(folder))
            if found.stores[-1].cases:
                continue  # nnU-Net's file of that name lists none
        folders.append(folder)
        below = sorted(
            (p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")), reverse=True
        )
        skipped = [p for p in below if p.name.casefold() in LABEL_FOLDERS | TEST_FOLDERS]
        found.skipped += skipped
        waiting += [p for p in below if p not in skipped]
    return folders
