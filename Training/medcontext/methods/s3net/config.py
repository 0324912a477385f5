"""Settings of S3-Net."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator, model_validator

from medcontext.config import StrictModel
from medcontext.engine.config import EngineConfig, OptimiserConfig

Share = float

SGD = OptimiserConfig(
    name="sgd",
    learning_rate=0.1,
    momentum=0.9,
    nesterov=False,
    weight_decay=0.0,
    gradient_clip=1e6,
    schedule="cosine",
    warmup=0.0,
)
"""The published program's at half its rate, falling to zero: at a constant rate the answer of one seed in five drifted
away from the groups of colour. A gradient is never as large as what it is clipped to."""


class ChangesConfig(StrictModel):
    """How the image is changed at random before the other head sees it."""

    turn: float = Field(default=180.0, ge=0, le=180)
    """Largest angle, in degrees; in 3D in one plane of the array, chosen at random."""
    flip: Share = Field(default=0.5, ge=0, le=1)
    """Probability to be mirrored, for each axis."""
    scale: Share = Field(default=0.2, ge=0, lt=1)
    """Largest share by which the image shrinks or grows."""


class S3NetConfig(StrictModel):
    """Settings of S3-Net; the defaults are the preset default."""

    engine: EngineConfig = EngineConfig(optimiser=SGD)

    size: int = Field(default=64, ge=16, le=1024)
    """Pixels along the longer side of what the network sees of a picture or slice; smaller ones stay as they are."""
    size_3d: int = Field(default=32, ge=16, le=96)
    """Voxels along the longest side of what it sees of a volume. A run on a CT box of 96^3 takes 14 s of a core at 32;
    at 64 it takes 100 s, and fat, muscle and organs become one."""
    square: bool = False
    """Always size x size pixels, whatever the shape and size of the picture, as the published program."""
    colour: Literal["rgb", "lab"] = "lab"
    """What a picture of three channels is turned into; CIE L*a*b* tells colours apart about as people do."""
    normalise: Literal["channel", "standard", "byte"] = "channel"
    """channel: mean 0 and standard deviation 1 of each channel; standard: over all channels, whose differences stay;
    byte: divided by 255 where nothing is above that and below zero, else stretched to 0..1."""
    outliers: Share = Field(default=0.005, ge=0, lt=0.5)
    """Share of the values at each end of a channel that become the next one, such as those of metal."""
    contrast: Share = Field(default=0.012, ge=0, lt=0.5)
    """Blur, as a share of the longest side, of a further channel: how much the first one varies around a voxel (3
    pixels of 256). Without it a lesion that differs by its grain is missed. 0: no such channel."""

    channels: PositiveInt = 24
    """Of everything inside the network."""
    clusters: int = Field(default=2, ge=2, le=64)
    """Classes that the voxels are grouped into at most."""
    blocks: int = Field(default=1, ge=0)
    """Of attention."""
    deformation: Literal["static", "predicted", "off"] = "predicted"
    """Of the last convolution: static (offsets are parameters of each pixel), predicted (a convolution says them) or
    off; in 3D it is always off."""
    balanced: bool = True
    """The batch norm of the logits learns no scale and no shift, so that no cluster can take every voxel and the
    others none; with them two clusters became one within 30 iterations."""

    start: Literal["random", "colours"] = "colours"
    """What the clusters are at first: whatever the first weights make of the image (random, the published program), or
    groups of colour by k-means, which the network learns before it follows its own clusters. From random weights the
    Dice of one click on a picture of the skin was anything from 0.4 to 0.9, by the seed alone."""
    start_iterations: int = Field(default=10, ge=0)
    """That the groups of colour are learnt for."""
    start_blur: Share = Field(default=0.04, ge=0, lt=0.5)
    """Blur of the image that they are found in, as a share of the longest side."""
    own: Literal["largest", "nearest"] = "nearest"
    """The network's own cluster of a voxel: that of the largest logit, or the one whose mean logits are nearest."""

    w_start: NonNegativeFloat = 1.0
    """Weight of the cross-entropy to the groups of colour once the network follows its own clusters."""
    w_self: NonNegativeFloat = 1.0
    """Weight of the cross-entropy to the network's own clusters."""
    w_affine: NonNegativeFloat = 0.2
    """Weight of the agreement of the other head with these clusters."""
    w_spatial: NonNegativeFloat = 0.6
    """Weight of what makes clusters compact."""
    transform: Literal["output", "input"] = "input"
    """Under which change the other head must agree: of the image (input), or a quarter turn of the output, which
    changes nothing (output; the published program)."""
    changes: ChangesConfig = ChangesConfig()
    """Of the image, for transform input."""
    spatial: Literal["sobel_labels", "total_variation", "soft_sobel"] = "total_variation"
    """total_variation of the logits, soft_sobel of the probabilities, or sobel_labels: of the clusters in random
    colours, which has no gradient (the published program)."""

    most_iterations: PositiveInt = 30
    """The run ends after so many."""
    least_iterations: PositiveInt = 5
    """No stop rule ends it before so many were done."""
    least_clusters: PositiveInt = 1
    """It ends when so few clusters are left, or fewer."""
    settled_share: Share = Field(default=0.0, ge=0, lt=1)
    """It ends when at most this share of the voxels changed cluster in an iteration; 0: it does not end for that."""
    bn_eval: bool = False
    """The answer uses running means of batch norm, instead of the statistics of the image."""

    @field_validator("deformation", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: Any) -> Any:
        return "off" if value is False else value  # which YAML takes for no

    @model_validator(mode="after")
    def _fits_together(self) -> S3NetConfig:
        if self.deformation == "static" and not self.square:
            raise ValueError("static offsets belong to one image size: set square, or another deformation")
        if self.least_iterations > self.most_iterations:
            raise ValueError("least_iterations must not be more than most_iterations")
        if not self.w_self + self.w_affine:
            raise ValueError("w_self or w_affine must be above zero, else there are no clusters to learn")
        return self
