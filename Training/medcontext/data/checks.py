"""Looking for what would spoil a training, before it starts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from medcontext.data.case import Case
from medcontext.data.decathlon import read_splits
from medcontext.data.modality import odd_values
from medcontext.data.reading import file_hash, read_case_labels, shortened, values_in, voxel_hash
from medcontext.data.store import CaseStore
from medcontext.dataset_form import strip_ending
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Volume

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        case: id of the case, empty where it is about the whole store.
        severity: ``error`` for a case that cannot be used, ``warning`` for what a person should know.
        message: one sentence.
        hint: what to do, may be empty.
    """

    case: str
    severity: Severity
    message: str
    hint: str = ""


def check_store(store: CaseStore, reporter: Reporter | None = None) -> list[Finding]:
    """Read every file of a store and report what is wrong, one sentence each.

    Errors: files missing, broken or 2D, other channel counts, voxels that are not finite, image and label on
    different grids, labels without any structure or with values that are not declared, the same image twice.

    Raises:
        CancelledError: someone asked to stop.
    """
    reporter = reporter or Reporter()
    findings: list[Finding] = []
    seen: dict[str, str] = {}
    occurring: Counter[int] = Counter()
    for index, case in enumerate(store.cases):
        reporter.check_cancelled()
        reporter.progress("check", index / len(store.cases))
        findings += _check_case(store, case, seen, occurring)
    reporter.progress("check", 1.0)
    return [*findings, *_check_whole(store, occurring)]


def _check_case(
    store: CaseStore, case: Case, seen: dict[str, str], occurring: Counter[int]
) -> Iterator[Finding]:
    missing = [path for path in case.files if not path.exists()]
    unneeded = case.label is None and case.split == "unlabelled"  # training leaves such scans out
    for path in missing:
        yield Finding(
            case.id,
            "warning" if unneeded else "error",
            f"{path} does not exist.",
            f"Restore the file or remove the case: medcontext data remove {store.folder} {case.id}",
        )
    image = None
    if not any(path in missing for path in case.images):
        try:
            image = store.read_image(case)
        except InputError as error:
            yield Finding(case.id, "error", error.message, error.hint)
    if image is not None:
        yield from _check_image(case, image, seen)
        if odd := odd_values(image, store.channels):
            yield Finding(case.id, "warning", odd, "Look whether it is the right kind of image.")
    if case.label is not None and not any(path in missing for path in case.files if path not in case.images):
        yield from _check_label(store, case, case.label, image, occurring)
    yield from _check_hashes(store, case)


def _check_image(case: Case, image: Volume, seen: dict[str, str]) -> Iterator[Finding]:
    first = seen.setdefault(voxel_hash(image), case.id)
    if first != case.id:
        yield Finding(
            case.id, "error", f"The image is the same as that of case {first}.", "Remove one of the two."
        )
    flat = [number for number, channel in enumerate(image.array) if np.ptp(channel) == 0]
    if flat:
        yield Finding(case.id, "error", f"Channel {flat[0]} of the image has the same value everywhere.")
    if min(image.shape) == 1:
        yield Finding(case.id, "error", "The image is a single slice; a 3D image is needed.")


def _check_label(
    store: CaseStore, case: Case, path: Path, image: Volume | None, occurring: Counter[int]
) -> Iterator[Finding]:
    like = None if image is None else image.geometry  # of a broken image there is none to compare
    try:
        labelmap = read_case_labels(path, case.annotated, store.labels, f"Case {case.id}", like)
    except InputError as error:
        yield Finding(case.id, "error", error.message, error.hint)
        return
    values = values_in(labelmap.array)
    occurring.update(values)
    annotated = case.annotated
    place = "" if annotated.region == "whole" else " inside what was annotated"
    if not values:
        yield Finding(
            case.id,
            "error",
            f"The label has no voxel of any structure{place}.",
            "Paint it or drop the label.",
        )
    listed = annotated.labels
    undeclared = sorted(set(listed or ()) - set(store.labels.values))
    if undeclared:
        yield Finding(case.id, "error", f"Annotated labels {undeclared} are not declared in dataset.json.")
    if listed is not None and (extra := sorted(set(values) - set(listed))):
        yield Finding(
            case.id,
            "error",
            f"The label holds the values {extra}, which are not among those annotated: {sorted(listed)}.",
            "List every structure that was painted, or clear the others.",
        )


def _check_hashes(store: CaseStore, case: Case) -> Iterator[Finding]:
    """Files changed since they were added: fine for a corrected label, odd for an image."""
    for name, known in case.hashes.items():
        path = store.folder / name
        if path.is_file() and file_hash(path) != known:
            yield Finding(case.id, "warning", f"{name} has changed since it was added.")


def _check_whole(store: CaseStore, occurring: Counter[int]) -> Iterator[Finding]:
    labelled = [case for case in store.cases if case.trainable]
    if not labelled:
        yield Finding("", "warning", "No case has a label that may be trained on.")
    elif len(labelled) == 1:
        yield Finding(
            "",
            "warning",
            "Only one labelled case: a model of it fits scans that look like it.",
            "Add more cases.",
        )
    never = [label.name for label in store.labels if not occurring[label.value]]
    if never and labelled:
        yield Finding("", "warning", f"No case shows these labels: {shortened(never)}.")
    once = [label.name for label in store.labels if occurring[label.value] == 1]
    if once and len(labelled) > 1:
        yield Finding(
            "",
            "warning",
            f"Only one case shows these labels, so that a model can hardly learn them: {shortened(once)}.",
            "Paint them in more cases.",
        )
    yield from _check_patients(store)
    splits = read_splits(store.folder)
    ids = {case.id for case in store.cases}
    lists = [splits.train, splits.test, *splits.fewshot.values()]
    lost = sorted({strip_ending(name) for names in lists for name in names} - ids)
    if lost:
        yield Finding("", "warning", f"splits.json names cases that are not there: {shortened(lost)}.")


def _check_patients(store: CaseStore) -> Iterator[Finding]:
    sides: dict[str, set[bool]] = defaultdict(set)
    for case in store.cases:
        if case.group:
            sides[case.group].add(case.split == "test" or case.held_out)
    both = sorted(group for group, where in sides.items() if len(where) == 2)
    if both:
        yield Finding(
            "",
            "warning",
            f"Patients on both sides of the split, so that scores will look too good: {shortened(both)}.",
            "Hold all their cases out with 'medcontext data split'.",
        )
