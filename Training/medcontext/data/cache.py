"""Preprocessed cases on disk, so that a second run starts at once and large data sets need little memory."""

from __future__ import annotations

import glob
import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from medcontext.data.case import Case
from medcontext.data.preprocess import PreparedCase, class_locations, prepare_image, prepare_labels
from medcontext.data.store import CaseStore
from medcontext.dataset_form import DETACHED_HEADERS
from medcontext.errors import InputError, ResourceError
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.home import home
from medcontext.labels import IGNORE
from medcontext.plan import Plan

CACHE_VERSION = 1
"""Counted up when preprocessing changes what it writes."""


def prepare_cases(
    store: CaseStore,
    cases: Sequence[Case],
    plan: Plan,
    *,
    labelled: bool,
    reporter: Reporter,
    root: Path | None = None,
) -> list[PreparedCase]:
    """Preprocess the cases, or find them in the cache.

    Args:
        store: where the cases come from.
        cases: the cases wanted.
        plan: how to preprocess.
        labelled: whether labels are read; unlabelled cases carry none.
        reporter: told of the progress.
        root: cache folder; the user's when None.

    Returns:
        One entry a case, arrays memory-mapped.

    Raises:
        InputError: a file is broken, or an image holds voxels that are not finite.
        ResourceError: the disk is full.
    """
    root = root or home() / "cache" / f"prepared-{CACHE_VERSION}"
    prepared = []
    for index, case in enumerate(cases):
        reporter.check_cancelled()
        reporter.progress("prepare", index / len(cases))
        content = files_hash(case.images)
        folder = root / _key(case, content, plan, labelled)
        entry = _read(folder, case.id, content)
        if entry is None:
            shutil.rmtree(folder, ignore_errors=True)
            _write(folder, _prepare(store, case, plan, labelled))
            entry = _read(folder, case.id, content)
        if entry is None:
            raise ResourceError(f"What was written to {folder} cannot be read back.", "Check that disk.")
        prepared.append(entry)
    reporter.progress("prepare", 1.0)
    return prepared


def _prepare(
    store: CaseStore, case: Case, plan: Plan, labelled: bool
) -> tuple[Volume, np.ndarray | None, np.ndarray, list[np.ndarray]]:
    image = store.read_image(case)
    if not np.isfinite(image.array).all():
        raise InputError(f"Case {case.id} holds voxels that are not finite.", "Re-export the image.")
    grid = prepare_image(image, plan)
    known = np.ones(plan.classes, bool)
    if not labelled:
        return grid, None, known, []
    labels = prepare_labels(store.read_labels(case), plan)
    if labels.shape != grid.shape:
        raise InputError(f"Image and labels of case {case.id} do not lie on the same grid.")
    if case.annotated.labels is not None:
        known[1:] = [value in case.annotated.labels for value in plan.label_set.values]
        # What was painted of a label that is not declared annotated says nothing sure: it is ignored.
        labels[~np.append(known, np.ones(256 - len(known), bool))[labels]] = IGNORE
    return grid, labels, known, class_locations(labels, plan.classes)


def _write(folder: Path, parts: tuple[Volume, np.ndarray | None, np.ndarray, list[np.ndarray]]) -> None:
    grid, labels, known, locations = parts
    scratch = folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
        # fp16 has 11 bits: 0.002 at the 3 SD end of a z-scored image, far below its noise.
        np.save(scratch / "image.npy", np.ascontiguousarray(grid.array, dtype=np.float16))
        if labels is not None:
            np.save(scratch / "labels.npy", np.ascontiguousarray(labels))
            np.savez(scratch / "locations.npz", *locations)
        facts = {"known": known.tolist(), "classes": len(locations), "labelled": labels is not None}
        (scratch / "facts.json").write_text(json.dumps(facts))
        scratch.replace(folder)
    except OSError as error:
        shutil.rmtree(scratch, ignore_errors=True)
        if not (folder / "facts.json").exists():  # else another process wrote the same case meanwhile
            raise ResourceError(
                f"The preprocessed case could not be written to {folder.parent}: {error}.",
                "Free some space or set MEDCONTEXT_HOME to another disk.",
            ) from error


def _read(folder: Path, case_id: str, content: str) -> PreparedCase | None:
    """The entry, or None where there is none or it is damaged."""
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
    return PreparedCase(case_id, image, labels, np.array(facts["known"]), locations, content)


def _key(case: Case, content: str, plan: Plan, labelled: bool) -> str:
    parts = [content, plan.preprocessing_hash(), str(CACHE_VERSION), str(labelled)]
    if labelled and case.label is not None:
        parts += [files_hash([case.label]), repr(case.annotated)]
        parts += [files_hash([case.annotated.mask])] if case.annotated.mask else []
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]


def files_hash(paths: Sequence[Path]) -> str:
    """SHA-256 over the files, in order; of a DICOM folder its files, of a detached header (MHD, NHDR) its data too."""
    digest = hashlib.sha256()
    for path in paths:
        files = [path]
        if path.is_dir():
            files = sorted(p for p in path.iterdir() if p.is_file())
        elif path.suffix.lower() in DETACHED_HEADERS:
            files = [path, *sorted(p for p in path.parent.glob(f"{glob.escape(path.stem)}.*") if p != path)]
        for file in files:
            try:
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
            except FileNotFoundError as error:
                raise InputError(f"{file} does not exist.", "Run 'medcontext data check'.") from error
    return digest.hexdigest()
