"""Which images of a case store no training may see, and how copies of them are recognised."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from medcontext.data.case import Case
from medcontext.data.hashing import remembered
from medcontext.data.reading import voxel_hash
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.home import home
from medcontext.io import read_image


def free_cases(store: CaseStore) -> list[Case]:
    """Cases of a store whose images may be learnt from: neither test nor held out, nor of a patient who has such."""
    apart = {case.id for case in scored_cases(store)}
    return [case for case in store.cases if case.id not in apart]


def scored_cases(store: CaseStore) -> list[Case]:
    """The others."""
    patients = {case.group for case in store.cases if _scores(case)} - {""}
    return [case for case in store.cases if _scores(case) or case.group in patients]


def _scores(case: Case) -> bool:
    return case.split == "test" or case.held_out


def voxels_of(cases: Iterable[Case]) -> frozenset[str]:
    """Hashes of the voxels of the cases' images; read, once, where the store does not know them.

    An image that cannot be read has none: what is not readable cannot be copied either.
    """
    known = set()
    for case in cases:
        with suppress(InputError):
            known.add(case.voxels or _read(case))
    return frozenset(known)


def _read(case: Case) -> str:
    memory = home() / "cache" / "voxel-hashes"
    return remembered(case.images, memory, lambda: voxel_hash(read_image(case.images)))
