"""Settings of masked-volume reconstruction."""

from __future__ import annotations

from pydantic import PositiveInt, model_validator

from medcontext.data.augment.config import AugmentConfig
from medcontext.engine.config import EngineConfig, OptimiserConfig
from medcontext.engine.pretext_config import PretextConfig
from medcontext.masking.cells import MaskConfig


def light_changes() -> AugmentConfig:
    """Crops are mirrored, brighter or darker; what is to be rebuilt is the changed crop."""
    off = AugmentConfig.preset("none")
    return off.model_copy(
        update={"flip_probability": 0.5, "brightness_probability": 0.3, "offset_probability": 0.3}
    )


class MaeConfig(PretextConfig):
    """Settings of masked-volume reconstruction.

    All of ``engine.augment`` works; crops are mirrored along every axis, for there are no sides to confuse.
    """

    engine: EngineConfig = EngineConfig(
        optimiser=OptimiserConfig(learning_rate=3e-3, weight_decay=0.01, warmup=0.05), augment=light_changes()
    )
    """After 150 steps on eleven scans hidden voxels of three others had 0.51 of the mean's error at a learning rate of
    3e-3, 0.57 at 1e-3 (dynunet)."""
    crops: PositiveInt = 2
    """Crops of each scan in a step."""
    mask: MaskConfig = MaskConfig(ratio=0.6, geometry="random", cell=8)
    """What is hidden. Cells grow to whole tokens where the network looks at tokens, such as 16 voxels for UNETR."""
    normalise_cells: bool = False
    """Rebuild each cell with its own mean and deviation taken away: texture instead of brightness."""
    width: PositiveInt = 16
    """Channels of the layers that rebuild the voxels; they are thrown away afterwards."""

    @property
    def crops_of_a_scan(self) -> int:
        """Crops that a step cuts out of each scan."""
        return self.crops

    @model_validator(mode="after")
    def _something_hidden_and_something_seen(self) -> MaeConfig:
        if not 0 < self.mask.ratio < 1:
            raise ValueError("mask.ratio must lie between 0 and 1: something is hidden and something is seen")
        return self
