"""What a click on a proposed region gives: S3-Net, its published form, and superpixels, on the same images.

    python Testing/Benchmarks/propose.py --data ../shared/data

Pictures of the skin with a lesion (256 x 256, as the published program has them), slices of hippocampus crops and
slices of a CT torso. The score that counts is the Dice of the region under one click at the deepest point of the
truth. The default settings of S3-Net and the number of groups of the superpixels were chosen on the five pictures of
the skin, which are the only labelled ones there are, those for scans on these slices. Beside S3-Net stands what it
begins with, the groups of colour before anything is learnt. Runs that are in the result file already are not repeated,
unless ``--anew`` says which method to measure again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from record import RESULTS, SHARED, write_result

from medcontext.api import read_image, read_labelmap
from medcontext.geometry import Geometry, Volume
from medcontext.methods.s3net.picture import prepare
from medcontext.methods.s3net.start import start_clusters
from medcontext.metrics.clusters import cluster_scores
from medcontext.regions.extraction import regions_of
from medcontext.regions.statistics import RegionFacts, facts_of
from medcontext.workflows.network_clusters import largest_logits
from medcontext.workflows.proposal import LEAST_REGION, ProposalOptions, propose_regions, settings

NAME = "propose"
START = "s3net before it learns"
METHODS = {
    "superpixels": ProposalOptions(method="superpixels"),
    "s3net": ProposalOptions(),
    START: ProposalOptions(),
    "s3net from random weights": ProposalOptions(
        changes=(
            "start=random",
            "own=largest",
            "balanced=false",
            "clusters=16",
            "least_clusters=2",
            "w_spatial=6",
        )
    ),
    "s3net, preset repo": ProposalOptions(preset="repo"),
}
SKIN, HIPPOCAMPUS, TORSO = "skin, 256 x 256", "hippocampus, slice", "CT torso, slice"
SLOW = ("s3net, preset repo", "s3net from random weights")
SIDE = 256
CROPS = 10
"""Hippocampus crops, the first of the test cases."""
ORGANS = {1: "spleen", 2: "right kidney", 3: "left kidney", 5: "liver", 6: "stomach"}


@dataclass(frozen=True)
class Case:
    """An image of one slice, and what is to be found in it."""

    data: str
    name: str
    image: Volume
    truth: np.ndarray


def main() -> None:
    """Do the runs that are missing; write all that is known after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--anew", nargs="*", choices=list(METHODS), default=[])
    arguments = parser.parse_args()
    runs = [run for run in known() if run["method"] not in arguments.anew]
    for method in arguments.methods:
        for case in cases(arguments.data):
            if method in SLOW and case.data != SKIN:
                continue
            for seed in range(arguments.seeds):
                key = {"method": method, "data": case.data, "case": case.name, "seed": seed}
                if not any(key.items() <= run.items() for run in runs):
                    runs.append(key | scored(case, method, seed))
                    write(runs)


def cases(data: Path) -> Iterator[Case]:
    """All images, one after the other."""
    for path in sorted((data / "dermoscopy" / "images").glob("*.jpg")):
        truth = Image.open(data / "dermoscopy" / "labels" / f"{path.stem}.png").convert("L")
        picture = Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        mask = np.asarray(truth.resize((SIDE, SIDE), Image.Resampling.NEAREST)) > 0
        array = np.moveaxis(np.asarray(picture, np.float32), -1, 0)[:, None]
        yield Case(SKIN, path.stem, Volume(array, Geometry.from_spacing((1, SIDE, SIDE))), mask[None])
    store = data / "hippocampus"
    for entry in json.loads((store / "dataset.json").read_text(encoding="utf-8"))["test"][:CROPS]:
        image = read_image([store / entry["image"]])
        labels = read_labelmap(store / entry["label"], like=image.geometry)
        yield largest_slice(HIPPOCAMPUS, Path(entry["image"]).name, image, labels.array[0] > 0)
    torso = data / "ct_torso"
    entry = json.loads((torso / "dataset.json").read_text(encoding="utf-8"))["training"][0]
    image = read_image([torso / entry["image"]])
    labels = read_labelmap(torso / entry["label"], like=image.geometry)
    for value, organ in ORGANS.items():
        yield largest_slice(TORSO, organ, image, labels.array[0] == value)


def largest_slice(data: str, name: str, image: Volume, truth: np.ndarray) -> Case:
    """The slice, across the last axis of the body's length, that shows most of the structure."""
    axis = int(np.argmax(np.abs(image.geometry.affine[2, :3]))) if data == TORSO else 2
    along = 2 - axis  # the affine counts (i, j, k), arrays (k, j, i)
    index = int(truth.sum(tuple(n for n in range(3) if n != along)).argmax())
    start, shape = [0, 0, 0], list(truth.shape)
    start[along], shape[along] = index, 1
    (k, j, i), (depth, height, width) = start, shape
    return Case(data, name, image.crop((k, j, i), (depth, height, width)), truth.take([index], along))


def scored(case: Case, method: str, seed: int) -> dict[str, Any]:
    """One proposal, its scores and its seconds."""
    options = replace(METHODS[method], seed=seed)
    if method == START:
        return beginning(case, options)
    proposal = propose_regions(case.image, options)
    facts = {"seconds": round(proposal.seconds, 2), "iterations": proposal.iterations}
    return facts | scores(case, proposal.worked.clusters, proposal.regions, proposal.facts)


def beginning(case: Case, options: ProposalOptions) -> dict[str, Any]:
    """The same for the groups of colour that S3-Net begins with."""
    began = time.perf_counter()
    config = settings(options, case.image.channels)
    sides = [n for n in case.image.shape if n > 1]
    seen = prepare(case.image.array.reshape(case.image.channels, *sides), config)
    groups = start_clusters(seen, config.clusters, config, options.seed)
    logits = torch.nn.functional.one_hot(groups[0], config.clusters).movedim(-1, 0).float()
    clusters = largest_logits(logits, sides).reshape(case.image.shape)
    regions = regions_of(clusters, max(options.least_share, LEAST_REGION / clusters.size))
    found = facts_of(regions, case.image, case.image.shape.index(1), clusters)
    facts = {"seconds": round(time.perf_counter() - began, 2), "iterations": 0}
    return facts | scores(case, clusters, regions, found)


def scores(case: Case, clusters: np.ndarray, regions: np.ndarray, facts: list[RegionFacts]) -> dict[str, Any]:
    """What the regions are worth beside the truth."""
    found = cluster_scores(clusters, regions, facts, case.truth, case.image.geometry.spacing)
    return {"regions": len(facts)} | {name: round(value, 4) for name, value in found.items()}


def known() -> list[dict[str, Any]]:
    """The runs that are written already."""
    path = RESULTS / f"{NAME}.json"
    runs: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    return runs


def write(runs: list[dict[str, Any]]) -> None:
    """All runs, and their means by data and method."""
    means: dict[str, dict[str, dict[str, float]]] = {}
    for data in (SKIN, HIPPOCAMPUS, TORSO):
        for method in METHODS:
            rows = [run for run in runs if (run["data"], run["method"]) == (data, method)]
            if rows:
                numbers = [key for key in rows[0] if key.endswith("dice") or key in ("seconds", "regions")]
                mean = {key: round(float(np.mean([row[key] for row in rows])), 4) for key in numbers}
                by_seed = [
                    float(np.mean([row["seeded_dice"] for row in rows if row["seed"] == seed]))
                    for seed in sorted({row["seed"] for row in rows})
                ]
                spread = {"seeded_dice_by_seed": [round(value, 4) for value in by_seed]}
                means.setdefault(data, {})[method] = {**mean, **spread, "runs": len(rows)}  # type: ignore[dict-item]
    print(write_result(NAME, {"mean": means, "runs": runs}), runs[-1], flush=True)


if __name__ == "__main__":
    main()
