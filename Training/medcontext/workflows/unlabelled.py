"""Which scans are learnt from without labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from medcontext.data.cache import files_hash
from medcontext.data.case import Case
from medcontext.data.splits import Split
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.io import find_images


def unlabelled_cases(folder: Path | None, store: CaseStore, split: Split, reporter: Reporter) -> list[Case]:
    """The store's own unlabelled scans and those of a folder; never a test or held-out case of the store.

    Args:
        folder: images, another case store (its test and held-out cases are left out), or ``store`` itself (its
            labelled training cases that are not among the shots); None for nothing beside the store's own.
        store: the data trained on.
        split: which of its cases are used with labels.
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
        return [*cases, *(replace(case, id=f"unlabelled_{case.id}") for case in other)]
    found = [
        Case(f"unlabelled_{source.id}", list(source.paths))
        for source in find_images(folder, len(store.channels))
    ]
    if not found:
        raise InputError(f"--unlabelled {folder} holds no image.")
    kept = _never_scored(found, [*store.cases], split)
    if len(kept) < len(found):
        reporter.info(f"{len(found) - len(kept)} scans of {folder} are used with labels or kept for scoring.")
    return [*cases, *kept]


def _never_scored(found: list[Case], known: list[Case], split: Split) -> list[Case]:
    """The cases whose image is none of the store's test, held-out, validation or training images."""
    taken = [*split.train, *split.validation, *(c for c in known if c.split == "test" or c.held_out)]
    hashes = {files_hash(case.images) for case in taken}
    return [case for case in found if files_hash(case.images) not in hashes]


def _free_cases(store: CaseStore) -> list[Case]:
    """Cases of another store whose images may be learnt from: neither test nor held out."""
    return [case for case in store.cases if case.split != "test" and not case.held_out]
