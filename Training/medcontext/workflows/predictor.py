"""A model, ready to be applied."""

from __future__ import annotations

from pathlib import Path

from medcontext.devices import choose_device, tune_cpu
from medcontext.events import Reporter
from medcontext.inference.plan import ExecutionPlan
from medcontext.inference.predictor import Predictor
from medcontext.library import LoadedModel, check_segments, load_model


def make_predictor(
    model: str | Path,
    device: str,
    precision: str,
    reporter: Reporter,
    plan: ExecutionPlan | None = None,
    threads: int | None = None,
) -> tuple[Predictor, LoadedModel]:
    """Load a segmentation model onto a device and say which.

    Args:
        model: library id or folder.
        device: as :func:`medcontext.devices.choose_device` takes it.
        precision: auto, fp32, bf16 or fp16.
        reporter: told of progress and of the device.
        plan: how windows are computed; measured where that pays when None.
        threads: of the CPU, see :func:`medcontext.devices.tune_cpu`.

    Raises:
        InputError: there is no such model or device, or the model does not segment images.
    """
    reporter.progress("load model", 0)
    loaded = load_model(model)
    check_segments(loaded.card)
    chosen = choose_device(device, reporter)
    if chosen.kind == "cpu":
        tune_cpu(threads)
    predictor = Predictor(
        loaded.networks, loaded.card, chosen, precision, masked_network=loaded.masked_network, plan=plan
    )
    reporter.progress("load model", 1)
    reporter.info(f"Segmenting on {chosen.name}: {chosen.reason}", device=chosen.name)
    return predictor, loaded
