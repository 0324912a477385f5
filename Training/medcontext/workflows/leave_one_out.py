"""Leave-one-out: what a fine-tuning is worth when no case can be spared for scoring.

For each annotated case a model is trained on all others, for the same time as the one that is delivered, and scored
on the case left out; the parent is scored on it too, unless it learnt from it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from medcontext.data.case import Case
from medcontext.data.splits import select
from medcontext.data.store import CaseStore
from medcontext.errors import CancelledError, InputError
from medcontext.events import Event, Reporter
from medcontext.io.atomic import replacing
from medcontext.labels import LabelSet
from medcontext.workflows.comparison import CaseComparison, Side, labels_to_score, score_cases
from medcontext.workflows.encoder_start import model_to_compare
from medcontext.workflows.request import TrainRequest
from medcontext.workflows.verdict import Verdict, conclude, was_seen

Control = Callable[[], str | None]
Train = Callable[[TrainRequest, Reporter, Control], object]

FILE, STAGE = "leave_one_out.json", "leave one out"
IRRELEVANT = ("output", "resume", "title", "license", "model_id", "device", "leave_one_out", "until_stopped")
"""What of a request says nothing about how good its models become."""


def leave_one_out(
    request: TrainRequest, train: Train, reporter: Reporter, control: Control = lambda: None
) -> Verdict:
    """Train once for each annotated case without it, score all of them, and write down what came out.

    ``training/leave_one_out.json`` in the output folder grows case by case, so that a stopped run goes on.

    Args:
        request: of the training that delivers the model.
        train: trains and saves one model; :func:`medcontext.workflows.train.fit`.
        reporter: told beforehand how long it takes, and of the progress.
        control: asked between steps; "stop" ends with the cases done so far.

    Raises:
        InputError: there are fewer than two annotated cases, or the training has no end.
        CancelledError: someone asked to stop at once.
    """
    store = CaseStore.open(request.data)
    cases = cases_to_leave_out(store, request)
    reporter.info(time_needed(len(cases), request))
    record = _read(request.output / "training" / FILE, _asked(request), reporter)
    for index, case in enumerate(cases):
        if control() == "stop":
            break
        reporter.progress(STAGE, index / len(cases))
        if any(row["case"] == case.id for row in record["by_case"]):
            continue
        folder = request.output / "training" / "without" / case.id
        shutil.rmtree(folder, ignore_errors=True)
        apart = [other.id for other in store.cases if other.patient == case.patient]
        single = replace(
            request, output=folder, exclude=[*request.exclude, *apart], leave_one_out=False, resume=False
        )
        try:
            train(single, _share(reporter, index, len(cases)), control)
        except CancelledError:  # asked to stop before it had learnt anything
            if control() != "stop" or reporter.cancelled:
                raise
        if control() == "stop":  # it learnt for a shorter time than the others
            break
        from medcontext.engine.asking import patient

        _add_score(record, case, store, single, patient(reporter, control))
        shutil.rmtree(folder.parent)
        with replacing(request.output / "training" / FILE) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    reporter.progress(STAGE, 1)
    labels = LabelSet(tuple(label for label in store.labels if label.name in record["labels"]))
    rows = [CaseComparison(**row) for row in record["by_case"]]
    return conclude(rows, labels, record["parent"], record["compared"], ("case left out", "cases left out"))


def cases_to_leave_out(store: CaseStore, request: TrainRequest) -> list[Case]:
    """The annotated cases that the training uses.

    Raises:
        InputError: there are fewer than two, or the training has no end.
    """
    if request.until_stopped:
        raise InputError(
            "Leave-one-out repeats the training, which has no end with --until-stopped.", "Give --minutes."
        )
    split = select(store, request.shots, request.seed)
    cases = [case for case in (*split.train, *split.validation) if case.id not in request.exclude]
    if len({case.patient for case in cases}) < 2:
        raise InputError(
            f"Leave-one-out needs annotated cases of at least two patients; {store.folder} has {len(cases)}.",
            "Add another case.",
        )
    return cases


def time_needed(cases: int, request: TrainRequest) -> str:
    """What leave-one-out costs, to be said before it begins."""
    if request.minutes is not None:
        total = cases * request.minutes
        return f"Leave-one-out: {cases} more trainings of {request.minutes:g} minutes, {total:g} minutes together."
    steps = f"{request.steps} steps" if request.steps is not None else "the planned steps"
    return f"Leave-one-out: {cases} more trainings of {steps}, {cases} times as long as this one."


def _add_score(
    record: dict[str, Any], case: Case, store: CaseStore, request: TrainRequest, reporter: Reporter
) -> None:
    """Score the model without the case, and the parent where it does not know the case either."""
    parent = model_to_compare(request)
    names: list[str | Path] = [request.output, *([parent] if parent is not None else [])]
    sides = [Side(name, store, request.device, request.precision, reporter.silent()) for name in names]
    labels, compared = labels_to_score(sides)
    record |= {"labels": [label.name for label in labels], "compared": compared}
    record |= {"parent": sides[1].card.title if len(sides) > 1 else ""}
    if compared and was_seen(store, case, sides[1].card.seen):
        reporter.warning(f"The parent learnt from case {case.id}: there it is not compared with.")
        compared = False
    if parent is None and was_seen(store, case, sides[0].card.training.inherited_hashes):
        reporter.warning(f"The encoder saw case {case.id} without its labels: the score there may flatter.")
    rows = score_cases(store, [case], labels, sides[: 1 + compared], reporter.silent())
    record["by_case"] += [vars(row) for row in rows]


def _share(reporter: Reporter, index: int, count: int) -> Reporter:
    """A reporter of one of several trainings: its progress is a part of the whole, and it says nothing else."""

    def tell(event: Event) -> None:
        if event["event"] == "progress" and event.get("stage") == "train" and event.get("value") is not None:
            reporter.progress(STAGE, (index + float(event["value"])) / count)

    return Reporter(tell, lambda: reporter.cancelled)


def _asked(request: TrainRequest) -> dict[str, Any]:
    """What of a request decides how good its models become, as plain data."""
    asked = {key: value for key, value in vars(request).items() if key not in IRRELEVANT}
    for key in ("config", "plan"):  # what the files say, wherever they lie
        asked[key] = None if asked[key] is None else asked[key].read_text(encoding="utf-8")
    plain: dict[str, Any] = json.loads(json.dumps(asked, default=str, sort_keys=True))
    return plain


def _read(file: Path, asked: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """What was found out so far by trainings like this one."""
    if file.exists():
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if record.get("asked") == asked:
            return record
        reporter.info("Leave-one-out was begun with other options; it starts anew.")
    return {"asked": asked, "labels": [], "parent": "", "compared": False, "by_case": []}
