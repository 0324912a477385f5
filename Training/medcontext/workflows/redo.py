"""A region of an image segmented again in another way."""

from __future__ import annotations

from typing import Literal

import numpy as np

from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.inference.certainty import CertaintyKind
from medcontext.inference.focus import Focus
from medcontext.inference.predictor import Prediction, Predictor

Form = Literal["finer", "context", "model"]


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
        InputError: the region does not fit the image or is empty, or the image does not fit the model.
        CancelledError: someone asked to stop.
        ResourceError: memory ran out.
    """
    focus = Focus(region, finer=form == "finer", hidden=form == "context")
    return predictor.predict(image, focus=focus, certainty=certainty, frugal=frugal, reporter=reporter)
