"""From an image as it was acquired to the array a network sees; used alike in training and prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from medcontext.geometry import Triple, Volume
from medcontext.intensity import find_scales, scaled
from medcontext.labels import IGNORE
from medcontext.plan import Channel, Plan, ResamplePlan, Spacing
from medcontext.resample import resample_volume

SPACING_TOLERANCE = 0.01
"""Spacings within 1 % of the plan's are not resampled: less than a voxel over 100."""


def to_model_grid(
    image: Volume,
    *,
    orientation: str,
    spacing: Spacing,
    channels: Sequence[Channel],
    resample: ResamplePlan,
    hidden: np.ndarray | None = None,
) -> Volume:
    """Normalise, reorient and resample an image.

    Args:
        image: in scanner units, any orientation.
        orientation: code of (i, j, k) that the model works in.
        spacing: mm along (K, J, I) after reorientation.
        channels: normalisation of each channel.
        resample: which axis, if any, is resampled by nearest neighbour.
        hidden: voxels of the image to leave out, see :func:`medcontext.intensity.normalise`.

    Returns:
        float32 volume on the model's grid.

    Raises:
        InputError: the channel count differs or the image holds voxels that are not finite.
    """
    scales = find_scales(image.array, channels, hidden)
    moved = image.reorient(orientation)
    if hidden is not None:
        permutation, flips = image.geometry.reorientation(orientation)
        hidden = np.flip(hidden.transpose(permutation), flips)
    return _resampled(replace(moved, array=scaled(moved.array, scales, hidden)), spacing, 1, resample)


def labels_to_model_grid(
    labelmap: Volume, *, orientation: str, spacing: Spacing, resample: ResamplePlan
) -> Volume:
    """Reorient and resample a labelmap the way :func:`to_model_grid` moves its image; labels never mix.

    What is annotated is never lost among voxels that are not (255): one slice in ten of a scan with thin slices
    would lie between the voxel centres of a coarser grid.
    """
    turned = labelmap.reorient(orientation)
    moved = _resampled(turned, spacing, 0, resample)
    if moved.shape == turned.shape or not (turned.array == IGNORE).any():
        return moved
    missed = moved.array == IGNORE
    return replace(moved, array=np.where(missed, _annotated_within(turned.array, moved.shape), moved.array))


def _resampled(volume: Volume, spacing: Spacing, order: int, resample: ResamplePlan) -> Volume:
    close = np.allclose(volume.spacing, spacing, rtol=SPACING_TOLERANCE)
    if close or volume.geometry.shape_at(spacing) == volume.shape:
        return volume
    return resample_volume(volume, spacing, order, resample.separate_z)


def _annotated_within(labels: np.ndarray, shape: Triple) -> np.ndarray:
    """Labels ``(1, K, J, I)`` on a grid over the same box, 255 only where no annotated voxel lies.

    Axis by axis the annotated voxel closest to the centre wins of those whose centres lie in an output voxel.
    """
    for axis, wanted in enumerate(shape, start=1):
        count = labels.shape[axis]
        if count == wanted:
            continue
        centre = (np.arange(wanted) + 0.5) * count / wanted
        within = np.minimum((np.arange(count) + 0.5) * wanted / count, wanted - 1).astype(np.int64)
        taken = labels.take(np.minimum(centre, count - 1).astype(np.int64), axis)
        for index in np.argsort(np.abs(np.arange(count) + 0.5 - centre[within]), kind="stable"):
            place = (slice(None),) * axis + (within[index],)
            source = labels[(slice(None),) * axis + (index,)]
            np.copyto(taken[place], source, where=taken[place] == IGNORE)
        labels = taken
    return labels


@dataclass(frozen=True)
class PreparedCase:
    """One case as training reads it.

    Attributes:
        id: case id.
        image: float16 ``(C, K, J, I)`` on the model's grid.
        labels: uint8 ``(K, J, I)`` class indices in the order of the plan, 255 where nobody looked; or None.
        known: bool per class (background first): False where the case's annotation does not speak of the label.
        locations: per class, up to :data:`LOCATIONS_PER_CLASS` voxel indices ``(n, 3)``, for balanced sampling.
        content_hash: hash of the image file, for the record of what a model has seen.
        voxels: hash of the image's voxel values; known of unlabelled cases only.
    """

    id: str
    image: np.ndarray
    labels: np.ndarray | None
    known: np.ndarray
    locations: list[np.ndarray]
    content_hash: str
    voxels: str = ""


LOCATIONS_PER_CLASS = 10_000


def prepare_image(image: Volume, plan: Plan) -> Volume:
    """An image on the plan's grid."""
    return to_model_grid(
        image,
        orientation=plan.orientation,
        spacing=plan.spacing,
        channels=plan.channels,
        resample=plan.resample,
    )


def prepare_labels(labelmap: Volume, plan: Plan) -> np.ndarray:
    """Class indices ``(K, J, I)`` on the plan's grid, 255 where not annotated."""
    moved = labels_to_model_grid(
        labelmap, orientation=plan.orientation, spacing=plan.spacing, resample=plan.resample
    )
    lookup = np.full(256, IGNORE, np.uint8)
    lookup[0] = 0
    for index, value in enumerate(plan.label_set.values, start=1):
        lookup[value] = index
    return lookup[moved.array[0]]


def class_locations(labels: np.ndarray, classes: int, seed: int = 0) -> list[np.ndarray]:
    """A random subset of the voxel indices of each class, ``(n, 3)`` int16 each; background included."""
    generator = np.random.default_rng(seed)
    locations = []
    for value in range(classes):
        flat = np.flatnonzero(labels == value)
        if flat.size > LOCATIONS_PER_CLASS:
            flat = generator.choice(flat, LOCATIONS_PER_CLASS, replace=False)
        locations.append(np.stack(np.unravel_index(flat, labels.shape), axis=-1).astype(np.int16))
    return locations
