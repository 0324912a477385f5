"""From scans without labels to an encoder that a training can start from."""

from __future__ import annotations

from collections.abc import Callable

from medcontext.cards import MODEL_FILE
from medcontext.engine.keeping import sole_writer
from medcontext.engine.ranks import is_main_process
from medcontext.events import Reporter
from medcontext.library import read_card
from medcontext.workflows.pretrain_beforehand import check_pretraining
from medcontext.workflows.pretrain_request import PretrainRequest, PretrainResult

__all__ = ["PretrainRequest", "PretrainResult", "pretrain"]


def pretrain(
    request: PretrainRequest,
    reporter: Reporter | None = None,
    control: Callable[[], str | None] = lambda: None,
) -> PretrainResult:
    """Find the scans, plan, learn from them and save an encoder.

    Args:
        request: what to do.
        reporter: told of progress, losses, signals and warnings.
        control: asked between steps for "stop" (keep what is there), "pause" or None.

    Raises:
        InputError: scans, options or the output folder do not fit.
        ResourceError: not even a small step fits into the memory, or the disk is full.
        CancelledError: stopped; ``resume`` continues.
        TrainingDivergedError: a loss term was not finite.
    """
    reporter = (reporter or Reporter()) if is_main_process() else (reporter or Reporter()).silent()
    found = check_pretraining(request, reporter)
    # Only now: a wrong path should not cost the seconds that torch takes to load.
    from medcontext.workflows.pretrain_fit import fit, result_of, tidy

    if not is_main_process():
        return fit(request, found, reporter, control)
    with sole_writer(request.output / "training"):
        if request.resume and (request.output / MODEL_FILE).exists():
            reporter.info(f"The encoder in {request.output} is trained already.")
            tidy(request.output / "training")  # a kill after the model was written may have left it
            return result_of(request, read_card(request.output))
        return fit(request, found, reporter, control)
