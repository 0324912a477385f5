"""The image channels of an nnU-Net and how their grey values become network input."""

from __future__ import annotations

from collections.abc import Sequence

from medcontext.data.modality import kind_of
from medcontext.errors import InputError
from medcontext.library.nnunet.plans import Configuration, Plans
from medcontext.plan import Channel, Intensity

_SCHEMES = {
    "CTNormalization": "ct",
    "ZScoreNormalization": "zscore",
    "NoNormalization": "none",
    "RescaleTo01Normalization": "rescale",
    "RGBTo01Normalization": "rgb",
}
_SMALLEST_DEVIATION = 1e-8
"""nnU-Net divides by no less."""

_WHOLE_RANGE = (0.0, 100.0)
_MODALITIES = {"CT": "CT", "MR": "MRI", "PT": "PET", "US": "ultrasound"}


def read_channels(names: Sequence[str], plans: Plans, found: Configuration, source: str) -> list[Channel]:
    """One for each name, with nnU-Net's normalisation of it.

    Raises:
        InputError: a scheme is not known here, its numbers are missing, or there are more or fewer schemes than names.
    """
    schemes = found.normalization_schemes
    if len(names) != len(schemes):
        raise InputError(
            f"{source} normalises {len(schemes)} channels, and the data set has {len(names)}: {', '.join(names)}."
        )
    channels = []
    for number, (name, scheme) in enumerate(zip(names, schemes, strict=True)):
        kind = _SCHEMES.get(scheme)
        if kind is None:
            raise InputError(
                f"The normalisation '{scheme[:120]}' of channel {number} ({name}) in {source} is not known here.",
                f"Known are {', '.join(_SCHEMES)}.",
            )
        intensity = _intensity(kind, number, plans, found.use_mask_for_norm[number], source)
        channels.append(Channel(name=name, modality=_modality(name, kind), intensity=intensity))
    return channels


def _intensity(kind: str, number: int, plans: Plans, masked: bool, source: str) -> Intensity:
    if kind == "ct":
        seen = plans.intensities(number, source)
        std = max(seen.std, _SMALLEST_DEVIATION)
        return Intensity(
            kind="ct", low=seen.percentile_00_5, high=seen.percentile_99_5, mean=seen.mean, std=std
        )
    if kind == "rgb":
        return Intensity(kind="ct", low=0.0, high=255.0, mean=0.0, std=255.0)
    if kind == "zscore":
        return Intensity(kind="zscore", percentiles=_WHOLE_RANGE, within_nonzero=masked)
    return Intensity(kind="none") if kind == "none" else Intensity(kind="rescale", percentiles=_WHOLE_RANGE)


def _modality(name: str, kind: str) -> str:
    """What the name of a channel says, such as ``T1w``; else what its normalisation gives away."""
    return _MODALITIES.get(kind_of(name)) or ("CT" if kind == "ct" else "unknown")
