"""Whether a scan is of the kind that a data set says it holds."""

from __future__ import annotations

import re
from collections.abc import Sequence

from medcontext.geometry import Volume

_KINDS = (
    ("CT", r"\b(ct|cta|computed tomography)\b"),
    ("MR", r"\b(mr|mri|mra|magnetic resonance|t1|t1w|t1c|t2|t2w|flair|adc|dwi)\b"),
    ("PT", r"\b(pt|pet)\b"),
    ("US", r"\b(us|ultrasound)\b"),
)

AIR = -900.0
"""Hounsfield units below which there is air only; magnetic resonance has no such values."""


def kind_of(modality: str) -> str:
    """The DICOM word for a modality named in words: CT, MR, PT or US; empty where it is none of them."""
    text = modality.lower().replace("_", " ").replace("-", " ")
    return next((kind for kind, pattern in _KINDS if re.search(pattern, text)), "")


def other_modality(given: str, channels: Sequence[tuple[str, str]]) -> str:
    """What is wrong with a scan of modality ``given`` in a data set of these channels; empty when nothing is known.

    Args:
        given: of the scan, as DICOM or a person says it.
        channels: of the data set, as (name, modality).
    """
    kind = kind_of(given)
    known = {kind_of(modality) for _, modality in channels} - {""}
    if not kind or not known or kind in known:
        return ""
    return f"It is a {given} image; the data set holds {' and '.join(sorted(m for _, m in channels))}."


def unlearnt_modality(given: str, learnt: Sequence[str]) -> str:
    """What is wrong with a series of modality ``given`` for a model that learnt from others; else empty.

    Nothing is said where either is unknown.

    Args:
        given: Modality of the DICOM header.
        learnt: what the model's card says of its channels.
    """
    kind = kind_of(given)
    known = sorted({kind_of(modality) for modality in learnt} - {""})
    if not kind or not known or kind in known:
        return ""
    return f"The series is {kind}; the model learnt from {' and '.join(known)}."


def odd_values(image: Volume, channels: Sequence[tuple[str, str]]) -> str:
    """What makes an image's values unlikely for the modality of a channel, in one sentence; else empty."""
    for array, (name, modality) in zip(image.array, channels, strict=False):
        low, high = float(array.min()), float(array.max())
        kind = kind_of(modality)
        span = f"its values go from {low:.6g} to {high:.6g}"
        if kind == "CT" and low >= 0 and high > 0:
            return f"Channel {name} does not look like a CT in Hounsfield units: {span}."
        if kind == "MR" and low < AIR:
            return f"Channel {name} looks like a CT, not like {modality}: {span}."
    return ""
