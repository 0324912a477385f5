"""The first stage of a prediction: from an image to what the network sees. It needs the model's card alone.

It may run in another thread while the network works on another image.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from medcontext.card_schema import ModelCard
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.inference.checks import check_image, check_prepared
from medcontext.inference.focus import Box, Focus
from medcontext.inference.region import Region, check_box, prepare_region


@dataclass(frozen=True)
class PreparedImage:
    """An image on the model's grid.

    Attributes:
        geometry: grid of the image as it was given.
        region: what the network sees, and the way back.
        focus: the mask that the result is restricted to, or None.
        whole: whether all of the image, or of the box, is looked at.
        seconds: how long preparing took.
    """

    geometry: Geometry
    region: Region
    focus: Focus | None
    whole: bool
    seconds: float


@torch.inference_mode()
def prepare(
    image: Volume,
    card: ModelCard,
    *,
    box: Box | None = None,
    focus: Focus | None = None,
    part: Box | None = None,
    reporter: Reporter | None = None,
) -> PreparedImage:
    """Check an image and bring it to the grid of a model; arguments as of ``Predictor.predict``.

    Raises:
        InputError: the image does not fit the model; the sentence says what is needed.
    """
    reporter, began = reporter or Reporter(), time.perf_counter()
    if box is not None and focus is not None:
        raise InputError("A prediction is restricted to a box or to a mask, not to both.")
    inside = focus.box(image) if focus is not None else check_box(image, box) if box is not None else None
    check_image(image, card, inside, reporter)
    reporter.progress("preprocess", 0)
    region = prepare_region(image, card, box, focus, part)
    check_prepared(region.image)
    reporter.progress("preprocess", 1)
    whole = focus is None and part is None
    return PreparedImage(image.geometry, region, focus, whole, time.perf_counter() - began)
