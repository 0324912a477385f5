"""From an image as it was acquired to the array a network sees; used alike in training and prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from medcontext.cubic import cubic
from medcontext.data.grid_recipe import GridRecipe, cut
from medcontext.geometry import Triple, Volume
from medcontext.intensity import find_scales, left_out, scaled
from medcontext.labels import IGNORE
from medcontext.plan import Plan
from medcontext.resample import resample_array


def to_model_grid(image: Volume, recipe: GridRecipe, hidden: np.ndarray | None = None) -> Volume:
    """Normalise, turn and resample an image, of which only ``recipe.box`` is left already.

    Args:
        image: in scanner units, any orientation.
        recipe: the model's grid.
        hidden: voxels of the image to leave out, see :func:`medcontext.intensity.normalise`.

    Returns:
        float32 volume on the model's grid.

    Raises:
        InputError: the channel count differs or the image holds voxels that are not finite.
    """
    omitted = left_out(image.array, recipe.channels, hidden)
    scales = find_scales(image.array, recipe.channels, omitted)
    permutation, flips = recipe.turn(image.geometry)
    moved = image.permute(permutation).flip(flips)
    seen = [None if mask is None else np.flip(mask.transpose(permutation), flips) for mask in omitted]
    return _resampled(replace(moved, array=scaled(moved.array, scales, seen)), recipe)


def labels_to_model_grid(labelmap: Volume, recipe: GridRecipe) -> Volume:
    """Turn and resample a labelmap the way :func:`to_model_grid` moves its image; labels never mix.

    What is annotated is never lost among voxels that are not (255): one slice in ten of a scan with thin slices
    would lie between the voxel centres of a coarser grid.
    """
    permutation, flips = recipe.turn(labelmap.geometry)
    turned = labelmap.permute(permutation).flip(flips)
    shape = recipe.shape_of(turned.geometry)
    array = resample_array(turned.array, shape, 0, recipe.nearest_axis(turned.geometry))
    if shape != turned.shape and (turned.array == IGNORE).any():
        array = np.where(array == IGNORE, _annotated_within(turned.array, shape), array)
    return _on_grid(turned, array)


def _resampled(turned: Volume, recipe: GridRecipe) -> Volume:
    shape, coarse = recipe.shape_of(turned.geometry), recipe.nearest_axis(turned.geometry)
    if recipe.resample.order == 3:
        return _on_grid(turned, cubic(turned.array, shape, coarse))
    return _on_grid(turned, resample_array(turned.array, shape, 1, coarse))


def _on_grid(turned: Volume, array: np.ndarray) -> Volume:
    """An array that fills the same box as a volume."""
    k, j, i = array.shape[1:]
    shape = (k, j, i)
    geometry = turned.geometry if shape == turned.shape else turned.geometry.resampled(shape)
    return Volume(array, geometry)


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


def prepare_case(image: Volume, labelmap: Volume | None, plan: Plan) -> tuple[Volume, np.ndarray | None]:
    """An image on the plan's grid, and of the labelmap on its voxels, if any, the class indices there.

    Returns:
        float32 volume, and uint8 ``(K, J, I)`` on the same grid, 255 where not annotated.

    Raises:
        InputError: the image cannot be prepared.
    """
    recipe = GridRecipe.of_plan(plan)
    box = recipe.box(image)
    grid = to_model_grid(cut(image, box), recipe)
    if labelmap is None:
        return grid, None
    lookup = np.full(256, IGNORE, np.uint8)
    lookup[0] = 0
    for index, value in enumerate(plan.label_set.values, start=1):
        lookup[value] = index
    return grid, lookup[labels_to_model_grid(cut(labelmap, box), recipe).array[0]]


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
