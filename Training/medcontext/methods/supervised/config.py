"""Settings of supervised training."""

from __future__ import annotations

from medcontext.config import StrictModel
from medcontext.engine.config import EngineConfig
from medcontext.losses.config import DiceCrossEntropyConfig


class SupervisedConfig(StrictModel):
    """Settings of supervised training."""

    engine: EngineConfig = EngineConfig()
    segmentation: DiceCrossEntropyConfig = DiceCrossEntropyConfig()
