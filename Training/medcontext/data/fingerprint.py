"""What the planner needs to know about a data set: grids from headers, intensities and sides from labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from medcontext.data.case import Case
from medcontext.data.grid_recipe import GridRecipe
from medcontext.data.reading import read_grid
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.labels import IGNORE
from medcontext.plan import Fingerprint, Size, Spacing

COARSE = 3.0
"""An axis whose voxels are more than this many times longer than those of the finest axis is coarse."""

GRIDS_LOOKED_AT = 100
"""Unlabelled scans whose headers are read: of a DICOM series that means every file."""

LABELS_LOOKED_AT = 50
"""Cases whose voxels are read: percentiles and sides settle long before, and a large CT takes seconds."""

SAMPLES_PER_CASE = 20_000
"""Foreground voxels a case adds to the intensity statistics, so that a large case does not drown others."""


def read_grids(cases: Sequence[Case], orientation: str, transpose: Size = (0, 1, 2)) -> list[Geometry]:
    """The grids of the cases, turned as a model of that orientation and transposition turns images.

    Of the unlabelled scans at most :data:`GRIDS_LOOKED_AT` are looked at, and those that vanished or are broken
    are passed over.

    Raises:
        InputError: a labelled case is broken, or no case can be read.
    """
    free = [index for index, case in enumerate(cases) if case.label is None]
    step = max(1, -(-len(free) // GRIDS_LOOKED_AT))
    passed = {*free} - {*free[::step]}
    recipe = GridRecipe(orientation, (1.0, 1.0, 1.0), (), transpose=transpose)
    grids, failed = [], None
    for index, case in enumerate(cases):
        if index in passed:
            continue
        try:
            grid = read_grid(case.images)
        except InputError as error:
            if case.label is not None:
                raise
            failed = error
            continue
        grids.append(recipe.turned(grid))
    if not grids and failed is not None:
        raise failed
    return grids


def target_spacing(grids: Sequence[Geometry]) -> Spacing:
    """Median spacing in mm; on a coarse axis the 10th percentile, so that thin slices are not thrown away.

    It never goes below the longest edge of the other axes: finer than that is interpolation only.
    """
    spacings = np.array([grid.spacing for grid in grids])
    median = np.median(spacings, axis=0)
    target = median.copy()
    coarse = median / median.min() > COARSE
    for axis in np.flatnonzero(coarse):
        target[axis] = max(np.percentile(spacings[:, axis], 10), median[~coarse].max())
    return _triple(target)


def coarse_axis(spacing: Spacing) -> int | None:
    """The array axis whose spacing is more than 3 times the finest, or None."""
    longest = int(np.argmax(spacing))
    return longest if spacing[longest] / min(spacing) > COARSE else None


def summarise(grids: Sequence[Geometry], spacing: Spacing, cases: int) -> Fingerprint:
    """The facts of the grids that the plan keeps; ``median_shape`` is in voxels of ``spacing``."""
    spacings = np.array([grid.spacing for grid in grids])
    extents = spacings * np.array([grid.shape for grid in grids])
    shapes = np.array([grid.shape_at(spacing) for grid in grids])
    median = np.median(spacings, axis=0)
    shape: Size = tuple(max(1, int(n)) for n in np.ceil(np.median(shapes, axis=0)))  # type: ignore[assignment]
    return Fingerprint(
        cases=cases,
        median_shape=shape,
        median_spacing=_triple(median),
        spacing_range=(_triple(spacings.min(axis=0)), _triple(spacings.max(axis=0))),
        field_of_view_range=(_triple(extents.min(axis=0)), _triple(extents.max(axis=0))),
        anisotropy=float(f"{median.max() / median.min():.6g}"),
    )


@dataclass
class LabelFacts:
    """What the labels of some cases show.

    Attributes:
        cases: number of cases looked at.
        present: per label value, the cases it occurs in.
        offsets: per label value, its left-right distance from the image centre in each case, in image widths.
        intensities: per channel, foreground voxel values pooled over the cases.
    """

    cases: int = 0
    present: dict[int, int] = field(default_factory=dict)
    offsets: dict[int, list[float]] = field(default_factory=dict)
    intensities: list[np.ndarray] = field(default_factory=list)


def look_at_labels(
    store: CaseStore,
    cases: Sequence[Case],
    *,
    intensities: bool,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> LabelFacts:
    """Read the labels (and with ``intensities`` the images) of up to :data:`LABELS_LOOKED_AT` cases.

    In a case without label, what exceeds -500 HU (denser than air and lung) counts as foreground.
    """
    reporter = reporter or Reporter()
    generator = np.random.default_rng(seed)
    chosen = sorted(generator.permutation(len(cases))[:LABELS_LOOKED_AT])
    facts = LabelFacts(cases=len(chosen))
    pooled: list[list[np.ndarray]] = [[] for _ in store.channels]
    for done, index in enumerate(chosen):
        reporter.check_cancelled()
        reporter.progress("plan", done / len(chosen))
        case = cases[index]
        labelmap = store.read_labels(case) if case.label is not None else None
        if labelmap is not None:
            _note_labels(facts, labelmap)
        if not intensities:
            continue
        try:
            image = store.read_image(case)
        except InputError:
            if case.label is not None:
                raise
            continue  # an unlabelled scan may have vanished
        _sample(pooled, image, labelmap, generator)
    facts.intensities = [np.concatenate(values) if values else np.empty(0, np.float32) for values in pooled]
    reporter.progress("plan", 1.0)
    return facts


def _note_labels(facts: LabelFacts, labelmap: Volume) -> None:
    array = labelmap.reorient("LPS").array[0]
    width = array.shape[2]
    counts = np.stack([np.bincount(array[:, :, i].ravel(), minlength=256) for i in range(width)])
    for value in np.flatnonzero(counts.sum(axis=0)):
        if value in (0, IGNORE):
            continue
        centre = float((counts[:, value] * (np.arange(width) + 0.5)).sum() / counts[:, value].sum())
        facts.present[int(value)] = facts.present.get(int(value), 0) + 1
        facts.offsets.setdefault(int(value), []).append(centre / width - 0.5)


def _sample(
    pooled: list[list[np.ndarray]], image: Volume, labelmap: Volume | None, generator: np.random.Generator
) -> None:
    if labelmap is None:
        foreground = image.array[0] > -500
    elif labelmap.shape == image.shape:
        foreground = (labelmap.array[0] != 0) & (labelmap.array[0] != IGNORE)
    else:
        raise InputError(
            f"An image of {image.shape} voxels has a label of {labelmap.shape} voxels (K, J, I)."
        )
    where = np.flatnonzero(foreground)
    if where.size > SAMPLES_PER_CASE:
        where = generator.choice(where, SAMPLES_PER_CASE, replace=False)
    for channel, values in zip(image.array, pooled, strict=True):
        values.append(channel.ravel()[where])


def _triple(values: np.ndarray) -> Spacing:
    """Six digits: headers store float32, and 0.9999999 mm would be resampled for nothing."""
    return tuple(float(f"{value:.6g}") for value in values)  # type: ignore[return-value]
