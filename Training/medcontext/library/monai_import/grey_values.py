"""What MONAI's intensity transforms do to one channel, one after the other, as one normalisation of ours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from medcontext.errors import InputError
from medcontext.library.monai_import.config import Part
from medcontext.plan import Intensity

WIDEST = 1e30
"""A limit that no grey value reaches."""


@dataclass
class GreyValues:
    """``(clip(x, low, high) - shift) / width``, and then perhaps a statistic of the case.

    Attributes:
        low, high: limits in the units of the image.
        shift, width: what is subtracted, and the divisor.
        statistic: what comes after that: nothing, a z-score, or the range to 0..1.
        percentiles: what the statistic clips to.
        nonzero: whether only voxels that are not zero count.
    """

    low: float = -math.inf
    high: float = math.inf
    shift: float = 0.0
    width: float = 1.0
    statistic: Literal["none", "zscore", "rescale"] = "none"
    percentiles: tuple[float, float] | None = None
    nonzero: bool = False

    KNOWN: ClassVar[tuple[str, ...]] = (
        "ScaleIntensityRange",
        "ScaleIntensityRangePercentiles",
        "ScaleIntensity",
        "NormalizeIntensity",
        "ClipIntensityPercentiles",
        "ThresholdIntensity",
    )

    def apply(self, kind: str, step: Part) -> list[str]:
        """One transform more.

        Returns:
            Sentences on what is not quite the same here.

        Raises:
            InputError: what comes out is no normalisation of ours.
        """
        if self.statistic != "none":
            raise _unknown(kind, step, f"after a {self.statistic}")
        steps = {
            "ScaleIntensityRange": self._range,
            "ScaleIntensityRangePercentiles": self._percentile_range,
            "ScaleIntensity": self._whole_range,
            "NormalizeIntensity": self._normalise,
            "ClipIntensityPercentiles": self._clip_percentiles,
            "ThresholdIntensity": self._threshold,
        }
        return steps[kind](step)

    def intensity(self) -> Intensity:
        """The normalisation in our words.

        Raises:
            InputError: a fixed range is followed by a statistic, or percentiles by nothing.
        """
        clipped = math.isfinite(self.low) or math.isfinite(self.high)
        if self.statistic == "none":
            if self.percentiles is not None:
                raise InputError(
                    "Percentiles that are cut off and not followed by a normalisation are not known here."
                )
            if not clipped and (self.shift, self.width) == (0.0, 1.0):
                return Intensity(kind="none")
            low, high = max(self.low, -WIDEST), min(self.high, WIDEST)
            return Intensity(kind="ct", low=low, high=high, mean=self.shift, std=self.width)
        if clipped:
            raise InputError(
                f"A fixed range of grey values followed by a {self.statistic} is not known here."
            )
        percentiles = self.percentiles or (0.0, 100.0)
        return Intensity(kind=self.statistic, percentiles=percentiles, within_nonzero=self.nonzero)

    def _range(self, step: Part) -> list[str]:
        a_min, a_max = _number(step, "a_min"), _number(step, "a_max")
        b_min, b_max = step.get("b_min"), step.get("b_max")
        b_min, b_max = (0.0, 1.0) if b_min is None or b_max is None else (float(b_min), float(b_max))
        if not a_max > a_min or not b_max > b_min:
            raise _unknown("ScaleIntensityRange", step, f"from {a_min}..{a_max} to {b_min}..{b_max}")
        if self.percentiles is not None:
            raise _unknown("ScaleIntensityRange", step, "after percentiles")
        if step.get("clip", False):
            self._clip(a_min, a_max)
        width = (a_max - a_min) / (b_max - b_min)
        self._linear(a_min - b_min * width, width)
        return []

    def _percentile_range(self, step: Part) -> list[str]:
        self._rescale(step, "ScaleIntensityRangePercentiles", step.get("b_min"), step.get("b_max"))
        if step.get("relative", False):
            raise _unknown("ScaleIntensityRangePercentiles", step, "with relative percentiles")
        self.percentiles = (_number(step, "lower"), _number(step, "upper"))
        if step.get("clip", False):
            return []
        return ["Grey values beyond the percentiles are cut off here; the bundle lets them leave 0..1."]

    def _whole_range(self, step: Part) -> list[str]:
        if step.get("factor") is not None:
            raise _unknown("ScaleIntensity", step, "with a factor")
        self._rescale(step, "ScaleIntensity", step.get("minv", 0.0), step.get("maxv", 1.0))
        return []

    def _rescale(self, step: Part, kind: str, low: float | None, high: float | None) -> None:
        if (0.0 if low is None else low, 1.0 if high is None else high) != (0.0, 1.0):
            raise _unknown(kind, step, f"to {low}..{high} (only 0..1)")
        self.statistic = "rescale"

    def _normalise(self, step: Part) -> list[str]:
        subtrahend, divisor = step.get("subtrahend"), step.get("divisor")
        nonzero = bool(step.get("nonzero", False))
        if subtrahend is None and divisor is None:
            self.statistic, self.nonzero = "zscore", nonzero
            return [_NONZERO] if nonzero else []
        if subtrahend is None or divisor is None or nonzero or self.percentiles is not None:
            raise _unknown("NormalizeIntensity", step, "with half of a statistic")
        self._linear(_single(step, "subtrahend"), _single(step, "divisor"))
        return []

    def _clip_percentiles(self, step: Part) -> list[str]:
        if step.get("sharpness_factor") is not None or self.percentiles is not None:
            raise _unknown("ClipIntensityPercentiles", step, "with a soft edge or twice")
        lower, upper = step.get("lower"), step.get("upper")
        self.percentiles = (0.0 if lower is None else float(lower), 100.0 if upper is None else float(upper))
        return []

    def _threshold(self, step: Part) -> list[str]:
        limit, above, filled = _number(step, "threshold"), step.get("above", True), step.get("cval", 0.0)
        if filled != limit or self.percentiles is not None:
            raise _unknown("ThresholdIntensity", step, f"that puts {filled} beyond {limit}")
        self._clip(limit, math.inf) if above else self._clip(-math.inf, limit)
        return []

    def _clip(self, low: float, high: float) -> None:
        """Limits in the units that earlier steps left."""
        low, high = low * self.width + self.shift, high * self.width + self.shift
        self.low, self.high = max(self.low, low), min(self.high, high)

    def _linear(self, shift: float, width: float) -> None:
        self.shift, self.width = self.shift + shift * self.width, self.width * width


_NONZERO = (
    "Statistics are of all that is not zero, with the holes in it filled; the bundle leaves out every zero."
)


def _number(step: Part, name: str) -> float:
    value = step.get(name)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{step.file}: '{step.key}#{name}' must be a number, not {value}.")
    return float(value)


def _single(step: Part, name: str) -> float:
    """A number, or a list of one."""
    value = step.get(name)
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(value, int | float) or not math.isfinite(value) or (name == "divisor" and value <= 0):
        raise InputError(
            f"{step.file}: '{step.key}#{name}' must be one number for all channels, not {value}."
        )
    return float(value)


def _unknown(kind: str, step: Part, how: str) -> InputError:
    return InputError(f"{step.file}: {kind} {how} is no normalisation of MedContext ('{step.key}').")
