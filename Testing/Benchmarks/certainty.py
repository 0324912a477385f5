"""Which certainty map finds wrong voxels better: softmax entropy, or agreement of masked views?

    python Testing/Benchmarks/certainty.py --model hippocampus

AUROC of finding wrongly labelled voxels, over all voxels and within 3 mm of the reference surface, on the test
cases; and the rank correlation (Spearman) of a case's mean certainty with its Dice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from record import SHARED, write_result

from medcontext.api import CaseStore, Predictor, Reporter, choose_device, load_model
from medcontext.metrics import score_case
from medcontext.metrics.calibration import rank_correlation, score_certainty

KINDS = ("entropy", "masked")


def main() -> None:
    """Predict every test case with each map and score the maps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="hippocampus")
    parser.add_argument("--data", type=Path, default=SHARED / "hippocampus")
    parser.add_argument("--cases", type=int, default=0, help="only so many; all when 0")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    predictor = Predictor(model.networks, model.card, choose_device("auto"), "fp32")
    store = CaseStore.open(arguments.data)
    cases = [case for case in store.cases if case.split == "test"]
    rows: dict[str, list] = {kind: [] for kind in KINDS}
    dice: list[float] = []
    for case in cases[: arguments.cases or None]:
        image, reference = store.read_image(case), store.read_labels(case)
        for kind in KINDS:
            found = predictor.predict(image, certainty=kind, reporter=Reporter())
            rows[kind].append(score_certainty(found.certainty, found.labelmap, reference, case=case.id))
        scores = score_case(found.labelmap, reference, model.card.label_set, case=case.id)
        dice.append(float(np.mean([row.dice for row in scores if row.dice is not None])))
    facts = {kind: summary(rows[kind], dice) for kind in KINDS}
    gain = facts["masked"]["auroc_within_3_mm"] - facts["entropy"]["auroc_within_3_mm"]
    print(write_result("certainty", {"cases": len(dice), **facts, "gain_within_3_mm": round(gain, 4)}), facts)


def summary(rows: list, dice: list[float]) -> dict[str, float]:
    """Means over the cases and the rank correlation with Dice."""
    return {
        "auroc": round(float(np.nanmean([np.nan if r.auroc is None else r.auroc for r in rows])), 4),
        "auroc_within_3_mm": round(
            float(np.nanmean([np.nan if r.auroc_near is None else r.auroc_near for r in rows])), 4
        ),
        "spearman_mean_certainty_with_dice": rank_correlation([r.mean for r in rows], dice).rho,
    }


if __name__ == "__main__":
    main()
