"""Which cases a training uses, and how they are prepared for it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from medcontext.data.cache import prepare_cases
from medcontext.data.case import Case
from medcontext.data.preprocess import PreparedCase
from medcontext.data.splits import Split, select
from medcontext.data.store import CaseStore
from medcontext.engine.config import MONITORED
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.plan import Plan
from medcontext.workflows.begun import Begun
from medcontext.workflows.request import PreparedData, TrainRequest
from medcontext.workflows.unlabelled import unlabelled_cases, voxels_in_use
from medcontext.workflows.verdict import was_seen


def choose_cases(request: TrainRequest, store: CaseStore, reporter: Reporter) -> Split:
    """The cases of a training, without those that are left out.

    Raises:
        InputError: a case that is left out is not there, or no labelled one remains.
    """
    left_out = {store.case(case_id).id for case_id in request.exclude}
    split = select(store, request.shots, request.seed)
    if remark := split.remark():
        reporter.warning(remark)
    parts = ("train", "validation", "unlabelled", "unused")
    split = replace(
        split, **{part: [c for c in getattr(split, part) if c.id not in left_out] for part in parts}
    )
    if not split.train:
        raise InputError(
            "Without the cases that are left out there is no labelled training case.",
            "Leave out fewer with --exclude, or annotate another one.",
        )
    if len(split.train) == 1:
        reporter.warning("There is one labelled case: the model will know this scan and little else.")
    return split


def prepare(
    request: TrainRequest,
    store: CaseStore,
    split: Split,
    plan: Plan,
    parent_saw: Collection[str],
    begun: Begun | None,
    reporter: Reporter,
) -> tuple[PreparedData, Begun]:
    """The cases of a training on the plan's grid, and a note of them.

    Args:
        request: where scans without labels lie.
        store, split, plan: of the training.
        parent_saw: hashes of what the parent and its parents learnt from.
        begun: what a run that goes on began with.
        reporter: told of the progress.

    Raises:
        InputError: a case cannot be read.
    """
    unlabelled: list[Case] = []
    if begun is not None:
        unlabelled = begun.scans(store, reporter)
    elif request.method == "medcontext":
        unlabelled = unlabelled_cases(request.unlabelled, store, split, request.exclude, reporter)
    in_use = voxels_in_use(request.unlabelled, store, split, request.exclude) if unlabelled else ()
    data = PreparedData(
        prepare_cases(store, split.train, plan, labelled=True, reporter=reporter),
        prepare_cases(store, split.validation, plan, labelled=True, reporter=reporter),
        prepare_cases(store, unlabelled, plan, labelled=False, reporter=reporter, in_use=in_use),
        _watched(store, request.exclude, plan, parent_saw, begun, reporter),
    )
    return data, begun or Begun.of(store, split, unlabelled, data)


def _watched(
    store: CaseStore,
    left_out: Sequence[str],
    plan: Plan,
    parent_saw: Collection[str],
    begun: Begun | None,
    reporter: Reporter,
) -> list[PreparedCase]:
    """The first held-out or test cases that can be read and that the parent did not learn from."""
    watched: list[PreparedCase] = []
    for case in store.cases:
        if len(watched) == MONITORED:
            break
        if case.label is None or not (case.held_out or case.split == "test") or case.id in left_out:
            continue
        if begun is not None and case.id not in begun.monitor:
            continue
        if was_seen(store, case, parent_saw):
            continue
        try:
            watched += prepare_cases(store, [case], plan, labelled=True, reporter=reporter.silent())
        except InputError as error:
            reporter.warning(f"Held-out case {case.id} cannot be watched: {error.message}")
    return watched
