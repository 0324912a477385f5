"""Which scans are learnt from without labels."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from medcontext.data.apart import free_cases, voxels_of
from medcontext.data.case import Case
from medcontext.data.hashing import files_hash
from medcontext.data.reading import shortened
from medcontext.data.splits import Split
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.io import find_images


def unlabelled_cases(
    folder: Path | None, store: CaseStore, split: Split, left_out: Collection[str], reporter: Reporter
) -> list[Case]:
    """The store's own unlabelled scans and those of a folder; never a test or held-out case of the store.

    Args:
        folder: images, another case store (its test and held-out cases are left out), or ``store`` itself (its
            labelled training cases that are not among the shots); None for nothing beside the store's own.
        store: the data trained on.
        split: which of its cases are used with labels.
        left_out: ids of its cases that are not used at all.
        reporter: told how many scans were left out.

    Raises:
        InputError: the folder holds no image.
    """
    cases = list(split.unlabelled)
    if folder is None:
        return cases
    if folder.resolve() == store.folder.resolve():
        return [*cases, *split.unused]
    if (folder / "dataset.json").exists():
        other = free_cases(CaseStore.open(folder))
        found = [replace(case, id=f"unlabelled_{case.id}") for case in other]
    else:
        images = find_images(folder, len(store.channels))
        found = [Case(f"unlabelled_{source.id}", list(source.paths)) for source in images]
    if not found:
        raise InputError(f"--unlabelled {folder} holds no image.")
    kept = _never_scored(found, store, split, left_out, reporter)
    if len(kept) < len(found):
        reporter.info(f"{len(found) - len(kept)} scans of {folder} are used with labels or kept for scoring.")
    return [*cases, *kept]


def voxels_in_use(
    folder: Path | None, store: CaseStore, split: Split, left_out: Collection[str]
) -> frozenset[str]:
    """Hashes of the voxel values of the images that a training must not take for unlabelled scans.

    Args:
        folder, store, split, left_out: as of :func:`unlabelled_cases`. A folder, and scans that the store lists where
            they are, may hold copies of anything: images of which the store does not know the hash are read.
    """
    taken = _taken(store, split, left_out)
    if folder is not None or any(not case.voxels for case in split.unlabelled):
        return store.kept_apart | voxels_of(taken)
    return store.kept_apart | frozenset(case.voxels for case in taken if case.voxels)


def _taken(store: CaseStore, split: Split, left_out: Collection[str]) -> list[Case]:
    """The store's test, held-out, validation, training and left-out cases."""
    apart = [c for c in store.cases if c.split == "test" or c.held_out or c.id in left_out]
    return [*split.train, *split.validation, *apart]


def _never_scored(
    found: list[Case], store: CaseStore, split: Split, left_out: Collection[str], reporter: Reporter
) -> list[Case]:
    """The cases whose image is none of the store's test, held-out, validation, training or left-out images."""
    hashes, missing = set[str](), list[str]()
    for case in _taken(store, split, left_out):
        try:
            hashes.add(files_hash(case.images))
        except InputError as error:
            missing.append(f"{case.id} ({error.message.rstrip('.')})")
    if missing:
        reporter.warning(
            f"The images of {len(missing)} cases cannot be read; copies of them among the scans without labels "
            f"are found only where the data set knows their voxels: {shortened(missing, 4)}."
        )
    new = [case for case in found if not _is_one_of(case, hashes)]
    return [case for case in new if not case.voxels or case.voxels not in store.kept_apart]


def _is_one_of(case: Case, hashes: Collection[str]) -> bool:
    try:
        return files_hash(case.images) in hashes
    except InputError:  # preparing it says so
        return False
