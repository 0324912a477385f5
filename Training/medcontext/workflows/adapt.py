"""A model adapted to one scan from what a person corrected in it, and that scan segmented again.

The loss is that of training where the person looked; everywhere else the parent's answer is kept by distillation,
but for a margin in which nobody knows. What was corrected is in the result exactly as it was corrected.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from medcontext.card_schema import ModelCard
from medcontext.data.grid_recipe import GridRecipe
from medcontext.data.preprocess import PreparedCase
from medcontext.devices import Device
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.inference.checks import check_image, check_prepared
from medcontext.inference.focus import Box
from medcontext.inference.postprocess import keep_largest_component
from medcontext.inference.predictor import Prediction, Predictor
from medcontext.inference.region import check_box, prepare_region
from medcontext.labels import IGNORE
from medcontext.library import LoadedModel
from medcontext.workflows.correction import KEEP, bounds, looked_at, on_input, targets_on_grid
from medcontext.workflows.learner import AdaptSettings, Learner

STEPS = 40
"""What ``Testing/Benchmarks/correction.py`` measured with; the bundled model takes them in half a minute even on one
core."""

FEW_WINDOWS = 8
"""A scan that so many windows fill is looked at as a whole; a larger one up to half a window around the correction."""


@dataclass(frozen=True, eq=False)
class Adaptation:
    """What came of a correction.

    Attributes:
        prediction: as of segmenting, with the correction in it. Outside of what was looked at again, and where the
            correction says 255, the labelmap is the corrected one.
        networks: the adapted copies of the model's networks.
        steps: how many were taken, by each network.
        seconds: time of learning.
        changed_voxels: how many voxels differ from the corrected labelmap.
    """

    prediction: Prediction
    networks: list[nn.Module]
    steps: int
    seconds: float
    changed_voxels: int


def adapt(
    model: LoadedModel,
    image: Volume,
    before: np.ndarray,
    corrected: np.ndarray,
    region: np.ndarray | None = None,
    *,
    device: Device,
    box: Box | None = None,
    labels: Sequence[int] | None = None,
    seconds: float | None = 30.0,
    steps: int = STEPS,
    precision: str = "auto",
    seed: int = 0,
    reporter: Reporter | None = None,
    settings: AdaptSettings | None = None,
) -> Adaptation:
    """Learn from a correction on one scan, and segment that scan again. The model stays as it is.

    Args:
        model: the model that made ``before``.
        image: the scan, ``(C, K, J, I)``.
        before: uint8 ``(K, J, I)`` on its grid: what the model had answered, in label values of the model.
        corrected: what it is now; 255 where that is not known.
        region: bool, where a person looked, so that ``corrected`` is right there; by default what :func:`looked_at`
            says. What was changed belongs to it in any case.
        device: where to compute.
        box: index ranges ``(K, J, I)`` that ``before`` was restricted to.
        labels: label values that ``before`` was restricted to; all of the model when None.
        seconds: time for learning; None for no limit.
        steps: no more than these.
        precision: auto, fp32, bf16 or fp16; what needs a scaled loss (fp16) learns in fp32.
        seed: of patches and their changes.
        reporter: told of progress, and asked at every step whether to stop.
        settings: how.

    Raises:
        InputError: nothing was corrected, the arrays do not fit the image or the model, or the model cannot learn.
        CancelledError: someone asked to stop.
        ResourceError: memory ran out.
        TrainingDivergedError: the loss became infinite.
    """
    reporter, settings = reporter or Reporter(), settings or AdaptSettings()
    _check(model, image, before, corrected, region)
    whole = check_box(image, box)
    check_image(image, model.card, whole if box is not None else None, reporter)
    looked, shown = _shown(before, corrected, region)
    part = _part(image, model.card, shown, whole)
    case, places = _lesson(model.card, image, corrected, looked, shown, box, part, settings)
    case = replace(case, known=_known(model.card, labels))
    began, networks, done = time.monotonic(), [], 0
    for number, network in enumerate(model.networks):
        share = None if seconds is None else seconds / len(model.networks)
        learner = Learner(network, model.card, case, places, device, precision, seed + number, settings)
        done = max(done, learner.learn(steps, share, reporter))
        networks.append(learner.network)
    spent = time.monotonic() - began
    predictor = Predictor(networks, model.card, device, precision)
    found = predictor.predict(image, box=box, part=part, reporter=reporter)
    answer = found.labelmap.array[0]
    if labels is not None:
        answer[~np.isin(answer, list(labels))] = 0
    joined = _joined(corrected, answer, looked, part)
    keep_largest_component(joined, model.card.inference.postprocess.largest_component)
    joined[looked] = corrected[looked]  # what a person painted apart from the rest stays
    labelmap = Volume(joined[None], image.geometry)
    prediction = replace(found, labelmap=labelmap, seconds={"adapt": spent, **found.seconds})
    return Adaptation(prediction, networks, done, spent, int((joined != corrected).sum()))


def _check(
    model: LoadedModel, image: Volume, before: np.ndarray, corrected: np.ndarray, region: np.ndarray | None
) -> None:
    card = model.card
    if card.activation != "softmax" or card.regions:
        raise InputError(
            f"'{card.title}' paints structures over one another; such models cannot learn from a correction.",
            "Add the corrected scan as a case and fine-tune.",
        )
    for name, array in (("answer before", before), ("corrected labelmap", corrected)):
        if array.shape != image.shape or array.dtype != np.uint8:
            raise InputError(
                f"The {name} is an array {array.shape} of {array.dtype}; the image needs uint8 {image.shape}."
            )
        strange = np.ones(256, bool)
        strange[[0, IGNORE, *card.label_set.values]] = False
        if strange[array].any():
            value = int(array[strange[array]].min())
            raise InputError(f"The {name} holds the value {value}, which '{card.title}' does not know.")
    if region is not None and (region.shape != image.shape or region.dtype != np.bool_):
        raise InputError(f"The region is an array {region.shape} of {region.dtype}, not bool {image.shape}.")
    if not (before != corrected).any() and (region is None or not region.any()):
        raise InputError(
            "Nothing was corrected: the segments are as the model made them.",
            "Correct a slice or two in the segment editor first.",
        )


def _shown(
    before: np.ndarray, corrected: np.ndarray, region: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Where a person looked, and what of it was wrong: patches lie there, and around it the parent is not trusted."""
    changed = before != corrected
    if region is None:
        return looked_at(before, corrected), changed
    looked = region | changed
    shown = changed | (region & (corrected > 0))
    return looked, shown if shown.any() else looked


def _part(image: Volume, card: ModelCard, shown: np.ndarray, whole: Box) -> Box:
    """Where the scan is looked at again: all of ``whole``, or half a window around the correction."""
    permutation, _flips = GridRecipe.of_card(card).turn(image.geometry)
    windows = zip(permutation, card.input.patch_size, card.input.spacing, strict=True)
    size = {axis: voxels * mm / image.spacing[axis] for axis, voxels, mm in windows}
    sides = [outer.stop - outer.start for outer in whole]
    counts = [math.ceil(side / size[axis]) for axis, side in enumerate(sides)]
    if math.prod(counts) <= FEW_WINDOWS:
        return whole
    around = bounds(shown, [math.ceil(size[axis] / 2) for axis in range(3)])
    if around is None:
        return whole
    part = []
    for side, outer in zip(around, whole, strict=True):
        start = min(max(outer.start, side.start), outer.stop - 1)
        part.append(slice(start, max(start + 1, min(outer.stop, side.stop))))
    return part[0], part[1], part[2]


def _lesson(
    card: ModelCard,
    image: Volume,
    corrected: np.ndarray,
    looked: np.ndarray,
    shown: np.ndarray,
    box: Box | None,
    part: Box,
    settings: AdaptSettings,
) -> tuple[PreparedCase, np.ndarray]:
    """The part of the scan as the network sees it with its targets, and the voxels ``(n, 3)`` to look at."""
    prepared = prepare_region(image, card, box, part=part)
    check_prepared(prepared.image)
    values, spacing = card.label_set.values, card.input.spacing
    target = targets_on_grid(prepared, corrected, looked, shown, values, spacing, settings.near_mm)
    strokes = on_input(prepared, np.where(shown, np.uint8(0), np.uint8(KEEP))) == 0
    places = np.argwhere(strokes & (target < KEEP))
    if not places.size:
        raise InputError(
            "The correction lies outside of what the model looks at.",
            "Correct inside the region of the result.",
        )
    return PreparedCase("scan", prepared.image, target, np.ones(card.classes, bool), [], ""), places


def _known(card: ModelCard, labels: Sequence[int] | None) -> np.ndarray:
    """Of which classes the correction speaks: what was not wanted shows as background, and may be there."""
    values = card.label_set.values
    return np.array([True, *(labels is None or value in labels for value in values)])


def _joined(corrected: np.ndarray, found: np.ndarray, looked: np.ndarray, part: Box) -> np.ndarray:
    """The corrected labelmap with the new answer wherever nobody looked."""
    labels = corrected.copy()
    free = ~looked[part] & (corrected[part] != IGNORE)
    labels[part][free] = found[part][free]
    return labels
