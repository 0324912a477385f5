"""Preprocessed cases on disk, so that a second run starts at once and large data sets need little memory."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from medcontext.data.case import Case
from medcontext.data.entries import new_entry
from medcontext.data.hashing import files_hash as files_hash
from medcontext.data.hashing import remembered
from medcontext.data.modality import odd_values
from medcontext.data.preprocess import PreparedCase, class_locations, prepare_case
from medcontext.data.reading import shortened, voxel_hash
from medcontext.data.store import CaseStore
from medcontext.errors import InputError, ResourceError
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.home import home
from medcontext.labels import IGNORE
from medcontext.plan import Plan

CACHE_VERSION = 1
"""Counted up when preprocessing changes what it writes."""

_PARTIAL = "annotated voxels kept"
"""How partly annotated labels are prepared; part of their key, so that the entries of all others stay."""


def prepare_cases(
    store: CaseStore,
    cases: Sequence[Case],
    plan: Plan,
    *,
    labelled: bool,
    reporter: Reporter,
    root: Path | None = None,
    within_s: float | None = None,
    in_use: Collection[str] = (),
) -> list[PreparedCase]:
    """Preprocess the cases, or find them in the cache.

    Unlabelled scans may lie anywhere: those that vanished or cannot be used are left out with one warning, and
    so are those whose image is held out or a test case of the store, or is used otherwise.

    Args:
        store: where the cases come from.
        cases: the cases wanted.
        plan: how to preprocess.
        labelled: whether labels are read; unlabelled cases carry none.
        reporter: told of the progress.
        root: cache folder; the user's when None.
        within_s: after so many seconds the unlabelled scans that are left are not waited for; None for all.
        in_use: hashes of the voxel values of images that are no unlabelled scans.

    Returns:
        One entry a case, arrays memory-mapped.

    Raises:
        InputError: a file of a labelled case is broken, or its image holds voxels that are not finite.
        ResourceError: the disk is full.
    """
    root = root or home() / "cache" / f"prepared-{CACHE_VERSION}"
    end = math.inf if within_s is None or labelled else time.monotonic() + within_s
    prepared: list[PreparedCase] = []
    broken: list[str] = []
    odd: list[str] = []
    apart, used = 0, 0
    for index, case in enumerate(cases):
        reporter.check_cancelled()
        reporter.progress("prepare", index / len(cases))
        if time.monotonic() > end:
            reporter.info(f"{index} of {len(cases)} unlabelled scans were prepared in time and are used.")
            break
        try:
            entry, remark = _prepared(store, case, plan, labelled, root)
        except InputError as error:
            if labelled:
                raise
            broken.append(f"{case.id} ({error.message.rstrip('.')})")
            continue
        if not labelled and entry.voxels in store.kept_apart:
            apart += 1
            continue
        if not labelled and entry.voxels in in_use:
            used += 1
            continue
        prepared.append(entry)
        odd += [f"{case.id} ({remark.rstrip('.')})"] if remark else []
    reporter.progress("prepare", 1.0)
    _tell(reporter, broken, odd, apart, used)
    return prepared


def _tell(reporter: Reporter, broken: Sequence[str], odd: Sequence[str], apart: int, used: int) -> None:
    """What a person should know about unlabelled scans; hundreds of them make one line."""
    if broken:
        reporter.warning(f"{len(broken)} unlabelled scans were left out: {shortened(broken, 4)}.")
    if odd:
        reporter.warning(f"{len(odd)} unlabelled scans may be of another kind: {shortened(odd, 4)}.")
    if apart:
        reporter.info(f"{apart} unlabelled scans were left out: the data set keeps their images for scoring.")
    if used:
        reporter.info(
            f"{used} unlabelled scans were left out: their images are used with labels or left out."
        )


def _prepared(
    store: CaseStore, case: Case, plan: Plan, labelled: bool, root: Path
) -> tuple[PreparedCase, str]:
    """One case, from the cache or made now; and what is odd about an unlabelled one."""
    content = files_hash(case.images) if labelled else _remembered_hash(case.images, root)
    folder = root / _key(case, content, plan, labelled)
    found = _read(folder, case.id, content)
    if found is None or (not labelled and not found[0].voxels):
        shutil.rmtree(folder, ignore_errors=True)
        image = store.read_image(case)
        # An unlabelled scan may be one that is kept for scoring under another name, or of another kind.
        about = {} if labelled else {"voxels": voxel_hash(image), "odd": odd_values(image, store.channels)}
        _write(folder, _prepare(store, case, image, plan, labelled), about)
        found = _read(folder, case.id, content)
    if found is None:
        raise ResourceError(f"What was written to {folder} cannot be read back.", "Check that disk.")
    return found


def _prepare(
    store: CaseStore, case: Case, image: Volume, plan: Plan, labelled: bool
) -> tuple[Volume, np.ndarray | None, np.ndarray, list[np.ndarray]]:
    if not np.isfinite(image.array).all():
        raise InputError(f"Case {case.id} holds voxels that are not finite.", "Re-export the image.")
    labelmap = store.read_labels(case) if labelled else None
    if labelmap is not None and labelmap.shape != image.shape:
        raise InputError(f"Image and labels of case {case.id} do not lie on the same grid.")
    grid, labels = prepare_case(image, labelmap, plan)
    known = np.ones(plan.classes, bool)
    if labels is None:
        return grid, None, known, []
    if case.annotated.labels is not None:
        known[1:] = [value in case.annotated.labels for value in plan.label_set.values]
        # What was painted of a label that is not declared annotated says nothing sure: it is ignored.
        labels[~np.append(known, np.ones(256 - len(known), bool))[labels]] = IGNORE
    return grid, labels, known, class_locations(labels, plan.classes)


def _write(
    folder: Path,
    parts: tuple[Volume, np.ndarray | None, np.ndarray, list[np.ndarray]],
    about: dict[str, str],
) -> None:
    grid, labels, known, locations = parts
    facts = {"known": known.tolist(), "classes": len(locations), "labelled": labels is not None}
    with new_entry(folder, lambda: (folder / "facts.json").exists()) as scratch:
        # fp16 has 11 bits: 0.002 at the 3 SD end of a z-scored image, far below its noise.
        np.save(scratch / "image.npy", np.ascontiguousarray(grid.array, dtype=np.float16))
        if labels is not None:
            np.save(scratch / "labels.npy", np.ascontiguousarray(labels))
            np.savez(scratch / "locations.npz", *locations)
        (scratch / "facts.json").write_text(json.dumps(facts | about))


def _read(folder: Path, case_id: str, content: str) -> tuple[PreparedCase, str] | None:
    """The entry and what is odd about it, or None where there is none or it is damaged."""
    try:
        facts = json.loads((folder / "facts.json").read_text())
        labels, locations = None, []
        if facts["labelled"]:
            labels = np.load(folder / "labels.npy", mmap_mode="r")
            with np.load(folder / "locations.npz") as archive:
                locations = [archive[f"arr_{index}"] for index in range(facts["classes"])]
        image = np.load(folder / "image.npy", mmap_mode="r")
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
        return None
    known, voxels = np.array(facts["known"]), str(facts.get("voxels", ""))
    return PreparedCase(case_id, image, labels, known, locations, content, voxels), str(facts.get("odd", ""))


def _key(case: Case, content: str, plan: Plan, labelled: bool) -> str:
    parts = [content, plan.preprocessing_hash(), str(CACHE_VERSION), str(labelled)]
    if labelled and case.label is not None:
        parts += [files_hash([case.label]), repr(case.annotated)]
        parts += [_PARTIAL] if case.annotated.region != "whole" else []
        parts += [files_hash([case.annotated.mask])] if case.annotated.mask else []
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]


def _remembered_hash(paths: Sequence[Path], root: Path) -> str:
    """:func:`files_hash`, remembered until a file changes: thousands of scans would take an hour to read again."""
    return remembered(paths, root / "hashes", lambda: files_hash(paths))
