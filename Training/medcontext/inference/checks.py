"""Whether an image fits a model; what does not fit is said before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medcontext.card_schema import ModelCard
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Volume

LARGEST_FIELD_OF_VIEW = 2.0
"""An image larger than the training images by more than this on two axes shows anatomy never seen."""

SPACING_FACTOR = 2.0
"""Spacing beyond the trained range by more than this is warned of."""


def check_image(image: Volume, card: ModelCard, boxed: bool, reporter: Reporter) -> None:
    """Check channels, extent and spacing of an image.

    Args:
        image: the image as it was read.
        card: the model.
        boxed: whether the prediction is restricted to a region of interest.
        reporter: is warned of unusual spacing.

    Raises:
        InputError: the channel count differs, or the image is far larger than those the model was trained on.
    """
    channels = card.input.channels
    if image.channels != len(channels):
        names = ", ".join(f"{channel.name} ({channel.modality})" for channel in channels)
        raise InputError(
            f"The image has {image.channels} channel(s), the model '{card.title}' needs {len(channels)}: "
            f"{names}.",
            "Give one file for each channel, in that order.",
        )
    permutation, _flips = image.geometry.reorientation(card.input.orientation)
    spacing = [image.spacing[axis] for axis in permutation]
    extent = [image.shape[axis] * image.spacing[axis] for axis in permutation]
    _check_extent(extent, card, boxed)
    low, high = card.input.range.spacing
    if any(
        s < a / SPACING_FACTOR or s > b * SPACING_FACTOR for s, a, b in zip(spacing, low, high, strict=True)
    ):
        reporter.warning(
            f"The image has a spacing of {_sizes(spacing)} mm, the model was trained on {_sizes(low)} to "
            f"{_sizes(high)} mm: look closely at the result."
        )


def _check_extent(extent: Sequence[float], card: ModelCard, boxed: bool) -> None:
    low, high = card.input.range.field_of_view
    larger = [e > LARGEST_FIELD_OF_VIEW * limit for e, limit in zip(extent, high, strict=True)]
    if boxed or sum(larger) < 2:
        return
    expected = _sizes([(a + b) / 2 for a, b in zip(low, high, strict=True)])
    raise InputError(
        f"The image measures {_sizes(extent)} mm; the model '{card.title}' was trained on images of about "
        f"{expected} mm (at most {_sizes(high)} mm).",
        "Give a region of interest (--roi) of that size around the structure to segment.",
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
