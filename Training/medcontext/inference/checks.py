"""Whether an image fits a model; what does not fit is said before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medcontext.card_schema import ModelCard
from medcontext.data.grid_recipe import GridRecipe
from medcontext.data.reading import counted
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.inference.focus import Box

LARGEST_FIELD_OF_VIEW = 2.0
"""An image larger than the training images by more than this on two axes shows anatomy never seen."""

SPACING_FACTOR = 2.0
"""Spacing beyond the trained range by more than this is warned of."""


def check_image(image: Volume, card: ModelCard, box: Box | None, reporter: Reporter) -> None:
    """Check channels, extent and spacing of an image.

    Args:
        image: the image as it was read.
        card: the model.
        box: index ranges ``(K, J, I)`` with explicit bounds that the prediction is restricted to; None for the
            whole image.
        reporter: is warned of unusual spacing.

    Raises:
        InputError: the channel count differs, or the image, or the box where there is one, is far larger than
            the images the model was trained on.
    """
    channels = card.input.channels
    if image.channels != len(channels):
        names = ", ".join(f"{channel.name} ({channel.modality})" for channel in channels)
        hint = "Give one file for each channel, in that order."
        if len(channels) == 1:
            hint = (
                "Give one 3D image; of a 4D file (several times or contrasts) save the volume that is meant."
            )
        raise InputError(
            f"The image has {counted(image.channels)}, the model '{card.title}' needs {counted(len(channels))}: "
            f"{names}.",
            hint,
        )
    permutation, _flips = GridRecipe.of_card(card).turn(image.geometry)
    spacing = [image.spacing[axis] for axis in permutation]
    voxels = image.shape if box is None else [part.stop - part.start for part in box]
    extent = [voxels[axis] * image.spacing[axis] for axis in permutation]
    _check_extent(extent, card, box is not None)
    low, high = card.input.range.spacing
    if any(
        s < a / SPACING_FACTOR or s > b * SPACING_FACTOR for s, a, b in zip(spacing, low, high, strict=True)
    ):
        reporter.warning(
            f"The image has a spacing of {_sizes(spacing)} mm, the model was trained on {_span(low, high)} mm: look "
            "closely at the result."
        )


def _check_extent(extent: Sequence[float], card: ModelCard, boxed: bool) -> None:
    if card.input.range.field_of_view is None:
        return
    low, high = card.input.range.field_of_view
    larger = [e > LARGEST_FIELD_OF_VIEW * limit for e, limit in zip(extent, high, strict=True)]
    if sum(larger) < 2:
        return
    expected = _sizes([(a + b) / 2 for a, b in zip(low, high, strict=True)])
    raise InputError(
        f"The {'region' if boxed else 'image'} measures {_sizes(extent)} mm; the model '{card.title}' was trained "
        f"on images of about {expected} mm (at most {_sizes(high)} mm).",
        "Choose a smaller region."
        if boxed
        else "Give a region of interest of that size around the structure to segment "
        "(segment: --roi; batch: the column roi of a manifest).",
    )


def check_contrast(image: Volume, card: ModelCard) -> None:
    """Refuse an image with a channel that shows nothing.

    Raises:
        InputError: all voxels of a channel have the same value.
    """
    # Another number of channels is what check_image tells of.
    for array, channel in zip(image.array, card.input.channels, strict=False):
        if array.min() == array.max():
            raise InputError(
                f"All voxels of channel {channel.name} have the same value: there is nothing to segment.",
                "Look whether the right image was chosen.",
            )


def check_prepared(array: np.ndarray) -> None:
    """Refuse network input with voxels that are not finite.

    Raises:
        InputError: there are such voxels.
    """
    count = array.size - int(np.count_nonzero(np.isfinite(array)))
    if count:
        raise InputError(
            f"The image holds voxels that are not finite ({count} of {array.size} after resampling).",
            "Re-export the image, or replace them by the value of the background.",
        )


def _sizes(values: Sequence[float]) -> str:
    """Numbers along ``(K, J, I)`` as people write them: the first image axis first."""
    return " x ".join(f"{value:.3g}" for value in reversed(values))


def _span(low: Sequence[float], high: Sequence[float]) -> str:
    """From one size to another; said once where they are the same."""
    return " to ".join(dict.fromkeys([_sizes(low), _sizes(high)]))
