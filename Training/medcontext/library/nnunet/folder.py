"""Where the files of an nnU-Net v2 lie: results folders, the folder of one training, and zips of either."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medcontext.errors import InputError
from medcontext.library.import_options import ImportOptions

PLANS, DATASET = "plans.json", "dataset.json"
FINGERPRINT = "dataset_fingerprint.json"
SUMMARY = "validation/summary.json"
EXPORT_GUIDE = "Give the folder whose name is like nnUNetTrainer__nnUNetPlans__3d_fullres, or the zip of it."

_DEPTH = 3
"""Levels below what was given: results folder, data set, training, fold."""
_MOST_FOLDERS = 5000
_FOLD = re.compile(r"fold_(\d+|all)")
_CHECKPOINT = re.compile(r"checkpoint_\w+\.pth")
_ORDER = ("3d_fullres", "3d_lowres", "2d")
_STANDARD = ("nnUNetTrainer", "nnUNetPlans")


@dataclass(frozen=True)
class Training:
    """The folder of one training: plans, data set, and a folder for each fold.

    Attributes:
        folder: such as ``Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__3d_fullres``.
        folds: names of its folds (``0`` or ``all``), in order, whether they hold weights or not.
    """

    folder: Path
    folds: tuple[str, ...]

    @property
    def parts(self) -> tuple[str, str, str] | None:
        """Trainer, plans and configuration, as the folder's name says them; None where it was renamed."""
        parts = self.folder.name.split("__")
        return (parts[0], parts[1], parts[2]) if len(parts) == 3 else None

    @property
    def configuration(self) -> str:
        """What a person calls it."""
        return self.parts[2] if self.parts else self.folder.name

    def checkpoint(self, fold: str, kind: Literal["final", "best"]) -> Path:
        """Weights of a fold; the file need not be there."""
        return self.folder / f"fold_{fold}" / f"checkpoint_{kind}.pth"


def is_nnunet(folder: Path) -> bool:
    """Whether a folder looks as if nnU-Net v2 had written it, complete or not."""
    return next(_trainings(folder), None) is not None or _weights_without_plans(folder) is not None


def find_training(folder: Path, options: ImportOptions) -> tuple[Training, list[str], tuple[str, ...]]:
    """The training to take, the names of all (for ``--configuration``), and notes on the choice.

    Without a wish it is 3d_fullres where there is one, of nnU-Net's own trainer and plans where there are several.

    Raises:
        InputError: there is none, the wish is not among them, or they are of several data sets.
    """
    found = sorted(_trainings(folder), key=_preference)
    if not found:
        raise _no_plans(folder)
    sets = sorted({training.folder.parent for training in found})
    if len(sets) > 1:
        told = _some([place.name for place in sets])
        raise InputError(f"{folder} holds models of {len(sets)} data sets: {told}.", "Give one of them.")
    names = _distinct(found)
    if options.configuration is None:
        notes = (f"{names[0]} was taken of {_some(names)}.",) if len(names) > 1 else ()
        return found[0], names, notes
    wish = options.configuration
    for name, training in zip(names, found, strict=True):
        if wish in (name, training.configuration, training.folder.name):
            return training, names, ()
    raise InputError(
        f"{folder} holds no configuration '{wish}'.", f"There {_are(names)}; --configuration chooses one."
    )


def choose_folds(training: Training, options: ImportOptions) -> tuple[list[str], tuple[str, ...]]:
    """The folds to take: those asked for, else every one that holds weights (``all`` only where it is the only one).

    Returns:
        Their names, and notes on those left out.

    Raises:
        InputError: a fold is missing, or holds no such weights.
    """
    kind = options.checkpoint
    ready = ready_folds(training, options)
    for fold in options.folds:
        if fold not in training.folds:
            there = f"There {_are(list(training.folds))}." if training.folds else ""
            raise InputError(f"{training.folder} holds no fold {fold}.", there)
        if fold not in ready:
            raise InputError(f"{training.checkpoint(fold, kind)} is missing.", _unfinished(training, kind))
    if options.folds:
        return list(options.folds), ()
    if not ready:
        what = f"no fold holds a checkpoint_{kind}.pth" if training.folds else "there are no folds"
        raise InputError(f"{training.folder} holds no weights: {what}.", _unfinished(training, kind))
    taken = [fold for fold in ready if fold != "all"] or ready
    notes = [
        f"Fold {fold} was left out: it holds no checkpoint_{kind}.pth."
        for fold in training.folds
        if fold not in ready
    ]
    if "all" in ready and "all" not in taken:
        notes.append("Fold all was left out: the others make an ensemble.")
    return taken, tuple(notes)


def ready_folds(training: Training, options: ImportOptions) -> list[str]:
    """The folds that hold weights of the kind that is asked for."""
    return [fold for fold in training.folds if training.checkpoint(fold, options.checkpoint).is_file()]


def _trainings(folder: Path) -> Iterator[Training]:
    """Every folder that holds plans and is not what nnU-Net made before a training (no folds are all right)."""
    for place, names, files in _walk(folder):
        if PLANS in files:
            folds = [name.removeprefix("fold_") for name in names if _FOLD.fullmatch(name)]
            yield Training(place, tuple(sorted(folds, key=lambda fold: (fold == "all", len(fold), fold))))


def _walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Folders down to that of a training, with the names of what is in them; links to folders are not followed."""
    for count, (place, names, files) in enumerate(os.walk(folder)):
        path = Path(place)
        if count > _MOST_FOLDERS:
            raise InputError(f"{folder} holds more than {_MOST_FOLDERS} folders.", EXPORT_GUIDE)
        yield path, sorted(names), files
        depth = len(path.relative_to(folder).parts)
        names[:] = sorted(name for name in names if not name.startswith(".")) if depth < _DEPTH else []


def _weights_without_plans(folder: Path) -> Path | None:
    """A fold with checkpoints of nnU-Net, whose plans are missing."""
    for place, _, files in _walk(folder):
        if _FOLD.fullmatch(place.name) and any(map(_CHECKPOINT.fullmatch, files)):
            return place
    return None


def _no_plans(folder: Path) -> InputError:
    place = _weights_without_plans(folder) or folder
    return InputError(f"{place} holds weights of an nnU-Net, but no {PLANS}.", EXPORT_GUIDE)


def _unfinished(training: Training, kind: Literal["final", "best"]) -> str:
    """What to do where weights are missing."""
    other: Literal["final", "best"] = "best" if kind == "final" else "final"
    there = any(training.checkpoint(fold, other).is_file() for fold in training.folds)
    return (
        f"There is a checkpoint_{other}.pth: choose it with --checkpoint {other}." if there else EXPORT_GUIDE
    )


def _preference(training: Training) -> tuple[int, int, str]:
    name = training.configuration
    rank = next((n for n, start in enumerate(_ORDER) if name.startswith(start)), len(_ORDER))
    rank = len(_ORDER) + 1 if "cascade" in name else rank
    standard = training.parts is not None and training.parts[:2] == _STANDARD
    return rank if name in _ORDER else rank + 10, int(not standard), training.folder.name


def _distinct(trainings: Sequence[Training]) -> list[str]:
    """A name for each: its configuration, or its whole name where several share that."""
    short = [training.configuration for training in trainings]
    if len(set(short)) == len(short):
        return short
    return [training.folder.name for training in trainings]


def _are(names: Sequence[str]) -> str:
    return f"{'is' if len(names) == 1 else 'are'} {_some(names)}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
