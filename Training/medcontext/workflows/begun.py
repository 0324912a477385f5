"""Which cases a training began with, so that it goes on with them whatever was done to the data set meanwhile."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from medcontext.data.case import Case
from medcontext.data.hashing import files_hash
from medcontext.data.preprocess import PreparedCase
from medcontext.data.reading import shortened
from medcontext.data.splits import Split
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.io.atomic import replacing
from medcontext.labels import LabelSet
from medcontext.workflows.request import PreparedData

CASES_FILE = "cases.json"


@dataclass(frozen=True)
class BegunCase:
    """One case as it was when the training began.

    Attributes:
        id: its id.
        group: its patient, may be empty.
        images: its files.
        image: hash of them.
        label: hash of its label and of what of it was annotated; empty for a scan without labels.
        voxels: hash of the image's voxel values, as far as it was known.
        of_store: whether the data set lists it.
    """

    id: str
    group: str
    images: tuple[str, ...]
    image: str
    label: str
    voxels: str
    of_store: bool


@dataclass(frozen=True)
class Begun:
    """The cases of a training when it began.

    Attributes:
        labels: of the data set.
        listed: ids of all cases of the data set.
        train, validation, unlabelled: what the training uses.
        monitor: ids of the held-out cases that it watches.
    """

    labels: LabelSet
    listed: tuple[str, ...]
    train: tuple[BegunCase, ...]
    validation: tuple[BegunCase, ...]
    unlabelled: tuple[BegunCase, ...]
    monitor: tuple[str, ...]

    @classmethod
    def of(cls, store: CaseStore, split: Split, unlabelled: Sequence[Case], data: PreparedData) -> Begun:
        """What begins now with these cases; of the scans without labels those that could be prepared."""
        listed = tuple(case.id for case in store.cases)

        def noted(cases: Sequence[Case], prepared: Sequence[PreparedCase]) -> tuple[BegunCase, ...]:
            by_id = {case.id: case for case in cases}
            return tuple(_noted(by_id[one.id], one, store, one.id in listed) for one in prepared)

        return cls(
            store.labels,
            listed,
            noted(split.train, data.labelled),
            noted(split.validation, data.validation),
            noted(unlabelled, data.unlabelled),
            tuple(case.id for case in data.monitor),
        )

    def write(self, path: Path) -> None:
        """Write as JSON."""
        with replacing(path) as scratch:
            text = json.dumps(asdict(self) | {"labels": self.labels.to_json()}, indent=1)
            scratch.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Begun | None:
        """What :meth:`write` wrote; None where the run began without it.

        Raises:
            InputError: the file is broken.
        """
        if not path.exists():
            return None
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            parts = {
                name: tuple(BegunCase(**entry | {"images": tuple(entry["images"])}) for entry in data[name])
                for name in ("train", "validation", "unlabelled")
            }
            labels = LabelSet.from_json(data["labels"])
            return cls(labels, tuple(data["listed"]), **parts, monitor=tuple(data["monitor"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is broken.", "Start anew in another folder.") from error

    @property
    def labelled(self) -> tuple[BegunCase, ...]:
        """Every case whose labels are used."""
        return (*self.train, *self.validation)

    def split(self, store: CaseStore, left_out: Sequence[str], reporter: Reporter) -> Split:
        """The cases that the training goes on with.

        Those that are gone, or that are kept for scoring by now, are left out; changed ones are taken as they are.

        Args:
            store: the data set as it is now.
            left_out: ids of cases that are not to be used.
            reporter: told of every difference.

        Raises:
            InputError: no case to learn from is left.
        """
        found = _Differences(store, left_out)
        train = list(found.still_used(self.train))
        validation = list(found.still_used(self.validation))
        used = {case.id for case in self.unlabelled}
        late = [c for c in store.cases if c.id not in self.listed or (c.id in used and c.label is not None)]
        found.tell(reporter, [case for case in late if not case.held_out and case.split != "test"])
        if not train:
            raise InputError(
                "None of the cases that this run learnt from can be used any more.",
                "Put them back, or start anew in another folder.",
            )
        return Split(train, validation, [], [])

    def scans(self, store: CaseStore, reporter: Reporter) -> list[Case]:
        """The scans without labels that the training goes on with; ``reporter`` is told of those that are gone."""
        now = {case.id: case for case in store.cases}
        scored = scored_patients(store)
        found: list[Case] = []
        gone: list[str] = []
        kept_apart: list[str] = []
        for case in self.unlabelled:
            listed = now.get(case.id) if case.of_store else None
            if case.of_store and listed is None:
                gone.append(case.id)
            elif case.group in scored or (listed is not None and not _is_free(listed)):
                kept_apart.append(case.id)
            else:
                found.append(listed or Case(case.id, [Path(path) for path in case.images], group=case.group))
        for ids, what in ((gone, "gone"), (kept_apart, "held out by now")):
            if ids:
                names = shortened(ids, 4)
                reporter.warning(f"The run goes on without unlabelled scans that are {what}: {names}.")
        return [replace(case, label=None) for case in found]


class _Differences:
    """What became of the labelled cases of a run."""

    def __init__(self, store: CaseStore, left_out: Sequence[str]) -> None:
        self._store, self._left_out = store, left_out
        self._now: Mapping[str, Case] = {case.id: case for case in store.cases}
        self._scored = scored_patients(store)
        self.gone: list[str] = []
        self.kept_apart: list[str] = []
        self.images: list[str] = []
        self.labels: list[str] = []

    def still_used(self, begun: Sequence[BegunCase]) -> Iterator[Case]:
        for then in begun:
            case = self._now.get(then.id)
            if case is None or case.label is None:
                self.gone.append(then.id)
            elif not _is_free(case) or case.group in self._scored:
                self.kept_apart.append(then.id)
            elif then.id not in self._left_out:
                try:
                    image, label = files_hash(case.images), _label_hash(case, self._store)
                except InputError:
                    self.gone.append(then.id)
                    continue
                self.images += [then.id] if image != then.image else []
                self.labels += [then.id] if label != then.label else []
                yield case

    def tell(self, reporter: Reporter, late: Sequence[Case]) -> None:
        """Say each kind of difference in a sentence."""
        if late:
            names = shortened((case.id for case in late), 4)
            reporter.info(f"Annotated or added since this run began, and not used by it: {names}.")
        sentences = (
            (self.gone, "The run goes on without cases that are gone: {names}."),
            (self.kept_apart, "The run goes on without cases that are held out by now: {names}."),
            (self.images, "These images were changed since the run began and are used as they are: {names}."),
            (self.labels, "These labels were changed since the run began and are used as they are: {names}."),
        )
        for ids, sentence in sentences:
            if ids:
                reporter.warning(sentence.format(names=shortened(ids, 4)))


def scored_patients(store: CaseStore) -> set[str]:
    """Patients of whom a scan is kept for scoring; of the other scans nothing may be learnt."""
    return {case.group for case in store.cases if not _is_free(case)} - {""}


def _is_free(case: Case) -> bool:
    return case.split != "test" and not case.held_out


def _noted(case: Case, prepared: PreparedCase, store: CaseStore, of_store: bool) -> BegunCase:
    files = tuple(str(path.absolute()) for path in case.images)
    label = "" if prepared.labels is None else _label_hash(case, store)
    voxels = prepared.voxels or case.voxels
    return BegunCase(case.id, case.group, files, prepared.content_hash, label, voxels, of_store)


def _label_hash(case: Case, store: CaseStore) -> str:
    """Of the label, of the mask, and of what was annotated.

    Raises:
        InputError: a file is gone.
    """
    files = [path for path in (case.label, case.annotated.mask) if path is not None]
    annotated = json.dumps(case.annotated.to_json(store.folder), sort_keys=True)
    return hashlib.sha256(f"{files_hash(files)}|{annotated}".encode()).hexdigest()
