"""Which cases are learnt from, which choose the checkpoint, and which are left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from medcontext.data.case import Case
from medcontext.data.reading import shortened
from medcontext.data.store import CaseStore
from medcontext.dataset_form import strip_ending
from medcontext.errors import InputError

VALIDATION_FROM = 10
"""Below this many labels none is spared for validation: each one is worth more as a training case."""

VALIDATION_AT_LEAST, VALIDATION_AT_MOST = 2, 20
"""Twenty cases rank checkpoints well enough; more would only be labels not learnt from."""


@dataclass(frozen=True)
class Split:
    """The cases of one training.

    Attributes:
        train: cases whose labels are learnt from.
        validation: labelled cases that choose the checkpoint; counted as shots too.
        unlabelled: cases of the store that have no label.
        unused: labelled training cases beyond the shots; their images may serve as unlabelled scans.
        of_scored: labelled training cases of patients who have a test or held-out case; nothing uses them.
    """

    train: list[Case]
    validation: list[Case]
    unlabelled: list[Case]
    unused: list[Case]
    of_scored: list[Case] = field(default_factory=list)

    def remark(self) -> str:
        """What a person should know about the choice, in one sentence; empty where there is nothing."""
        if not self.of_scored:
            return ""
        cases = "annotated case is" if len(self.of_scored) == 1 else "annotated cases are"
        names = shortened((case.id for case in self.of_scored), 4)
        count = len(self.of_scored)
        return f"{count} {cases} not learnt from, because other scans of the same patients score: {names}."


def select(store: CaseStore, shots: int | None = None, seed: int = 0, held_out_share: float = 0.2) -> Split:
    """Choose the cases of one training.

    Test cases, cases held out and labelled cases of their patients are not learnt from. ``shots`` counts every
    label used, validation included: below 10 all are trained on, from 10 on a share is set apart, whole patients
    at a time.

    Args:
        store: the data.
        shots: number of labels to use: the list of that length in ``splits.json`` where there is one, else
            drawn with ``seed`` (a larger draw of the same seed contains the smaller one); None uses all.
        seed: of the draw and of the validation part.
        held_out_share: share of the labels used for validation; 2 to 20 cases, 0 for none.

    Raises:
        InputError: there is no labelled training case, or fewer than ``shots``.
    """
    if not 0 <= held_out_share < 1:
        raise InputError(f"The share of cases held out must lie between 0 and 1, not {held_out_share}.")
    scored = {case.group for case in store.cases if case.split == "test" or case.held_out} - {""}
    labelled = [case for case in store.cases if case.trainable]
    pool = [case for case in labelled if case.group not in scored]
    if labelled and not pool:
        raise InputError(
            f"Every labelled training case of {store.folder} is of a patient who is held out for scoring.",
            "Add a case of another patient.",
        )
    if not pool:
        raise InputError(
            f"{store.folder} holds no labelled training case.", "Add one with 'medcontext data add --label'."
        )
    chosen = _choose(store, pool, shots, seed)
    train, validation = chosen, list[Case]()
    if len(chosen) >= VALIDATION_FROM and held_out_share > 0:
        count = min(max(VALIDATION_AT_LEAST, round(held_out_share * len(chosen))), VALIDATION_AT_MOST)
        train, validation = split_by_patient(chosen, count, seed)
    used = {case.id for case in chosen}
    kept_apart = (scored | {case.group for case in validation}) - {""}
    free = [
        case
        for case in store.cases
        if case.split != "test" and not case.held_out and case.group not in kept_apart
    ]
    return Split(
        train=train,
        validation=validation,
        unlabelled=[case for case in free if case.label is None],
        unused=[case for case in free if case.label is not None and case.id not in used],
        of_scored=[case for case in labelled if case.group in scored],
    )


def split_by_patient(cases: Sequence[Case], count: int, seed: int) -> tuple[list[Case], list[Case]]:
    """Set ``count`` cases (or a few more) apart so that no patient is on both sides.

    Returns:
        The rest and the part set apart, each in the order given; the part is empty when all are one patient.
    """
    patients = sorted({case.patient for case in cases})
    order = [patients[index] for index in np.random.default_rng([seed, 1]).permutation(len(patients))]
    apart: set[str] = set()
    for patient in order[:-1]:
        if sum(case.patient in apart for case in cases) >= count:
            break
        apart.add(patient)
    return [c for c in cases if c.patient not in apart], [c for c in cases if c.patient in apart]


def cases_to_hold_out(store: CaseStore, share: float, seed: int = 0) -> list[str]:
    """Ids to hold out so that ``share`` of the labelled cases scores and no patient is on both sides.

    Test cases and cases held out before count; all cases of their patients are among the ids.
    """
    labelled = [case for case in store.cases if case.label is not None]
    scoring = {case.patient for case in labelled if not case.trainable}
    forced = [case for case in labelled if case.trainable and case.patient in scoring]
    free = [case for case in labelled if case.trainable and case.patient not in scoring]
    wanted = round(share * len(labelled)) - (len(labelled) - len(free))
    drawn = split_by_patient(free, wanted, seed)[1] if wanted > 0 else []
    return [case.id for case in (*forced, *drawn)]


def why_none_is_held_out(store: CaseStore, share: float) -> str:
    """Why :func:`cases_to_hold_out` found nothing for this share, in a sentence that says what would help."""
    labelled = [case for case in store.cases if case.label is not None]
    scoring = sum(not case.trainable for case in labelled)
    if not labelled:
        return f"{store.folder} holds no labelled case. Add one with 'medcontext data add --label'."
    if scoring and scoring >= round(share * len(labelled)):
        part = f"{scoring} of {len(labelled)} labelled cases score already ({scoring / len(labelled):.0%})"
        return f"{part}. Give a larger --held-out than {share:g}, or name cases with --case."
    if round(share * len(labelled)) == 0:
        part = f"a share of {share:g} of {len(labelled)} labelled cases is less than one case"
        return f"{part}. Give a larger --held-out, or name cases with --case."
    return "the labelled cases are all of one patient, who is not split. Add a case of another patient."


def _choose(store: CaseStore, pool: Sequence[Case], shots: int | None, seed: int) -> list[Case]:
    if shots is None:
        return list(pool)
    if not 1 <= shots <= len(pool):
        raise InputError(
            f"{shots} shots were asked for; {store.folder} holds {len(pool)} labelled training cases.",
            f"Give a number from 1 to {len(pool)}.",
        )
    listed = store.fewshot.get(str(shots))
    if listed is None:
        drawn = np.random.default_rng([seed, 0]).permutation(len(pool))[:shots]
        return [pool[index] for index in sorted(drawn)]
    by_id = {case.id: case for case in pool}
    wanted = [strip_ending(name) for name in listed]
    missing = [name for name in wanted if name not in by_id]
    if missing:
        raise InputError(
            f"splits.json lists '{missing[0]}' for {shots} shots, which is no labelled training case.",
            "Correct splits.json.",
        )
    return [by_id[name] for name in wanted]
