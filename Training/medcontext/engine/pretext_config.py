"""What every way to learn from scans without labels is told about those scans."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from medcontext.config import StrictModel
from medcontext.engine.config import EngineConfig, OptimiserConfig
from medcontext.plan import Intensity, Size, Spacing

LEAST_SIDE = 8
"""Voxels below which a side of a crop shows nothing."""


class PretextConfig(StrictModel):
    """Settings that all methods of pre-training share. Per-axis values are ``(K, J, I)``."""

    engine: EngineConfig = EngineConfig(
        optimiser=OptimiserConfig(learning_rate=1e-3, weight_decay=0.01, warmup=0.05)
    )
    crop_size: PositiveInt | tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    """Voxels of a crop as the network sees it; suits scans, network and device when not given."""
    spacing: PositiveFloat | tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    """Millimetres of a voxel that scans are resampled to; suits the scans when not given."""
    resize_volume: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    """Voxels that each whole scan is brought to instead, whatever its size in mm."""
    window: tuple[float, float] | None = None
    """Grey values that become 0 and 1, such as [-175, 250] for CT; when not given, each scan is brought to mean 0 and
    deviation 1, which any modality can be."""
    foreground: float | None = Field(default=0.1, ge=0, le=1)
    """Scans are cut to the box of what is brighter than this share of the way from the darkest to the brightest voxel;
    null keeps all."""

    @model_validator(mode="after")
    def _usable(self) -> PretextConfig:
        if self.window is not None and self.window[0] >= self.window[1]:
            raise ValueError("the first value of window must be below the second")
        if self.crop is not None and min(self.crop) < LEAST_SIDE:
            raise ValueError(f"a side of crop_size needs at least {LEAST_SIDE} voxels")
        return self

    @property
    def crop(self) -> Size | None:
        """Voxels of a crop."""
        return (self.crop_size,) * 3 if isinstance(self.crop_size, int) else self.crop_size

    @property
    def millimetres(self) -> Spacing | None:
        """Spacing in mm."""
        return (self.spacing,) * 3 if isinstance(self.spacing, float) else self.spacing

    @property
    def intensity(self) -> Intensity | None:
        """How grey values are normalised; None where the data decide."""
        if self.window is None:
            return None
        low, high = self.window
        return Intensity(kind="ct", low=low, high=high, mean=low, std=high - low)

    @property
    def crops_of_a_scan(self) -> int:
        """Crops that a step cuts out of each scan."""
        return 1

    @property
    def cell_size(self) -> Size | None:
        """Voxels of the prepared scan in a crop along (K, J, I); None: as many as the network sees."""
        return None

    def region(self, crop: Size) -> Size:
        """Voxels that a scan must have on each axis, prepared; a smaller one is enlarged.

        Args:
            crop: voxels of a crop as the network sees it.
        """
        return crop

    @property
    def fewest(self) -> Size:
        """Voxels that a scan must have on each axis as it was acquired; one with fewer cannot be used."""
        return (LEAST_SIDE,) * 3
