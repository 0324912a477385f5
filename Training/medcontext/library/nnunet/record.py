"""What is known of a training of nnU-Net, for the card: where it comes from, how it did, what its images were like."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from medcontext.card_schema import InputRange, TrainingRecord
from medcontext.errors import InputError
from medcontext.library.nnunet.checkpoint import Fold
from medcontext.library.nnunet.folder import FINGERPRINT, SUMMARY, Training
from medcontext.library.nnunet.plans import Dataset, Plans, read_object
from medcontext.plan import Spacing

FORM = "nnU-Net v2"


def title_of(plans: Plans, dataset: Dataset, configuration: str) -> str:
    """Title for people, such as ``Hippocampus (nnU-Net 3d_fullres)``."""
    name = re.sub(r"^(Dataset|Task)\d+_", "", dataset.name or plans.dataset_name).strip()
    return f"{name[:120] or 'nnU-Net'} (nnU-Net {configuration})"


def training_record(
    training: Training,
    plans: Plans,
    configuration: str,
    folds: Sequence[str],
    read: Sequence[Fold],
    notes: Sequence[str],
) -> tuple[TrainingRecord, tuple[str, ...]]:
    """Where the weights come from, and the Dice of each fold on its validation cases where the folder has it.

    Returns:
        The record, and notes on what could not be read of it.
    """
    dice: dict[str, float] = {}
    more: list[str] = []
    for fold in folds:
        try:
            found = _dice(training, fold)
        except InputError as error:
            more.append(f"What fold {fold} reached in its validation is not known: {error.message}")
            continue
        if found is not None:
            dice[f"fold {fold}"] = found
    facts = {
        "Source": FORM,
        "Dataset": plans.dataset_name,
        "Trainer": ", ".join(sorted({fold.trainer for fold in read if fold.trainer})) or "unknown",
        "Plans": plans.plans_name or "unknown",
        "Configuration": configuration,
        "Folds": ", ".join(folds),
        "Checkpoint": read[0].path.name,
    }
    if notes or more:
        facts["Notes"] = " ".join([*notes, *more])
    metrics: dict[str, Any] = {"validation Dice": dice} if dice else {}
    return TrainingRecord(config=facts, metrics=metrics), tuple(more)


def input_range(training: Training, plans: Plans) -> InputRange:
    """Spacings of the training images along the network's axes; the median where the folder keeps no fingerprint."""
    path = training.folder / FINGERPRINT
    spacings = [_three(entry) for entry in _list(read_object(path).get("spacings"))] if path.is_file() else []
    known = [entry for entry in spacings if entry is not None]
    if not known:
        k, j, i = plans.original_median_spacing_after_transp
        return InputRange(spacing=((k, j, i), (k, j, i)))
    low, high = (
        tuple(extreme(entry[axis] for entry in known) for axis in plans.transpose_forward)
        for extreme in (min, max)
    )
    return InputRange(spacing=((low[0], low[1], low[2]), (high[0], high[1], high[2])))


def _dice(training: Training, fold: str) -> float | None:
    path = training.folder / f"fold_{fold}" / SUMMARY
    if not path.is_file():
        return None
    mean = read_object(path).get("foreground_mean")
    value = mean.get("Dice") if isinstance(mean, dict) else None
    return round(value, 4) if isinstance(value, float) and math.isfinite(value) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _three(value: Any) -> Spacing | None:
    numbers = [float(n) for n in _list(value) if isinstance(n, int | float) and 0 < n < math.inf]
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == len(_list(value)) == 3 else None
