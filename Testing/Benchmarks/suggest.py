"""Is *Suggest next* worth following? Five rounds of adding one case, chosen by it or at random.

    python Testing/Benchmarks/suggest.py

Each seed draws two annotated cases; the other training images are the pool, their labels hidden. A model is trained
on what is annotated; one more case is annotated, chosen by the model or drawn at random; the model is fine-tuned on
all of them, always for the same number of steps; and so on. Every model is scored on the same test cases. Voxels of
1.25 mm and few steps keep a round to a minute or two; both ways get the same. Rounds that are in the result file
already are not repeated, so that a stopped measurement goes on where it was; the models lie in ``--models``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, SHARED, write_result

from medcontext.api import CaseStore, Reporter, TrainRequest, evaluate, suggest, train
from medcontext.metrics.bootstrap import hierarchical_interval

NAME = "suggest"
ARMS = ("random", "suggested")
FIRST = 2
PLAN = ["plan.spacing=[1.25,1.25,1.25]", "plan.patch_size=[32,40,32]"]

Run = dict[str, Any]


def main() -> None:
    """Do the rounds that are missing; write all that is known after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "hippocampus")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--steps", type=int, nargs=2, default=[300, 200], help="of the first round, and of each later"
    )
    parser.add_argument("--tests", type=int, default=24, help="test cases to score")
    parser.add_argument("--limit", type=int, default=80, help="scans that a suggestion looks at")
    parser.add_argument("--models", type=Path, default=Path("out/suggest"), help="where models are kept")
    arguments = parser.parse_args()
    for seed in range(arguments.seeds):
        one_round(
            arguments, seed, 0, ARMS
        )  # both begin with the same model, but each chooses its own next case
        for number in range(1, arguments.rounds + 1):
            for arm in ARMS:
                one_round(arguments, seed, number, (arm,))


def one_round(arguments: argparse.Namespace, seed: int, number: int, arms: Sequence[str]) -> None:
    """Train and score the model of one round, and choose the case of the next one."""
    if all(find(seed, number, arm) for arm in arms):
        return
    annotated = first_cases(arguments.data, seed)
    annotated += [find(seed, earlier, arms[0])["next"] for earlier in range(number)]
    model = trained(arguments, annotated, seed, arms[0])
    with tempfile.TemporaryDirectory() as scratch:
        facts = scored(arguments, model, Path(scratch))
        for arm in arms:
            store = Path(scratch) / arm
            chosen = (
                next_case(arguments, annotated, model, seed, arm, store)
                if number < arguments.rounds
                else None
            )
            run = {"seed": seed, "round": number, "arm": arm, "annotated": annotated, "next": chosen}
            write({**run, **facts}, arguments)


def first_cases(data: Path, seed: int) -> list[str]:
    """The two cases that are annotated to begin with."""
    return [str(case) for case in np.random.default_rng(seed).permutation(training_cases(data))[:FIRST]]


def training_cases(data: Path) -> list[str]:
    """Ids of all training cases."""
    return sorted(case.id for case in CaseStore.open(data).cases if case.trainable)


def trained(arguments: argparse.Namespace, annotated: list[str], seed: int, arm: str) -> Path:
    """The model that learnt from the annotated cases, from the model of the round before."""
    number = len(annotated) - FIRST
    output: Path = arguments.models / f"{seed}-{number}-{arm if number else 'first'}"
    if (output / "model.json").exists():
        return output
    parent = str(trained(arguments, annotated[:-1], seed, arm)) if number else None
    shutil.rmtree(output, ignore_errors=True)  # what a stopped round left
    with tempfile.TemporaryDirectory() as scratch:
        data = subset(arguments.data, annotated, Path(scratch) / "data")
        request = TrainRequest(
            data=data,
            output=output,
            init_from=parent,
            steps=arguments.steps[1 if number else 0],
            seed=seed,
            device="cpu",
            settings=[] if parent else PLAN,
        )
        return train(request, Reporter()).folder


def next_case(
    arguments: argparse.Namespace, annotated: list[str], model: Path, seed: int, arm: str, scratch: Path
) -> str:
    """The case to annotate next."""
    pool = [case for case in training_cases(arguments.data) if case not in annotated]
    if arm == "random":
        return str(np.random.default_rng([seed, len(annotated)]).choice(pool))
    store = subset(arguments.data, [*annotated, *pool], scratch)
    found = suggest(
        store,
        model,
        candidates=pool,
        limit=arguments.limit,
        seed=seed + 100 * len(annotated),
        device="cpu",
    )
    return found.ranking[0].case


def scored(arguments: argparse.Namespace, model: Path, scratch: Path) -> dict[str, Any]:
    """Mean Dice on the test cases, and that of each."""
    tests = [case.id for case in CaseStore.open(arguments.data).cases if case.split == "test"]
    chosen = tests[:: max(1, len(tests) // arguments.tests)][: arguments.tests]
    scores = evaluate(
        subset(arguments.data, chosen, scratch / "tests", "test"), model=model, device="cpu"
    ).scores
    by_case: dict[str, list[float]] = {}
    for score in scores:
        by_case.setdefault(score.case, []).append(score.dice or 0.0)
    cases = {case: round(sum(dice) / len(dice), 5) for case, dice in sorted(by_case.items())}
    return {"dice": round(sum(cases.values()) / len(cases), 5), "cases": cases}


def subset(source: Path, cases: list[str], target: Path, split: str = "training") -> Path:
    """The data set by links, with these cases of one part only."""
    target.mkdir()
    index = json.loads((source / "dataset.json").read_text(encoding="utf-8"))
    for name in ("images", "labels"):
        (target / name).symlink_to((source / name).resolve())
    for part in ("training", "test"):
        index[part] = [entry for entry in index[part] if part == split and case_id(entry) in cases]
    (target / "dataset.json").write_text(json.dumps(index), encoding="utf-8")
    return target


def case_id(entry: dict[str, str]) -> str:
    """The id that a case store gives to an entry of this data set."""
    return Path(entry["image"]).name.removesuffix(".nii.gz")


def known() -> list[Run]:
    """The runs of the result file."""
    path = RESULTS / f"{NAME}.json"
    runs: list[Run] = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    return runs


def find(seed: int, number: int, arm: str) -> Run:
    """A run that was done; empty where it was not."""
    wanted = (seed, number, arm)
    return next((run for run in known() if (run["seed"], run["round"], run["arm"]) == wanted), {})


def write(run: Run, arguments: argparse.Namespace) -> None:
    """Add a run; rounds are compared where both ways have them, over seeds and test cases."""
    runs = sorted([*known(), run], key=lambda r: (r["seed"], r["round"], r["arm"]))
    facts: dict[str, Any] = {
        "steps": arguments.steps,
        "test_cases": len(run["cases"]),
        "scans_looked_at": arguments.limit,
        "rounds": [table_row(runs, number) for number in range(arguments.rounds + 1)],
    }
    pairs = [
        (
            mean_of_rounds(runs, seed, ARMS[0], arguments.rounds),
            mean_of_rounds(runs, seed, ARMS[1], arguments.rounds),
        )
        for seed in range(arguments.seeds)
    ]
    whole = [(a, b) for a, b in pairs if a and b]
    if len(whole) > 1:
        facts["difference"] = vars(hierarchical_interval(*map(list, zip(*whole, strict=True))))
    print(
        write_result(NAME, {**facts, "runs": runs}),
        run["seed"],
        run["round"],
        run["arm"],
        run["dice"],
        flush=True,
    )


def table_row(runs: list[Run], number: int) -> dict[str, Any]:
    """Mean Dice of a round for both ways, over the seeds that have both."""
    by_arm = {
        arm: {r["seed"]: r["dice"] for r in runs if (r["round"], r["arm"]) == (number, arm)} for arm in ARMS
    }
    both = sorted(set(by_arm[ARMS[0]]) & set(by_arm[ARMS[1]]))
    row: dict[str, Any] = {"round": number, "annotated": FIRST + number, "seeds": len(both)}
    for arm in ARMS:
        row[arm] = round(float(np.mean([by_arm[arm][seed] for seed in both])), 4) if both else None
    return row


def mean_of_rounds(runs: list[Run], seed: int, arm: str, rounds: int) -> list[float]:
    """Dice of each test case, the mean over the rounds after the first; empty before all are there."""
    found = [r for r in runs if r["seed"] == seed and r["arm"] == arm and r["round"] > 0]
    if len(found) < rounds:
        return []
    return [float(np.mean([run["cases"][case] for run in found])) for case in sorted(found[0]["cases"])]


if __name__ == "__main__":
    main()
