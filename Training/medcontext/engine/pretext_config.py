"""What every way to learn from scans without labels is told about those scans."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from medcontext.config import StrictModel
from medcontext.engine.config import EngineConfig, OptimiserConfig
from medcontext.plan import Size, Spacing


class PretextConfig(StrictModel):
    """Settings that all methods of pre-training share."""

    engine: EngineConfig = EngineConfig(
        optimiser=OptimiserConfig(learning_rate=1e-3, weight_decay=0.01, warmup=0.05)
    )
    crop_size: PositiveInt | tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    """Voxels of a crop as the network sees it, one number or (K, J, I); suits scans, network and device when not
    given."""
    spacing: PositiveFloat | tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    """Millimetres of a voxel, one number or (K, J, I), that scans are resampled to; suits the scans when not given."""
    window: tuple[float, float] | None = None
    """Grey values that become 0 and 1, such as [-175, 250] for CT; by the scan's own mean and deviation when not
    given, which any modality can do."""
    foreground: float | None = Field(default=None)
    """Where the patient begins: grey values above this, before they are normalised. Found for each scan when not
    given."""

    @model_validator(mode="after")
    def _window_opens_upwards(self) -> PretextConfig:
        if self.window is not None and self.window[0] >= self.window[1]:
            raise ValueError("the first value of window must be below the second")
        return self

    @property
    def crop(self) -> Size | None:
        """Crop size along (K, J, I)."""
        return (self.crop_size,) * 3 if isinstance(self.crop_size, int) else self.crop_size

    @property
    def millimetres(self) -> Spacing | None:
        """Spacing along (K, J, I)."""
        if isinstance(self.spacing, float):
            return (self.spacing,) * 3
        return self.spacing
