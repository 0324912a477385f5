"""The bundled model, trained on crops, inside a region of whole T1 heads.

    python Testing/Benchmarks/whole_head.py

For each hippocampus of two heads the region is the bounding box of the reference plus 5 mm a side. The reference draws
the hippocampus as one structure (AAL atlas and FreeSurfer), so the union of anterior and posterior is scored. These
protocols differ from the Decathlon's: the Dice says that the region works, not how good the model is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from record import SHARED, write_result

from medcontext.api import Predictor, choose_device, load_model, read_image
from medcontext.errors import InputError
from medcontext.io import read_labelmap

HEADS = {"ch2_t1": {"left": 37, "right": 38}, "voxelmorph_t1": {"left": 17, "right": 53}}
MARGIN_MM = 5.0


def main() -> None:
    """Segment each side of each head."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="hippocampus")
    parser.add_argument("--data", type=Path, default=SHARED / "brain_anatomy")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    predictor = Predictor(model.networks, model.card, choose_device("auto"), "fp32")
    rows = {}
    for head, sides in HEADS.items():
        image = read_image([arguments.data / "images" / f"{head}.nii.gz"])
        reference = read_labelmap(arguments.data / "labels" / f"{head}.nii.gz", like=image.geometry).array[0]
        try:
            predictor.predict(image)
        except InputError as error:
            print(f"{head}, no region: {error}")
        for side, value in sides.items():
            wanted = reference == value
            box = around(wanted, image.spacing)
            found = predictor.predict(image, box=box).labelmap.array[0] > 0
            dice = 2 * float((found & wanted).sum()) / float(found.sum() + wanted.sum())
            rows[f"{head} {side}"] = {
                "box_mm": [
                    round((s.stop - s.start) * mm, 1) for s, mm in zip(box, image.spacing, strict=True)
                ],
                "dice_of_the_union": round(dice, 4),
                "reference_ml": round(float(wanted.sum() * np.prod(image.spacing)) / 1000, 2),
                "found_ml": round(float(found.sum() * np.prod(image.spacing)) / 1000, 2),
            }
            print(head, side, rows[f"{head} {side}"], flush=True)
    print(write_result("whole_head", {"heads": rows}))


def around(mask: np.ndarray, spacing: tuple[float, float, float]) -> tuple[slice, slice, slice]:
    """Bounding box of a mask with a margin."""
    parts = []
    for axis in range(3):
        inside = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        margin = round(MARGIN_MM / spacing[axis])
        parts.append(
            slice(max(0, int(inside[0]) - margin), min(mask.shape[axis], int(inside[-1]) + 1 + margin))
        )
    return parts[0], parts[1], parts[2]


if __name__ == "__main__":
    main()
