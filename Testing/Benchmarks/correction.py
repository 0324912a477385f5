"""Does it help to learn from a correction on one scan? Corrections of held-out cases are simulated.

    python Testing/Benchmarks/correction.py

A person is played by the truth: one, two and three slices, the most wrong ones that lie apart, become right; or in the
most wrong slice only the largest wrong piece does ("stroke"). Given is the Dice of all other slices before and after
learning from that, against pasting the correction (which leaves the other slices as they were) and against carrying
it over to neighbouring slices without a network (``interpolated``). Nothing was chosen on these cases: the settings
come from training cases that the few-shot model had not learnt from.

Steps are given instead of seconds, so that a busy machine gives the same numbers: as many as half a minute allows on
two quiet cores. Runs that are in the result file already are not repeated.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, SHARED, write_result
from scipy import ndimage

from medcontext.api import CaseStore, Reporter, TrainRequest, train
from medcontext.devices import choose_device
from medcontext.geometry import Volume
from medcontext.inference.predictor import Predictor
from medcontext.library import LoadedModel, load_model
from medcontext.metrics.bootstrap import paired_interval
from medcontext.workflows.adapt import STEPS, adapt

NAME = "correction"
FEW, CONVERGED = "few-shot", "bundled"
CORRECTIONS = {"1 slice": 1, "3 slices": 3, "1 stroke": 1, "2 slices": 2}
APART = 3
REACH = 4
"""Slices that a correction is carried over by interpolation; 2 and 8 were no better on training cases."""
NARROW = 6.0
"""Distances from a surface count up to here when slices are interpolated."""

Run = dict[str, Any]


def main() -> None:
    """Measure what is missing, write all that is known after each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "hippocampus")
    parser.add_argument("--cases", type=int, default=16, help="test cases, evenly drawn")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--shots", type=int, default=3, help="cases that the few-shot model learns from")
    parser.add_argument("--training-steps", type=int, default=300, help="of the few-shot model")
    parser.add_argument(
        "--few-shot", type=Path, help="folder of the few-shot model; trained here when not given"
    )
    arguments = parser.parse_args()
    store = CaseStore.open(arguments.data)
    test = [case for case in store.cases if case.split == "test"]
    cases = test[:: max(1, len(test) // arguments.cases)][: arguments.cases]
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.few_shot or train_few_shot(arguments, Path(scratch) / "model")
        models = {FEW: load_model(folder), CONVERGED: load_model("hippocampus")}
    for correction, case, name in itertools.product(CORRECTIONS, cases, models):
        if not any(same(run, name, case.id, correction) for run in known()):
            image, truth = store.read_image(case), store.read_labels(case).array[0]
            run = one_run(models[name], image, truth, correction, arguments.steps)
            write({"model": name, "case": case.id, "correction": correction, **run}, models)


def train_few_shot(arguments: argparse.Namespace, output: Path) -> Path:
    """A model of a few cases and a few hundred steps, which makes mistakes."""
    request = TrainRequest(
        data=arguments.data,
        output=output,
        shots=arguments.shots,
        steps=arguments.training_steps,
        seed=0,
        device="cpu",
    )
    return train(request, Reporter()).folder


def one_run(model: LoadedModel, image: Volume, truth: np.ndarray, correction: str, steps: int) -> Run:
    """Correct a scan, learn from it, and compare the other slices with the truth."""
    device = choose_device("cpu")
    before = Predictor(model.networks, model.card, device).predict(image).labelmap.array[0]
    slices = most_wrong(before, truth, CORRECTIONS[correction])
    corrected = before.copy()
    if correction == "1 stroke":
        stroke = largest_piece(before[slices[0]] != truth[slices[0]])
        corrected[slices[0]][stroke] = truth[slices[0]][stroke]
    else:
        corrected[slices] = truth[slices]
    others = np.setdiff1d(np.arange(len(truth)), slices)
    began = time.monotonic()
    adapted = adapt(model, image, before, corrected, device=device, seconds=None, steps=steps)
    labels = adapted.prediction.labelmap.array[0]
    values = model.card.label_set.values
    found = {
        "before": before,
        "adapted": labels,
        "interpolated": interpolated(before, corrected, slices, [0, *values]),
    }
    scores = {name: round(dice(array[others], truth[others], values), 5) for name, array in found.items()}
    return {**scores, "slices": slices, "steps": adapted.steps, "seconds": round(time.monotonic() - began, 1)}


def most_wrong(before: np.ndarray, truth: np.ndarray, count: int) -> list[int]:
    """Indices of the slices with most wrong voxels, apart from each other."""
    chosen: list[int] = []
    for index in np.argsort(-(before != truth).sum((1, 2)), kind="stable"):
        if len(chosen) < count and all(abs(int(index) - other) >= APART for other in chosen):
            chosen.append(int(index))
    return chosen


def largest_piece(wrong: np.ndarray) -> np.ndarray:
    """The largest connected piece of a mask."""
    pieces, _count = ndimage.label(wrong, np.ones((3, 3)))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax())


def interpolated(
    before: np.ndarray, corrected: np.ndarray, slices: list[int], values: list[int]
) -> np.ndarray:
    """What a correction moved, moved in neighbouring slices too, less and less up to :data:`REACH` slices away.

    Each label is a distance from its surface; what the correction added to it is added to that of the nearest slices,
    and the label that lies deepest wins.
    """
    fields = np.stack([[distance(plane == value) for plane in before] for value in values])
    added = {
        index: np.stack([distance(corrected[index] == value) for value in values]) - fields[:, index]
        for index in slices
    }
    for index in range(len(before)):
        nearest = min(slices, key=lambda other: abs(other - index))
        weight = max(0.0, 1 - abs(index - nearest) / (REACH + 1))
        fields[:, index] += weight * added[nearest]
    labels = np.array(values, np.uint8)[fields.argmax(0)]
    labels[slices] = corrected[slices]
    return labels


def distance(mask: np.ndarray) -> np.ndarray:
    """Depth inside a mask, negative outside, in voxels; up to :data:`NARROW`."""
    if mask.all() or not mask.any():
        return np.full(mask.shape, NARROW if mask.all() else -NARROW)
    depth = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    return np.clip(depth, -NARROW, NARROW)


def dice(found: np.ndarray, truth: np.ndarray, values: list[int]) -> float:
    """Mean Dice of the labels; a label that neither has is left out."""
    scores = []
    for value in values:
        a, b = found == value, truth == value
        if a.any() or b.any():
            scores.append(2 * int((a & b).sum()) / int(a.sum() + b.sum()))
    return float(np.mean(scores))


def known() -> list[Run]:
    """The runs in the result file."""
    path = RESULTS / f"{NAME}.json"
    return json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []


def same(run: Run, *wanted: str) -> bool:
    """Whether a run is of that model, case and correction."""
    return (run["model"], run["case"], run["correction"]) == wanted


def write(run: Run, models: dict[str, LoadedModel]) -> None:
    """Add a run to the result file, and sum up."""
    runs = [*known(), run]
    facts = {
        name: {"shots": model.card.training.shots, "steps": model.card.training.steps}
        for name, model in models.items()
    }
    table = {name: {key: summary(runs, name, key) for key in CORRECTIONS} for name in models}
    write_result(NAME, {"models": facts, "summary": table, "runs": runs})
    print(run, flush=True)


def summary(runs: list[Run], model: str, correction: str) -> Run | None:
    """Means and the interval of what was gained, over the cases of one setting; None for fewer than two."""
    rows = [run for run in runs if (run["model"], run["correction"]) == (model, correction)]
    if len(rows) < 2:
        return None
    before = [row["before"] for row in rows]
    result: Run = {"cases": len(rows), "before": round(float(np.mean(before)), 4)}
    for arm in ("adapted", "interpolated"):
        after = [row[arm] for row in rows]
        interval = paired_interval(before, after)
        change = np.array(after) - np.array(before)
        result[arm] = {
            "after": round(float(np.mean(after)), 4),
            "gained_per_correction": round(float(change.mean()) / CORRECTIONS[correction], 4),
            "interval": {key: round(value, 4) for key, value in asdict(interval).items()},
            "verdict": interval.verdict,
            "cases_better": int((change > 0).sum()),
            "cases_worse": int((change < 0).sum()),
        }
    against = paired_interval([row["interpolated"] for row in rows], [row["adapted"] for row in rows])
    result["adapted_against_interpolated"] = {
        "difference": round(against.difference, 4),
        "low": round(against.low, 4),
        "high": round(against.high, 4),
        "verdict": against.verdict,
    }
    return result


if __name__ == "__main__":
    main()
