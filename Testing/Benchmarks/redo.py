"""Which way of doing a region again helps: finer windows, context alone, another model?

    python Testing/Benchmarks/redo.py

Regions are balls of 10 mm. On clean scans they lie where the first result is worst: where most voxels are wrong (as a
person sees it who knows the anatomy), and where the model is least certain (as anybody can find it). On scans with a
painted artefact they are the artefact and 1 mm around it; it is centred on a voxel of the structure drawn at random.
Given is the Dice inside the region before and after, on the test cases, which neither training nor the choice of any
setting has seen (those were chosen on the bundled model's validation cases).

The other model is trained here for ten minutes unless ``--second`` names one: without masks, on windows smaller than
the images, on which finer windows can show what they do.
"""

from __future__ import annotations

import argparse
import tempfile
import zlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from artefacts import KINDS, corrupt
from record import SHARED, write_result
from scipy import ndimage

from medcontext.api import CaseStore, Predictor, Reporter, TrainRequest, Volume, redo, train
from medcontext.metrics.bootstrap import paired_interval
from medcontext.workflows.predictor import make_predictor

RADIUS_MM, MARGIN_MM = 5.0, 1.0
OTHER_RADII_MM = (3.0, 8.0, 11.0)
SEED = 7

ARTEFACTS, SMALL = "artefacts", "small windows: "
JUDGED = {
    "finer": (SMALL + "most wrong", [SMALL + "least certain", "most wrong", "least certain"]),
    "context": (ARTEFACTS, []),
    "model": ("most wrong", ["least certain"]),
}
"""Each form helps if it is better in the setting it is for and in no other of those named worse."""

Row = dict[str, float]


def main() -> None:
    """Measure every form in every setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="hippocampus")
    parser.add_argument("--second", type=Path, help="folder of the other model")
    parser.add_argument("--data", type=Path, default=SHARED / "hippocampus")
    parser.add_argument("--cases", type=int, default=0, help="only so many; all when 0")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.second or train_second(arguments.data, Path(scratch) / "second")
        first, _ = make_predictor(arguments.model, "cpu", "fp32", Reporter())
        second, other = make_predictor(folder, "cpu", "fp32", Reporter())
    store = CaseStore.open(arguments.data)
    cases = [case for case in store.cases if case.split == "test"][: arguments.cases or None]
    tables: dict[str, list[Row]] = {}
    for case in cases:
        image, reference = store.read_image(case), store.read_labels(case).array[0]
        for setting, row in {
            **on_clean(first, second, image, reference),
            **on_artefacts(first, second, image, reference, case.id),
        }.items():
            tables.setdefault(setting, []).append(row)
        print(case.id, flush=True)
    settings = {setting: summary(rows) for setting, rows in tables.items()}
    facts = {
        "cases": len(cases),
        "other_model": {
            "method": other.card.method,
            "patch_size": other.card.input.patch_size,
            "steps": other.card.training.steps,
            "minutes": other.card.training.minutes,
        },
        "forms": {form: judged(form, settings) for form in JUDGED},
        "settings": settings,
    }
    print(write_result("redo", facts), facts["forms"])


def train_second(data: Path, output: Path) -> Path:
    """Another model, of the same labels."""
    request = TrainRequest(
        data=data,
        output=output,
        method="supervised",
        size="medium",
        seed=1,
        minutes=10,
        device="cpu",
        settings=["plan.patch_size=[24,32,24]"],
    )
    return train(request, Reporter()).folder


def on_clean(first: Predictor, second: Predictor, image: Volume, reference: np.ndarray) -> dict[str, Row]:
    """Whole scans by both models, and their worst regions."""
    rows: dict[str, Row] = {"whole scan": {}}
    for name, predictor, others in (
        ("", first, [("context", first), ("model", second)]),
        (SMALL, second, []),
    ):
        found = predictor.predict(image, certainty="entropy")
        labels, sure = found.labelmap.array[0], found.certainty.array[0]
        rows["whole scan"]["model" if name else "before"] = dice(
            labels, reference, np.ones(labels.shape, bool)
        )
        for where, weight in (("most wrong", labels != reference), ("least certain", 255.0 - sure)):
            region = distance_mm(image, densest(weight, image)) <= RADIUS_MM
            forms = [("finer", predictor), *others]
            rows[name + where] = {"before": dice(labels, reference, region)} | again(
                forms, image, reference, region
            )
    return rows


def on_artefacts(
    first: Predictor, second: Predictor, image: Volume, reference: np.ndarray, case: str
) -> dict[str, Row]:
    """Each kind of artefact, the mean over them, and metal of other sizes."""
    rows: dict[str, Row] = {}
    for kind, radius in [*((kind, RADIUS_MM) for kind in KINDS), *(("metal", r) for r in OTHER_RADII_MM)]:
        generator = np.random.default_rng([SEED, zlib.crc32(f"{case} {kind} {radius}".encode())])
        away = distance_mm(image, generator.choice(np.argwhere(reference > 0)))
        spoilt = replace(image, array=corrupt(image.array[0], away, radius, kind, generator)[None])
        region = away <= radius + MARGIN_MM
        row = {"before": dice(first.predict(spoilt).labelmap.array[0], reference, region)}
        forms = [("context", first)]
        if radius == RADIUS_MM:
            forms += [("finer", first), ("model", second), ("context, never trained with masks", second)]
        row |= again(forms, spoilt, reference, region)
        rows[f"{kind}, {2 * radius:g} mm"] = row
    same_size = [rows[f"{kind}, {2 * RADIUS_MM:g} mm"] for kind in KINDS]
    rows[ARTEFACTS] = {key: float(np.nanmean([row[key] for row in same_size])) for key in same_size[0]}
    return rows


def again(
    forms: list[tuple[str, Predictor]], image: Volume, reference: np.ndarray, region: np.ndarray
) -> Row:
    """Dice inside a region after each form; what follows a comma in its name is no part of the form."""
    return {
        name: dice(
            redo(predictor, image, region, name.split(",")[0]).labelmap.array[0],  # type: ignore[arg-type]
            reference,
            region,
        )
        for name, predictor in forms
    }


def dice(found: np.ndarray, reference: np.ndarray, region: np.ndarray) -> float:
    """Dice of all labels together inside a region: a voxel counts as common when its label is right."""
    a, b = found[region], reference[region]
    sizes = int((a > 0).sum() + (b > 0).sum())
    return 2 * int(((a == b) & (b > 0)).sum()) / sizes if sizes else float("nan")


def distance_mm(image: Volume, centre: np.ndarray) -> np.ndarray:
    """Distance of each voxel ``(K, J, I)`` from a voxel."""
    axes = [(np.arange(n) - c) * mm for n, c, mm in zip(image.shape, centre, image.spacing, strict=True)]
    k, j, i = np.meshgrid(*axes, indexing="ij")
    return np.sqrt(k**2 + j**2 + i**2)


def densest(weight: np.ndarray, image: Volume) -> np.ndarray:
    """The voxel around which a ball of the region's size holds most of ``weight``."""
    reach = [int(RADIUS_MM / mm) for mm in image.spacing]
    axes = [np.arange(-r, r + 1) * mm for r, mm in zip(reach, image.spacing, strict=True)]
    k, j, i = np.meshgrid(*axes, indexing="ij")
    kernel = (k**2 + j**2 + i**2 <= RADIUS_MM**2).astype(float)
    sums = ndimage.convolve(weight.astype(float), kernel, mode="constant")
    return np.array(np.unravel_index(int(sums.argmax()), sums.shape))


def summary(rows: list[Row]) -> dict[str, Any]:
    """Mean Dice before and after each form, the interval of the difference, and in how many cases it changed."""
    before = [row["before"] for row in rows]
    forms = {}
    for form in (key for key in rows[0] if key != "before"):
        after = [row[form] for row in rows]
        interval = paired_interval(before, after)
        change = np.array(after) - np.array(before)
        forms[form] = {
            "after": round(float(np.nanmean(after)), 4),
            "interval": {key: round(value, 4) for key, value in asdict(interval).items()},
            "verdict": interval.verdict,
            "cases_better": int((change > 0).sum()),
            "cases_worse": int((change < 0).sum()),
        }
    return {"before": round(float(np.nanmean(before)), 4), "forms": forms}


def judged(form: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Whether a form helps, see :data:`JUDGED`."""
    main, others = JUDGED[form]
    found = settings[main]["forms"][form]
    guards = {name: settings[name]["forms"][form]["verdict"] for name in others}
    return {
        "helps": found["verdict"] == "better" and "worse" not in guards.values(),
        "setting": main,
        "before": settings[main]["before"],
        "after": found["after"],
        "interval": found["interval"],
        "elsewhere": guards,
    }


if __name__ == "__main__":
    main()
