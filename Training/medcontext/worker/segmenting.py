"""The requests ``segment`` and ``redo``: from mapped volumes to a labelmap in a file.

torch is imported with the first model, not with this file, so that its time is counted and shown.
"""

from __future__ import annotations

import os
import platform
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import medcontext
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.exchange import SharedArray, write_array
from medcontext.geometry import Volume
from medcontext.labels import Label
from medcontext.worker.requests import ModelRequest, RedoRequest, SegmentRequest
from medcontext.worker.volumes import open_image

if TYPE_CHECKING:
    from medcontext.inference.predictor import Prediction
    from medcontext.library import LoadedModel
    from medcontext.worker.handlers import Result, Services
    from medcontext.worker.models import WarmModel

Apply = Callable[["WarmModel", Volume], "Prediction"]


def segment(data: Mapping[str, Any], services: Services, reporter: Reporter) -> Result:
    """Segment an image, or the part of it inside a box.

    Raises:
        InputError: the request does not fit the model, the machine or itself.
        CancelledError: someone asked to stop.
        ResourceError: memory or disk space ran out.
    """
    request = SegmentRequest.parse(data, "The request 'segment'")
    box = request.box and tuple(slice(start, stop) for start, stop in request.box)

    def apply(model: WarmModel, image: Volume) -> Prediction:
        return model.predictor.predict(
            image,
            box=box,  # type: ignore[arg-type]
            certainty=request.certainty,
            frugal=request.low_memory,
            reporter=reporter,
        )

    return run_model(request, apply, services, reporter) | {"box": request.box}


def redo(data: Mapping[str, Any], services: Services, reporter: Reporter) -> Result:
    """Segment a region again in another way; the arrays are zero outside of it.

    Raises:
        InputError, CancelledError, ResourceError: as :func:`segment`.
    """
    request = RedoRequest.parse(data, "The request 'redo'")

    region = np.asarray(SharedArray.from_json(request.region).open()) != 0

    def apply(model: WarmModel, image: Volume) -> Prediction:
        from medcontext.workflows.redo import redo as redo_region

        return redo_region(
            model.predictor,
            image,
            region,
            request.form,
            certainty=request.certainty,
            frugal=request.low_memory,
            reporter=reporter,
        )

    return run_model(request, apply, services, reporter)


def run_model(request: ModelRequest, apply: Apply, services: Services, reporter: Reporter) -> Result:
    """What all kinds share: the model, the image, the result and how long each stage took."""
    check_output(request.output)
    began = time.perf_counter()
    model, warm = services.models.get(request.model, request.device, request.precision, reporter)
    loaded = time.perf_counter()
    labels = _wanted(request.labels, model.loaded)
    image = open_image(request.channels, model.loaded.card, reporter)
    received = time.perf_counter()
    prediction = apply(model, image)
    predicted = time.perf_counter()
    reporter.progress("send", 0)
    sent = _send(prediction, request.output, labels, request.labels is not None, reporter)
    reporter.progress("send", 1)
    seconds = {"receive": received - loaded} | ({} if warm else {"load model": loaded - began})
    return {
        **sent,
        "model": _facts(model.loaded),
        "device": prediction.device,
        "precision": prediction.execution.precision,
        "seconds": {**seconds, **prediction.seconds, "send": time.perf_counter() - predicted},
        "software": {
            "medcontext": medcontext.__version__,
            "torch": str(sys.modules["torch"].__version__),
            "python": platform.python_version(),
        },
        "warm": warm,
    }


def check_output(folder: Path) -> None:
    """Before minutes are spent on a result that cannot be handed over."""
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"The folder {folder} for the result does not exist or cannot be written.")


def _wanted(values: Sequence[int] | None, model: LoadedModel) -> list[Label]:
    labels = list(model.card.label_set)
    if values is None:
        return labels
    known = {label.value for label in labels}
    unknown = sorted(set(values) - known)
    if unknown or not values:
        raise InputError(
            f"The model '{model.card.title}' has no label {unknown[0]}."
            if unknown
            else "No label is wanted.",
            f"It knows {', '.join(map(str, sorted(known)))}.",
        )
    return [label for label in labels if label.value in values]


def _send(
    prediction: Prediction, output: Path, labels: Sequence[Label], subset: bool, reporter: Reporter
) -> Result:
    from medcontext.worker.findings import find_labels, keep_only

    labelmap, certainty = prediction.labelmap, prediction.certainty
    voxels = labelmap.array[0]
    if subset:
        keep_only(voxels, [label.value for label in labels])
    found = find_labels(voxels)
    voxel_ml = labelmap.geometry.voxel_ml
    entries = []
    for label in labels:
        extent, count = found.get(label.value, (None, 0))
        entry = {"terminology": None, **label.to_json(), "extent": extent, "voxels": count}
        entries.append({**entry, "volume_ml": count * voxel_ml})
    return {
        "labelmap": write_result(output, "labelmap", voxels, reporter).to_json(),
        "certainty": certainty and write_result(output, "certainty", certainty.array[0], reporter).to_json(),
        "labels": entries,
    }


def write_result(output: Path, name: str, array: np.ndarray, reporter: Reporter) -> SharedArray:
    return write_array(output / f"{name}-{secrets.token_hex(4)}.raw", array, reporter.check_cancelled)


def _facts(model: LoadedModel) -> dict[str, str]:
    """What is written down of the model with each result."""
    card = model.card
    return {
        "id": card.id,
        "version": card.version,
        "title": card.title,
        "sha256": model.sha256,
        "license": card.license,
    }
