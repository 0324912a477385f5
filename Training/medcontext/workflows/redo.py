"""A region of an image segmented again in another way."""

from __future__ import annotations

from typing import Literal

import numpy as np

from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.inference.certainty import CertaintyKind
from medcontext.inference.focus import Focus
from medcontext.inference.predictor import Prediction, Predictor
from medcontext.redo_forms import FORMS

Form = Literal["finer", "context", "model"]

LARGEST_HIDDEN_MM = 20.0
"""A region wider than this on all axes is warned of when it is hidden (results/redo.json, by size of the region)."""


def redo(
    predictor: Predictor,
    image: Volume,
    region: np.ndarray,
    form: Form,
    *,
    certainty: CertaintyKind = "none",
    frugal: bool = False,
    reporter: Reporter | None = None,
) -> Prediction:
    """Segment a region again; the result is zero outside of it.

    Args:
        predictor: the model; for the form ``model`` the other one.
        image: the whole image, ``(C, K, J, I)``.
        region: bool ``(K, J, I)`` on the grid of the image.
        form: ``finer`` (windows centred on the region, more of them), ``context`` (the image inside the region is
            hidden from the network) or ``model`` (as always, by another model).
        certainty: none, entropy or masked.
        frugal: use as little memory as possible from the start.
        reporter: gets progress and warnings, and is asked whether to stop.

    Raises:
        InputError: there is no such form, the region does not fit the image, is empty or hides all of it, or the
            image does not fit the model.
        CancelledError: someone asked to stop.
        ResourceError: memory ran out.
    """
    known = [entry.id for entry in FORMS]
    if form not in known:
        raise InputError(f"A region cannot be done again as '{form}'.", f"Allowed: {', '.join(known)}.")
    reporter = reporter or Reporter()
    focus = Focus(region, finer=form == "finer", hidden=form == "context")
    width = _smallest_side_mm(focus, image)
    if focus.hidden and width > LARGEST_HIDDEN_MM:
        reporter.warning(
            f"The region is {width:.0f} mm wide: the larger it is, the less its surroundings say about it. "
            "Look closely at the result."
        )
    return predictor.predict(image, focus=focus, certainty=certainty, frugal=frugal, reporter=reporter)


def _smallest_side_mm(focus: Focus, image: Volume) -> float:
    sides = zip(focus.box(image), image.spacing, strict=True)
    return min((part.stop - part.start) * mm for part, mm in sides)
