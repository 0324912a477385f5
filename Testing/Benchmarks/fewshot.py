"""Few-shot training on the hippocampus data, scored on the 50 test cases.

    python Testing/Benchmarks/fewshot.py --name fewshot_5 --method medcontext --shots 5 --minutes 10

``--every 4`` keeps the annotation of every fourth slice only; the rest is marked as not annotated.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from record import SHARED, write_result

from medcontext.api import Reporter, TrainRequest, evaluate, read_labelmap, train
from medcontext.workflows.evaluate import Evaluation


def main() -> None:
    """Train, evaluate, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="name of the result file")
    parser.add_argument("--data", type=Path, default=SHARED / "hippocampus")
    parser.add_argument("--method", default="medcontext")
    parser.add_argument("--network", default="dynunet")
    parser.add_argument("--size", default="medium")
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, help="keep every n-th slice of the annotation")
    parser.add_argument("--unlabelled", action="store_true", help="learn from the other training images too")
    parser.add_argument("--set", action="append", default=[], help="key=value, as for medcontext train")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = arguments.data
        if arguments.every > 1:
            data = painted_every(arguments.every, arguments.data, Path(scratch) / "data")
        request = TrainRequest(
            data=data,
            output=Path(scratch) / "model",
            method=arguments.method,
            network=arguments.network,
            size=arguments.size,
            shots=arguments.shots,
            minutes=arguments.minutes,
            steps=arguments.steps,
            seed=arguments.seed,
            settings=arguments.set,
            unlabelled=data if arguments.unlabelled else None,
        )
        trained = train(request, Reporter(show))
        scores = evaluate(arguments.data, model=request.output).summary
    facts = {
        "training": {
            key: value
            for key, value in trained.card.training.model_dump(mode="json").items()
            if key in ("shots", "unlabelled", "seed", "steps", "minutes")
        },
        "method": arguments.method,
        "network": trained.card.network.model_dump(mode="json"),
        "annotated_slices": f"every {arguments.every}" if arguments.every > 1 else "all",
        "test_cases": scores["cases"],
        "mean": scores["mean"],
        "labels": scores["labels"],
    }
    print(write_result(arguments.name, facts), json.dumps(scores["mean"]))


def painted_every(step: int, source: Path, target: Path) -> Path:
    """A copy of the data set in which only every ``step``-th slice of each training label counts."""
    shutil.copytree(source, target)
    index_file = target / "dataset.json"
    index = json.loads(index_file.read_text(encoding="utf-8"))
    for entry in index["training"]:
        slices = read_labelmap(target / entry["label"]).shape[0]
        entry["annotated"] = {"region": "slices", "axis": "k", "slices": list(range(step // 2, slices, step))}
    index_file.write_text(json.dumps(index), encoding="utf-8")
    return target


def dice_by_case(scores: Evaluation) -> dict[str, float]:
    """Mean Dice over the labels of each case."""
    found: dict[str, list[float]] = {}
    for score in scores.scores:
        if score.dice is not None:
            found.setdefault(score.case, []).append(score.dice)
    return {case: round(sum(dice) / len(dice), 5) for case, dice in sorted(found.items())}


def show(event: dict) -> None:
    """Print what a person following the run wants to know."""
    if event["event"] in ("info", "warning"):
        print(event["message"], flush=True)


if __name__ == "__main__":
    main()
