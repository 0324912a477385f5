"""From a case store to a model folder, and what held-out cases say about it."""

from __future__ import annotations

from collections.abc import Callable

from medcontext.data.store import CaseStore
from medcontext.engine.keeping import sole_writer
from medcontext.engine.ranks import is_main_process
from medcontext.events import Reporter
from medcontext.library import read_card
from medcontext.workflows.beforehand import check_training
from medcontext.workflows.leave_one_out import cases_to_leave_out, time_needed
from medcontext.workflows.request import TrainRequest, TrainResult

__all__ = ["TrainRequest", "TrainResult", "train"]


def train(
    request: TrainRequest, reporter: Reporter | None = None, control: Callable[[], str | None] = lambda: None
) -> TrainResult:
    """Plan, preprocess, train, save a model, and compare it with its parent on held-out cases.

    Args:
        request: what to do.
        reporter: told of progress, losses and warnings.
        control: asked between steps for "stop" (keep what is there), "pause" or None.

    Raises:
        InputError: data, options or the output folder do not fit.
        CancelledError: stopped; ``resume`` continues.
        TrainingDivergedError: a loss term was not finite.
    """
    reporter = reporter or Reporter()
    check_training(request)
    # Only now: a wrong path should not cost the seconds that torch takes to load.
    from medcontext.workflows.fit import fit, tidy
    from medcontext.workflows.training_verdict import judged

    if not is_main_process():
        return fit(request, reporter.silent(), control)
    if request.leave_one_out:
        reporter.info(time_needed(len(cases_to_leave_out(CaseStore.open(request.data), request)), request))
    with sole_writer(request.output / "training"):
        if request.resume and (request.output / "model.json").exists():
            reporter.info(f"The model in {request.output} is trained already.")
            tidy(request.output / "training")  # a kill after the model was written may have left it
            trained = TrainResult(request.output, read_card(request.output))
        else:
            trained = fit(request, reporter, control)
        card, verdict = judged(request, trained.card, fit, reporter, control)
    return TrainResult(request.output, card, trained.dice, verdict)
