"""How good is the bundled hippocampus model after three minutes of fine-tuning on a few cases?

    python Testing/Benchmarks/finetune.py

*One merged label*: three of the 50 test cases of the hippocampus data, whose two labels are merged into one, teach it;
the other 47 score it, and on the same 47 the union of the two labels that the bundled model finds. It learnt from
neither (from the 170 training cases). Three draws.

*A structure that it does not know*: the putamen, in crops of two heads whose labels come from two atlases. Either
both sides of one head teach and both sides of the other score (another person, drawn by another protocol), or the
left sides of both teach and the right sides, mirrored, score (the same persons). The same steps from scratch stand
beside it. Two heads show that it works, not how well it would on a population.

``--steps`` stands in for ``--minutes`` on a busy machine. Runs that are in the result file already are not repeated.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from fewshot import show
from record import RESULTS, SHARED, write_result

from medcontext.api import (
    CaseStore,
    Predictor,
    Reporter,
    TrainRequest,
    Volume,
    choose_device,
    load_model,
    train,
)
from medcontext.data.adding import NewCase
from medcontext.data.case import Case
from medcontext.geometry import Geometry
from medcontext.io import read_volume
from medcontext.labels import LabelSet

NAME, PARENT = "finetune", "hippocampus"
CASES, DRAWS = 3, 3
ALLOWED = 0.005
"""Mean Dice that the merged label may be below the union of the parent's two."""
PUTAMEN = {"ch2_t1": ("Putamen_L", "Putamen_R"), "voxelmorph_t1": ("L-Putamen", "R-Putamen")}
AROUND = 16
"""Voxels of image around the putamen."""

Scan = tuple[str, Volume, Volume]


def main() -> None:
    """Run what is missing; write all that is known after each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--steps", type=int)
    arguments = parser.parse_args()
    budget = {"minutes": arguments.minutes} if arguments.steps is None else {"steps": arguments.steps}
    for draw in range(DRAWS):
        if not any(run.get("draw") == draw for run in known("merged")):
            write("merged", {"draw": draw, **merged(arguments.data / "hippocampus", draw, budget)})
    for name, (teaching, scoring) in ways(arguments.data / "brain_anatomy").items():
        for parent in (PARENT, None):
            run = {"learnt_from": name, "parent": parent or "none"}
            if not any(run.items() <= done.items() for done in known("putamen")):
                write("putamen", run | new_structure(teaching, scoring, parent, budget))


def merged(data: Path, draw: int, budget: dict[str, Any]) -> dict[str, Any]:
    """Fine-tune to the union of both labels from a few cases, and score the others."""
    store = CaseStore.open(data)
    test = [case for case in store.cases if case.split == "test"]
    order = np.random.default_rng(draw).permutation(len(test))
    teaching = [union(store, test[index]) for index in order[:CASES]]
    scoring = [union(store, test[index]) for index in order[CASES:]]
    with tempfile.TemporaryDirectory() as scratch:
        facts = learn(Path(scratch), "hippocampus", teaching, PARENT, budget, draw)
        child = scores(Path(scratch) / "model", scoring)
    parent = scores(PARENT, scoring)
    return {
        **facts,
        "cases": [case_id for case_id, *_ in teaching],
        "scored_cases": len(scoring),
        "dice": mean(child),
        "union_of_the_parent": mean(parent),
        "difference": mean(child) - mean(parent),
        "by_case": {case: [round(parent[case], 5), round(child[case], 5)] for case in sorted(child)},
    }


def new_structure(
    teaching: list[Scan], scoring: list[Scan], parent: str | None, budget: dict[str, Any]
) -> dict[str, Any]:
    """Learn the putamen from some crops and score others."""
    with tempfile.TemporaryDirectory() as scratch:
        facts = learn(Path(scratch), "Putamen", teaching, parent, budget, 0)
        found = scores(Path(scratch) / "model", scoring, label="Putamen")
    return {**facts, "dice": mean(found), "by_case": {case: round(d, 4) for case, d in found.items()}}


def learn(
    scratch: Path, label: str, scans: list[Scan], parent: str | None, budget: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Train in ``scratch/model``; steps and minutes that it took."""
    store = CaseStore.create(scratch / "store", LabelSet.from_names({1: label}), [("MRI", "MRI")])
    for case_id, image, labels in scans:
        store.add_case(NewCase([image], labels, case_id=case_id))
    size: Any = {} if parent else {"size": "medium"}  # that of the bundled model
    request = TrainRequest(store.folder, scratch / "model", init_from=parent, seed=seed, **budget, **size)
    began = time.monotonic()
    record = train(request, Reporter(show)).card.training
    return {"steps": record.steps, "minutes": round((time.monotonic() - began) / 60, 1)}


def scores(model: str | Path, scans: list[Scan], label: str | None = None) -> dict[str, float]:
    """Dice of each scan: of one label of the model, or of all of them together."""
    loaded = load_model(model)
    predictor = Predictor(loaded.networks, loaded.card, choose_device("auto"))
    values = [entry.value for entry in loaded.card.label_set if label in (None, entry.name)]
    result = {}
    for case_id, image, labels in scans:
        found = np.isin(predictor.predict(image).labelmap.array, values)
        truth = labels.array > 0
        result[case_id] = 2 * float((found & truth).sum()) / float(found.sum() + truth.sum())
    return result


def union(store: CaseStore, case: Case) -> Scan:
    """A case whose labels are merged into one."""
    image = store.read_image(case)
    labels = store.read_labels(case, like=image.geometry)
    return case.id, image, Volume((labels.array > 0).astype(np.uint8), labels.geometry)


def ways(data: Path) -> dict[str, tuple[list[Scan], list[Scan]]]:
    """Crops to learn from and to score, in two ways."""
    crops = {scan[0]: scan for scan in putamina(data)}
    left, right = ([crops[f"{head}_{side}"] for head in PUTAMEN] for side in ("left", "right"))
    mirrored = [(f"{case}_mirrored", *map(mirror, volumes)) for case, *volumes in right]
    one, other = ([crops[f"{head}_{side}"] for side in ("left", "right")] for head in PUTAMEN)
    return {
        "both sides of ch2, scored on voxelmorph": (one, other),
        "left sides, scored on right sides": (left, mirrored),  # type: ignore[dict-item]
    }


def putamina(data: Path) -> Iterator[Scan]:
    """Crops around each putamen of both heads, at 1 mm."""
    index = json.loads((data / "dataset.json").read_text(encoding="utf-8"))
    for entry in index["training"]:
        head = Path(entry["image"]).name.removesuffix(".nii.gz")
        names = {name: int(value) for value, name in entry["labels"].items()}
        for side, name in zip(("left", "right"), PUTAMEN.get(head, ()), strict=False):
            image = read_volume(data / entry["image"]).reorient("LPS")
            painted = read_volume(data / entry["label"]).reorient("LPS").array[0] == names[name]
            box = tuple(around(painted, axis) for axis in range(3))
            geometry = Geometry.from_spacing(painted[box].shape, image.spacing)
            crop = Volume(np.ascontiguousarray(image.array[(slice(None), *box)]), geometry)
            labels = Volume(np.ascontiguousarray(painted[box][None]).astype(np.uint8), geometry)
            yield f"{head}_{side}", crop, labels


def around(painted: np.ndarray, axis: int) -> slice:
    """The range of an axis that holds what is painted, and some image around it."""
    places = np.flatnonzero(painted.any(axis=tuple(other for other in range(3) if other != axis)))
    return slice(max(0, int(places[0]) - AROUND), int(places[-1]) + 1 + AROUND)


def mirror(volume: Volume) -> Volume:
    """Left and right exchanged."""
    return Volume(np.ascontiguousarray(volume.array[..., ::-1]), volume.geometry)


def mean(values: dict[str, float]) -> float:
    """Of all scans."""
    return round(float(np.mean(list(values.values()))), 5)


def known(part: str) -> list[dict[str, Any]]:
    """The runs of the result file."""
    path = RESULTS / f"{NAME}.json"
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    runs: list[dict[str, Any]] = facts.get(part, [])
    return runs


def write(part: str, run: dict[str, Any]) -> None:
    """Add a run to the result file."""
    facts: dict[str, Any] = {name: known(name) for name in ("merged", "putamen")}
    facts[part].append(run)
    differences = [run["difference"] for run in facts["merged"]]
    if differences:
        facts["merged_mean_difference"] = round(float(np.mean(differences)), 5)
        facts["merged_within_what_is_allowed"] = float(np.mean(differences)) >= -ALLOWED
    print(
        write_result(NAME, facts), {key: value for key, value in run.items() if key != "by_case"}, flush=True
    )


if __name__ == "__main__":
    main()
