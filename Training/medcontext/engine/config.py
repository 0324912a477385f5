"""Settings of the training loop that every method shares."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from medcontext.config import StrictModel
from medcontext.data.augment.config import AugmentConfig
from medcontext.data.sampling import FOREGROUND_SHARE

CHECKPOINT = "checkpoint.pt"
"""File in a run's folder from which a stopped run goes on."""

CURVE = "curve.png"
"""File in a run's folder that shows the loss and the Dice of held-out cases over the steps."""

MONITORED = 3
"""Held-out cases that are segmented while training; more would cost time that training needs."""


class OptimiserConfig(StrictModel):
    """Optimiser and learning-rate schedule."""

    name: Literal["adamw", "sgd"] = "adamw"
    """sgd as momentum and nesterov say; their defaults are nnU-Net's choice."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Peak learning rate; 3e-3 with AdamW learns from few cases where 1e-3 lost a class."""
    momentum: float = Field(default=0.99, ge=0, lt=1)
    """sgd: share of the last step that the next one repeats."""
    nesterov: bool = True
    """sgd: look ahead along the momentum (no difference where that is 0)."""
    amsgrad: bool = False
    """adamw: divide by the largest second moment so far."""
    weight_decay: float = Field(default=1e-4, ge=0)
    gradient_clip: float = Field(default=12.0, gt=0)
    """Largest norm of the gradient of all parameters."""
    schedule: Literal["cosine", "poly", "constant"] = "cosine"
    """cosine to zero, (1 - progress) ** 0.9, or the peak all the time."""
    warmup: float = Field(default=0.02, ge=0, lt=1)
    """Share of a stage with linearly rising learning rate."""


class EngineConfig(StrictModel):
    """What the loop does, whatever the method."""

    optimiser: OptimiserConfig = OptimiserConfig()
    augment: AugmentConfig = AugmentConfig()
    foreground_share: float = Field(default=FOREGROUND_SHARE, ge=0, le=1)
    """Share of the patches centred on an annotated structure."""
    ema_maximum: float | None = Field(default=None, gt=0, lt=1)
    """Largest momentum of the averaged weights; clip(1 - 10 / steps, 0.99, 0.9995) when not given."""
    validations: int = Field(default=8, ge=1)
    """How often held-out cases are segmented, where there are any."""
    checkpoint_seconds: float = Field(default=20.0, gt=0)
    """Time between checkpoints; longer where saving one would take more than a small share of it."""
    trained_share: float = Field(default=1.0, gt=0, le=1)
    """Delivered is a mean of the trained weights, which have this share, and of those that training began with."""
