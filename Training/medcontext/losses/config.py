"""Which losses there are and their settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from medcontext.config import StrictModel

ConsistencyNorm = Literal["relative", "frobenius", "mean", "prob", "kl"]


class DiceCrossEntropyConfig(StrictModel):
    """Which Dice; the defaults are nnU-Net's with the sums taken over the batch."""

    include_background: bool = False
    """Whether background counts as a class of the Dice term."""
    squared: bool = False
    """Squared probabilities and labels in the denominator (V-Net form)."""
    batch: bool = True
    """Dice of the whole batch instead of the mean over samples."""
    smooth_numerator: float = 1e-5
    smooth_denominator: float = 1e-5
    dice_weight: float = Field(default=1.0, ge=0)
    cross_entropy_weight: float = Field(default=1.0, ge=0)
