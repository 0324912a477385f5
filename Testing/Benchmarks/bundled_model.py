"""Trains the bundled hippocampus model, scores it and puts it into the package.

    python Testing/Benchmarks/bundled_model.py

Takes about an hour of two cores. ``--trained FOLDER`` packages a model that was trained by the same command before.
The labels get the colours and SNOMED codes of the bundled sample; the scores of the 50 test cases, which were never
trained on, go into the card and into results/bundled_model.json.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from record import SHARED, write_result

import medcontext
from medcontext.api import CaseStore, Reporter, TrainRequest, evaluate, load_model, train
from medcontext.data.cache import files_hash
from medcontext.data.reading import voxel_hash
from medcontext.library import save_model

RESOURCES = Path(medcontext.__file__).parent / "resources"
TARGET = RESOURCES / "models" / "hippocampus"
STEPS, SEED = 8000, 1


def main() -> None:
    """Train, package, score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "hippocampus")
    parser.add_argument("--trained", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.trained or train_it(arguments.data, Path(scratch) / "hippocampus")
        package(folder, arguments.data, {})
        scores = evaluate(arguments.data, model=TARGET, precision="fp32").summary
        package(folder, arguments.data, {f"{scores['cases']} test cases, mean": for_the_card(scores)})
    size = sum(path.stat().st_size for path in TARGET.rglob("*") if path.is_file())
    card = load_model(TARGET).card
    facts = {
        "steps": card.training.steps,
        "minutes": card.training.minutes,
        "labels_learnt_from": card.training.shots,
        "folder_bytes": size,
        "test_cases": scores["cases"],
        "mean": scores["mean"],
        "labels": scores["labels"],
    }
    print(write_result("bundled_model", facts), scores["mean"])


def train_it(data: Path, output: Path) -> Path:
    """Train by the committed configuration."""
    request = TrainRequest(
        data=data,
        output=output,
        size="medium",
        steps=STEPS,
        seed=SEED,
        config=RESOURCES / "configs" / "hippocampus.yaml",
    )
    return train(request, Reporter()).folder


def for_the_card(scores: dict) -> dict:
    """Mean of each metric, for each label and over the labels."""
    metrics = ("dice", "hd95_mm", "surface_dice")
    rows = {
        name: {m: round(entry[m]["mean"], 4) for m in metrics} for name, entry in scores["labels"].items()
    }
    return rows | {"both": {m: round(scores["mean"][m]["mean"], 4) for m in metrics}}


def voxel_hashes(data: Path, learnt: list[str]) -> list[str]:
    """Hashes of the voxel values of the cases with these file hashes: users have the same scans in other files."""
    store = CaseStore.open(data)
    return [voxel_hash(store.read_image(case)) for case in store.cases if files_hash(case.images) in learnt]


def package(folder: Path, data: Path, metrics: dict) -> None:
    """Write the model into the package, half the size (float16), with labels, licence and scores."""
    model = load_model(folder)
    codes = {
        label.name.casefold(): label for label in CaseStore.open(RESOURCES / "samples" / "hippocampus").labels
    }
    labels = [
        {**codes[entry["name"].casefold()].to_json(), "value": entry["value"]} for entry in model.card.labels
    ]
    card = model.card.model_copy(
        update={
            "id": "hippocampus",
            "title": "Hippocampus, anterior and posterior (T1 MR crop)",
            "labels": labels,
            "license": "CC-BY-SA-4.0",
            "training": model.card.training.model_copy(
                update={
                    "metrics": {**model.card.training.metrics, **metrics},
                    "voxel_hashes": voxel_hashes(data, model.card.training.case_hashes),
                }
            ),
        }
    )
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    states = [network.state_dict() for network in model.networks]
    files = {f"training/{name}": folder / "training" / name for name in ("curve.png",)}
    save_model(TARGET, card, states, model.plan(), files=files, dtype="float16")


if __name__ == "__main__":
    main()
