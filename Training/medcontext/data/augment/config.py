"""What augmentation may do, as data: a probability and a range for each change."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from medcontext.config import StrictModel


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] <= value[1]:
        raise ValueError("the first number must not be larger than the second")
    return value


Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
FactorRange = Annotated[tuple[Positive, Positive], AfterValidator(_ordered)]
AmountRange = Annotated[tuple[NotNegative, NotNegative], AfterValidator(_ordered)]
Axis = Annotated[int, Field(ge=0, le=2)]


class AugmentConfig(StrictModel):
    """Probabilities and ranges of every augmentation. Per-axis values are in array order (K, J, I).

    Factors are drawn log-uniformly, so that 1/2 is as likely as 2; amounts uniformly. Intensities are those
    of normalised images (standard deviation about 1). The defaults are meant for training on few MR cases.
    """

    rotation_probability: Probability = 0.5
    """Probability of a rotation."""
    rotation_degrees: tuple[NotNegative, NotNegative, NotNegative] = (15.0, 15.0, 15.0)
    """Largest angle about each array axis, in degrees."""
    rotation_axes: list[Axis] | None = None
    """Array axes to rotate about; None: all three, or the coarse axis alone (rotation within the fine plane)
    where the spacing differs by more than a factor of 3."""
    scale_probability: Probability = 0.5
    """Probability of a change of size."""
    scale: FactorRange = (0.85, 1.2)
    """Magnification; above 1 anatomy becomes larger."""
    scale_per_axis_share: Probability = 0.3
    """Of those, how many get a magnification of their own on each axis."""
    elastic_probability: Probability = 0.5
    """Probability of an elastic deformation."""
    elastic_sd: AmountRange = (0.5, 2.0)
    """Standard deviation of the displacement at the control points, in voxels of the finest axis; an axis is
    held below 0.2 of the distance of its control points, beyond which tissue would fold over."""
    elastic_points: tuple[int, int, int] | None = None
    """Control points per axis; None: about one every 10 voxels, from 4 to 9: 5x7x5 for 40x56x40 voxels."""
    translation_probability: Probability = 0.3
    """Probability of a shift beyond where the patch was cut."""
    translation: NotNegative = 0.05
    """Largest shift as a share of the patch size."""
    flip_probability: Probability = 0.5
    """Probability of mirroring, for each axis that the plan allows."""

    gamma_probability: Probability = 0.3
    """Probability of a gamma curve; mean and standard deviation of the patch are kept."""
    gamma: FactorRange = (0.7, 1.5)
    """Exponent on intensities brought to 0..1."""
    gamma_inverted_share: Probability = 0.3
    """Of the gamma curves, how many are applied to the negative of the image."""
    brightness_probability: Probability = 0.3
    """Probability of multiplying intensities."""
    brightness: FactorRange = (0.75, 1.3)
    """Factor on intensities."""
    offset_probability: Probability = 0.2
    """Probability of adding a constant."""
    offset: NotNegative = 0.3
    """Largest constant added or subtracted."""
    contrast_probability: Probability = 0.3
    """Probability of spreading or squeezing intensities about their mean, within their range."""
    contrast: FactorRange = (0.7, 1.4)
    """Factor on the distance from the mean."""
    bias_probability: Probability = 0.3
    """Probability of a smooth multiplicative field like that of a receive coil."""
    bias_sd: AmountRange = (0.05, 0.3)
    """Standard deviation of the logarithm of the gain at the 3x3x3 control points."""
    noise_probability: Probability = 0.25
    """Probability of Gaussian noise."""
    noise_sd: AmountRange = (0.02, 0.2)
    """Standard deviation of the noise."""
    low_resolution_probability: Probability = 0.2
    """Probability of sampling down and back up."""
    low_resolution: FactorRange = (1.2, 2.0)
    """How much larger voxels become (at least 1)."""
    low_resolution_single_axis_share: Probability = 0.3
    """Of those, how many coarsen one axis alone, like thick slices."""
    blur_probability: Probability = 0.15
    """Probability of a Gaussian blur."""
    blur_sigma: AmountRange = (0.4, 1.0)
    """Standard deviation of the blur in voxels."""

    @classmethod
    def preset(cls, name: Literal["none", "default"] = "default") -> AugmentConfig:
        """A saved configuration: ``default``, or ``none``, which changes nothing."""
        if name == "none":
            off = {field: 0.0 for field in cls.model_fields if field.endswith("_probability")}
            return cls.model_validate(off)
        return cls()
