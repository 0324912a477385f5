"""Which scans are learnt from without labels."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from medcontext.data.cache import files_hash
from medcontext.data.case import Case
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
        InputError: the folder is none or holds no image.
    """
    cases = list(split.unlabelled)
    if folder is None:
        return cases
    if not folder.is_dir():
        raise InputError(f"--unlabelled {folder} is not a folder.")
    if folder.resolve() == store.folder.resolve():
        return [*cases, *split.unused]
    if (folder / "dataset.json").exists():
        other = _free_cases(CaseStore.open(folder))
        found = [replace(case, id=f"unlabelled_{case.id}") for case in other]
    else:
        images = find_images(folder, len(store.channels))
        found = [Case(f"unlabelled_{source.id}", list(source.paths)) for source in images]
    if not found:
        raise InputError(f"--unlabelled {folder} holds no image.")
    kept = _never_scored(found, store, split, left_out)
    if len(kept) < len(found):
        reporter.info(f"{len(found) - len(kept)} scans of {folder} are used with labels or kept for scoring.")
    return [*cases, *kept]


def _never_scored(found: list[Case], store: CaseStore, split: Split, left_out: Collection[str]) -> list[Case]:
    """The cases whose image is none of the store's test, held-out, validation, training or left-out images."""
    apart = [c for c in store.cases if c.split == "test" or c.held_out or c.id in left_out]
    taken = [*split.train, *split.validation, *apart]
    hashes = {files_hash(case.images) for case in taken}
    new = [case for case in found if files_hash(case.images) not in hashes]
    return [case for case in new if not case.voxels or case.voxels not in store.kept_apart]


def _free_cases(store: CaseStore) -> list[Case]:
    """Cases of another store whose images may be learnt from: neither test nor held out."""
    return [case for case in store.cases if case.split != "test" and not case.held_out]
