"""Segmenting beside MONAI: same network object, same volume, same threads, turn by turn in one process.

    python Testing/Benchmarks/inference_speed.py

MONAI's side is its documented fast form: ``sliding_window_inference`` with Gaussian blending (its weight map is
computed once per call), logits interpolated by torch to the image's grid, ``torch.max`` for the labels. Prints and
writes the median seconds of each side, their ratio, the agreement of the labels, and the peak memory of each side in a
process of its own. The network of the first case has random weights and normalises each window by itself, so its
labels depend on where windows lie, and the two sides place them differently.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import psutil
import torch
from monai.inferers import sliding_window_inference
from record import write_result
from torch import nn
from torch.nn import functional as F

from medcontext import networks
from medcontext.api import Geometry, Predictor, Volume, choose_device
from medcontext.card_schema import InputRange, InputSpec, ModelCard
from medcontext.data.grid_recipe import GridRecipe
from medcontext.data.preprocess import to_model_grid
from medcontext.plan import Channel, NetworkSpec

PATCH = (64, 64, 64)
CASES = {
    "3 classes, 96x160x160, network small": (3, (96, 160, 160), "dynunet"),
    "14 classes, 120x240x240 from 2 mm, one convolution": (14, (120, 240, 240), "convolution"),
    "50 classes, 60x200x200 from 2 mm, one convolution": (50, (60, 200, 200), "convolution"),
}
ROUNDS = 5


def a_model(classes: int, kind: str, spacing: float) -> tuple[nn.Module, ModelCard]:
    """A network with fixed random weights and a card that fits it."""
    torch.manual_seed(0)
    kwargs = networks.default_kwargs("dynunet", PATCH, (1.0, 1.0, 1.0), "small")
    if kind == "dynunet":
        network: nn.Module = networks.build("dynunet", 1, classes, **kwargs)
    else:
        network = nn.Conv3d(1, classes, 5, padding=2)
    extent = ((1.0, 1.0, 1.0), (1000.0, 1000.0, 1000.0))
    card = ModelCard(
        id="speed",
        title="speed",
        method="supervised",
        network=NetworkSpec(name="dynunet", kwargs=kwargs),
        input=InputSpec(
            channels=[Channel(name="T1", modality="MRI")],
            spacing=(spacing, spacing, spacing),
            orientation="LPS",
            patch_size=PATCH,
            range=InputRange(spacing=((0.5, 0.5, 0.5), (4.0, 4.0, 4.0)), field_of_view=extent),
        ),
        labels=[{"value": value, "name": str(value)} for value in range(1, classes)],
    )
    return network.eval(), card


def an_image(shape: tuple[int, int, int]) -> Volume:
    """Smooth noise: like anatomy, neighbouring voxels belong together."""
    coarse = torch.randn(1, 1, *(max(2, n // 12) for n in shape), generator=torch.Generator().manual_seed(0))
    array = F.interpolate(coarse, shape, mode="trilinear")[0].numpy()
    return Volume(array, Geometry.from_spacing(shape))


def monai_labels(network: nn.Module, card: ModelCard, image: Volume) -> np.ndarray:
    """The same task by MONAI and torch."""
    low = to_model_grid(image, GridRecipe.of_card(card))
    with torch.inference_mode():
        logits = sliding_window_inference(
            torch.from_numpy(np.ascontiguousarray(low.array))[None],
            PATCH,
            4,
            network,
            overlap=0.5,
            mode="gaussian",
        )
        if low.shape != image.shape:
            logits = F.interpolate(logits, image.shape, mode="trilinear", align_corners=False)
        return logits.max(1)[1][0].to(torch.uint8).numpy()


def our_labels(network: nn.Module, card: ModelCard, image: Volume) -> np.ndarray:
    """The same task by the predictor, in the same precision."""
    predictor = Predictor([network], card, choose_device("cpu"), "fp32")
    return predictor.predict(image).labelmap.array[0]


def peak_megabytes(side: str, case: str) -> int:
    """Peak memory above the start of a process that does the task once."""
    finished = subprocess.run(
        [sys.executable, __file__, "--peak", side, "--case", case], capture_output=True, text=True, check=True
    )
    return int(finished.stdout.split()[-1])


def largest_growth(work: Callable[[], object]) -> int:
    """Most megabytes of resident memory above the start while ``work`` runs, looked at every 5 ms."""
    process, finished = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not finished.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    finished.set()
    watcher.join()
    return (peak - before) // 2**20


def main() -> None:
    """Measure every case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peak", choices=["ours", "monai"])
    parser.add_argument("--case", choices=list(CASES))
    arguments = parser.parse_args()
    sides = {"ours": our_labels, "monai": monai_labels}
    if arguments.peak:
        classes, shape, kind = CASES[arguments.case]
        network, card = a_model(classes, kind, 1.0 if kind == "dynunet" else 2.0)
        image = an_image(shape)
        print(largest_growth(lambda: sides[arguments.peak](network, card, image)))
        return
    rows = {}
    for name, (classes, shape, kind) in CASES.items():
        network, card = a_model(classes, kind, 1.0 if kind == "dynunet" else 2.0)
        image = an_image(shape)
        labels = {side: function(network, card, image) for side, function in sides.items()}
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(ROUNDS):
            for side, function in sides.items():
                start = time.perf_counter()
                function(network, card, image)
                seconds[side].append(time.perf_counter() - start)
        median = {side: statistics.median(values) for side, values in seconds.items()}
        rows[name] = {
            "seconds": {side: round(value, 3) for side, value in median.items()},
            "all_seconds": {side: [round(v, 3) for v in values] for side, values in seconds.items()},
            "times_faster": round(median["monai"] / median["ours"], 2),
            "labels_equal": round(float((labels["ours"] == labels["monai"]).mean()), 6),
            "peak_megabytes": {side: peak_megabytes(side, name) for side in sides},
        }
        print(name, rows[name], flush=True)
    print(write_result("inference_speed", {"threads": torch.get_num_threads(), "cases": rows}))


if __name__ == "__main__":
    main()
