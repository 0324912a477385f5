"""The request ``adapt``: a model learns from a correction on one scan, and segments that scan again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from medcontext.events import Reporter
from medcontext.exchange import SharedArray
from medcontext.geometry import Volume
from medcontext.worker.requests import AdaptRequest
from medcontext.worker.segmenting import run_model, write_result

if TYPE_CHECKING:
    from medcontext.inference.focus import Box
    from medcontext.inference.predictor import Prediction
    from medcontext.worker.handlers import Result, Services
    from medcontext.worker.models import WarmModel


def adapt(data: Mapping[str, Any], services: Services, reporter: Reporter) -> Result:
    """Learn from a correction; the model in memory and that in the library stay as they are.

    The result is that of ``segment``, with ``changed_voxels`` (that differ from the corrected labelmap), ``steps``,
    and ``before``: the model's answer where it had to be asked again, else None.

    Raises:
        InputError: nothing was corrected, or the request does not fit the model, the machine or itself.
        CancelledError: someone asked to stop.
        ResourceError: memory or disk space ran out.
        TrainingDivergedError: the loss became infinite.
    """
    request = AdaptRequest.parse(data, "The request 'adapt'")
    given = None if request.labelmap is None else _opened(request.labelmap)
    corrected = _opened(request.corrected)
    earlier = None if request.region is None else _opened(request.region) != 0
    facts: Result = {"before": None}

    def apply(model: WarmModel, image: Volume) -> Prediction:
        before = _asked_again(request, model, image, reporter) if given is None else given
        adaptation = _learnt(request, model, image, before, corrected, earlier, reporter)
        if given is None:
            facts["before"] = write_result(request.output, "before", before, reporter).to_json()
        facts.update(changed_voxels=adaptation.changed_voxels, steps=adaptation.steps)
        return adaptation.prediction

    return run_model(request, apply, services, reporter) | facts


def _opened(data: Any) -> np.ndarray:
    return np.asarray(SharedArray.from_json(data).open())


def _box(request: AdaptRequest) -> Box | None:
    if request.box is None:
        return None
    k, j, i = (slice(start, stop) for start, stop in request.box)
    return k, j, i


def _asked_again(request: AdaptRequest, model: WarmModel, image: Volume, reporter: Reporter) -> np.ndarray:
    """What the model answers, of the labels wanted."""
    found = model.predictor.predict(image, box=_box(request), reporter=reporter).labelmap.array[0]
    if request.labels is not None:
        found[~np.isin(found, request.labels)] = 0
    return found


def _learnt(
    request: AdaptRequest,
    model: WarmModel,
    image: Volume,
    before: np.ndarray,
    corrected: np.ndarray,
    earlier: np.ndarray | None,
    reporter: Reporter,
) -> Any:
    from medcontext.devices import choose_device
    from medcontext.workflows.adapt import adapt as learn
    from medcontext.workflows.correction import looked_at

    looked = earlier
    if earlier is not None and earlier.shape == before.shape == corrected.shape:  # else it is refused below
        looked = earlier | looked_at(before, corrected)
    return learn(
        model.loaded,
        image,
        before,
        corrected,
        looked,
        device=choose_device(request.device),
        box=_box(request),
        labels=request.labels,
        seconds=request.seconds,
        precision=request.precision,
        seed=request.seed,
        reporter=reporter,
    )
