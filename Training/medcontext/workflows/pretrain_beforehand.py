"""What is wrong with a pre-training is said at once: nothing here loads torch, which takes seconds."""

from __future__ import annotations

from medcontext import methods
from medcontext.cards import MODEL_FILE
from medcontext.data.scans import Scans, pooled_scans
from medcontext.events import Reporter
from medcontext.workflows.beforehand import check_output, check_settings
from medcontext.workflows.pretrain_request import PretrainRequest
from medcontext.workflows.pretrain_start import start_of


def check_pretraining(request: PretrainRequest, reporter: Reporter | None = None) -> Scans | None:
    """Refuse what cannot be learnt from, as far as options, names and headers tell.

    Args:
        request: what to do.
        reporter: told what of the data is left out.

    Returns:
        The scans that were found; None where a run goes on, which has its own.

    Raises:
        InputError: options contradict each other; a path, scan, plan, encoder or setting is not there; scans differ
            in their channels; or nothing can be written to the output folder.
        CancelledError: someone asked to stop.
    """
    check_settings(request, methods.pretraining_names())
    if request.resume and (request.output / MODEL_FILE).exists():
        return None
    if check_output(request):
        return None
    return pooled_scans(request.data, request.exclude, reporter, start_of(request).inputs)
