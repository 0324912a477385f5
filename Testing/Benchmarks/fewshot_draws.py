"""Does learning from scans without labels help? Ten draws of five annotated cases, each trained with and without.

    python Testing/Benchmarks/fewshot_draws.py

Both trainings of a draw see the same five cases and start from the same weights; one also learns from the other 165
training images, without their labels. Both get the same time: the steps that ``--minutes`` allow on a quiet machine
are counted once for each, since a step that uses other scans costs more. Runs that are in the result file already are
not repeated, so that a stopped measurement goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from fewshot import dice_by_case, show
from record import RESULTS, SHARED, write_result

from medcontext.api import Reporter, TrainRequest, evaluate, train
from medcontext.metrics.bootstrap import hierarchical_interval

NAME = "fewshot_draws"
ARMS = {"labels alone": False, "with 165 scans without labels": True}


def main() -> None:
    """Train what is missing, score it, write all that is known after each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "hippocampus")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--steps", type=int, nargs=2, required=True, help="steps alone, and with other scans")
    parser.add_argument("--first", type=int, default=0, help="begin with this draw")
    arguments = parser.parse_args()
    for draw in range(arguments.first, arguments.draws):
        for (arm, others), steps in zip(ARMS.items(), arguments.steps, strict=True):
            if not any(run["draw"] == draw and run["arm"] == arm for run in known()):
                run = one_run(arguments, draw, others, steps)
                write({"draw": draw, "arm": arm, **run}, arguments.shots)


def one_run(arguments: argparse.Namespace, draw: int, others: bool, steps: int) -> dict[str, Any]:
    """Train on one draw and score the 50 test cases."""
    with tempfile.TemporaryDirectory() as scratch:
        data = without_lists(arguments.data, Path(scratch) / "data")
        request = TrainRequest(
            data=data,
            output=Path(scratch) / "model",
            shots=arguments.shots,
            steps=steps,
            seed=draw,
            unlabelled=data if others else None,
        )
        began = time.monotonic()
        trained = train(request, Reporter(show))
        minutes = (time.monotonic() - began) / 60
        scores = evaluate(data, model=request.output)
    return {
        "steps": steps,
        "minutes": round(minutes, 1),
        "unlabelled": trained.card.training.unlabelled,
        "dice": scores.mean_dice,
        "cases": dice_by_case(scores),
    }


def without_lists(source: Path, target: Path) -> Path:
    """The data set by links, without its fixed few-shot lists, so that each seed draws its own cases."""
    target.mkdir()
    for name in ("images", "labels", "dataset.json"):
        (target / name).symlink_to((source / name).resolve())
    splits = json.loads((source / "splits.json").read_text(encoding="utf-8"))
    (target / "splits.json").write_text(json.dumps(splits | {"fewshot": {}}), encoding="utf-8")
    return target


def known() -> list[dict[str, Any]]:
    """The runs of the result file."""
    path = RESULTS / f"{NAME}.json"
    runs: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    return runs


def write(run: dict[str, Any], shots: int) -> None:
    """Add a run; the interval is over the draws that have both runs."""
    runs = sorted([*known(), run], key=lambda r: (r["draw"], r["arm"]))
    facts: dict[str, Any] = {"shots": shots, "test_cases": len(run["cases"])}
    table = [
        [next((r for r in runs if (r["draw"], r["arm"]) == (d, a)), None) for a in ARMS] for d in draws(runs)
    ]
    pairs = [(a, b) for a, b in table if a is not None and b is not None]
    for arm in ARMS:
        dice = [r["dice"] for r in runs if r["arm"] == arm]
        facts[arm] = {"draws": len(dice), "mean_dice": sum(dice) / max(1, len(dice))}
    if len(pairs) > 1:
        alone, joined = ([list(pair[n]["cases"].values()) for pair in pairs] for n in (0, 1))
        facts["difference"] = vars(hierarchical_interval(alone, joined))
    print(write_result(NAME, {**facts, "runs": runs}), run["draw"], run["arm"], run["dice"], flush=True)


def draws(runs: list[dict[str, Any]]) -> list[int]:
    """The draws that have a run."""
    return sorted({run["draw"] for run in runs})


if __name__ == "__main__":
    main()
