"""What pre-training without labels learns, and what it buys where labels are few.

    python Testing/Benchmarks/pretraining.py --minutes 20 --encoders out/encoders
    python Testing/Benchmarks/pretraining.py --only fewshot --steps 600 --encoders out/encoders

The first command pre-trains an encoder by each method on 14 scans of other parts of the body and on the hippocampus
training images, without their labels, and writes what its signals on scans that it did not learn from were over time.
The second trains on five annotated hippocampus crops, three draws, from random weights and from each encoder, for the
same number of steps, which cost the same; all share one plan. Runs that are in the result file already are not
repeated.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from fewshot import dice_by_case, show
from fewshot_draws import without_lists
from record import RESULTS, SHARED, write_result

from medcontext.api import (
    CaseStore,
    PretrainRequest,
    Reporter,
    TrainRequest,
    evaluate,
    make_plan,
    pretrain,
    train,
)
from medcontext.metrics.bootstrap import hierarchical_interval

PRETRAINING, FEWSHOT = "pretraining", "fewshot_pretrained"
METHODS = ("voco", "mae")
SCRATCH = "random weights"
SEEDS, SHOTS = 3, 5


def main() -> None:
    """Run what is missing; write all that is known after each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--encoders", type=Path, required=True, help="folder of the encoders")
    parser.add_argument("--only", choices=("pretrain", "fewshot"))
    parser.add_argument("--minutes", type=float, default=20.0, help="of pre-training")
    parser.add_argument("--steps", type=int, default=600, help="of learning to segment")
    parser.add_argument("--size", default="small")
    arguments = parser.parse_args()
    data = arguments.data / "hippocampus"
    plan = arguments.encoders / "plan.json"
    if not plan.exists():
        arguments.encoders.mkdir(parents=True, exist_ok=True)
        make_plan(CaseStore.open(data), "dynunet", size=arguments.size).write(plan)
    if arguments.only != "fewshot":
        for method in METHODS:
            if not any(run["method"] == method for run in known(PRETRAINING)):
                places = (arguments.data / "ssl_unlabelled", data)
                run = pretrained(places, plan, arguments.encoders / method, method, arguments.minutes)
                write_pretraining(run)
    if arguments.only != "pretrain":
        for seed in range(SEEDS):
            for start in (SCRATCH, *METHODS):
                if not any((run["seed"], run["start"]) == (seed, start) for run in known(FEWSHOT)):
                    run = learnt(data, plan, arguments, seed, start)
                    write_fewshot({"seed": seed, "start": start, "steps": arguments.steps, **run})


def pretrained(
    places: tuple[Path, ...], plan: Path, output: Path, method: str, minutes: float
) -> dict[str, Any]:
    """Pre-train, and say how the signals went."""
    request = PretrainRequest(data=places, output=output, method=method, plan=plan, minutes=minutes)
    result = pretrain(request, Reporter(show))
    course = [
        {"step": record["step"], **record["signals"]}
        for record in map(json.loads, (output / "training" / "log.jsonl").read_text().splitlines())
        if "signals" in record
    ]
    training = result.card.training
    return {
        "method": method,
        "steps": training.steps,
        "minutes": round(training.minutes, 1),
        "scans": training.unlabelled,
        "signals": result.signals,
        "course": course,
    }


def learnt(data: Path, plan: Path, arguments: argparse.Namespace, seed: int, start: str) -> dict[str, Any]:
    """Learn from five annotated cases and score the 50 test cases."""
    with tempfile.TemporaryDirectory() as scratch:
        request = TrainRequest(
            data=without_lists(data, Path(scratch) / "data"),
            output=Path(scratch) / "model",
            plan=plan,
            shots=SHOTS,
            steps=arguments.steps,
            seed=seed,
            init_from=None if start == SCRATCH else str(arguments.encoders / start),
        )
        began = time.monotonic()
        train(request, Reporter(show))
        minutes = (time.monotonic() - began) / 60
        scores = evaluate(data, model=request.output)
    return {
        "minutes": round(minutes, 1),
        "dice": round(scores.mean_dice, 4),
        "cases": dice_by_case(scores),
    }


def known(name: str) -> list[dict[str, Any]]:
    """Runs that are in a result file already."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []


def write_pretraining(run: dict[str, Any]) -> None:
    """Add a run."""
    print(write_result(PRETRAINING, {"runs": [*known(PRETRAINING), run]}), run["signals"], flush=True)


def write_fewshot(run: dict[str, Any]) -> None:
    """Add a run; means by start, and differences from random weights with their intervals."""
    runs = [*known(FEWSHOT), run]
    facts: dict[str, Any] = {"shots": SHOTS, "test_cases": len(run["cases"])}
    by_start = {s: {r["seed"]: r for r in runs if r["start"] == s} for s in (SCRATCH, *METHODS)}
    facts["mean_dice"] = {
        s: round(sum(r["dice"] for r in done.values()) / len(done), 4) for s, done in by_start.items() if done
    }
    scratch = by_start[SCRATCH]
    for start in METHODS:
        pairs = [(done, scratch[seed]) for seed, done in by_start[start].items() if seed in scratch]
        if len(pairs) == SEEDS:
            first, second = ([list(pair[n]["cases"].values()) for pair in pairs] for n in (1, 0))
            facts[f"{start} minus {SCRATCH}"] = vars(hierarchical_interval(first, second))
    print(write_result(FEWSHOT, {**facts, "runs": runs}), run["start"], run["dice"], flush=True)


if __name__ == "__main__":
    main()
