"""Settings of MedContext."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from medcontext.config import StrictModel
from medcontext.engine.config import EngineConfig
from medcontext.losses.config import ConsistencyNorm, DiceCrossEntropyConfig
from medcontext.masking.cells import MaskConfig


class TeacherConfig(StrictModel):
    """The averaged network that sees the clean view."""

    schedule: Literal["run", "linear_cosine"] = "run"
    """run: the engine's momentum min(m_max, 1 - 1/(t+1)); linear_cosine: base to 1 along a cosine."""
    base: float = Field(default=0.996, ge=0, le=1)
    """linear_cosine: momentum at the start."""
    warmup: int = Field(default=0, ge=0)
    """linear_cosine: steps of linear rise from 0 to base."""
    every: int = Field(default=1, ge=1)
    """Update once in so many steps."""
    fixed: float | None = Field(default=None, ge=0, le=1)
    """A constant momentum instead of a schedule."""
    eval_mode: bool = True
    """Teacher without dropout."""


class UnlabelledConfig(StrictModel):
    """What is learnt from scans without labels."""

    term: Literal["consistency", "pseudo", "mix"] = "mix"
    """consistency: the masked view must agree with the teacher's clean one; pseudo: the teacher's labels are
    targets of the masked view; mix: what the mask hides is filled with another scan, in both directions, and the
    student must rebuild the hidden organ in segmentation space."""
    weight: float = Field(default=0.5, ge=0)
    """Weight of the unlabelled voxels once ramped up."""
    ramp: float = Field(default=0.1, ge=0, le=1)
    """Share of all steps over which the weight rises from zero."""
    start: float = Field(default=0.5, ge=0, lt=1)
    """Share of the steps trained on labels alone: a teacher that has not converged teaches its mistakes."""
    least_steps: int = Field(default=600, ge=0)
    """Steps on labels alone before other scans join, whatever ``start``; a shorter run leaves them out. In trials
    on five cases mixing from a teacher of 300 steps cost about 0.02 Dice, from one of 730 steps nothing."""
    restart: float = Field(default=0.67, gt=0)
    """Factor on the learning rate when unlabelled scans join."""
    mask: MaskConfig = MaskConfig(ratio=0.3, geometry="block", cell=1)
    """mix: the box that is exchanged; 0.3 of the volume is two thirds of each side."""
    margin: float = Field(default=0.5, ge=0, le=1)
    """Pseudo-label voxels whose two best structures differ by less than this in probability are ignored."""


class MedContextConfig(StrictModel):
    """Settings of MedContext; the defaults were chosen by experiment (docs/methods/medcontext.md)."""

    engine: EngineConfig = EngineConfig()
    segmentation: DiceCrossEntropyConfig = DiceCrossEntropyConfig()
    views: Literal["split", "paired"] = "split"
    """split: part of each batch is masked (costs one forward); paired: every patch is seen clean and masked."""
    masked_weight: float = Field(default=1.0, ge=0)
    """alpha: weight of the supervised loss of the masked view."""
    consistency_weight: float = Field(default=0.1, ge=0)
    """beta: weight of the consistency with the teacher."""
    consistency_norm: ConsistencyNorm = "prob"
    consistency_region: Literal["all", "masked"] = "all"
    mask_space: Literal["auto", "token", "input"] = "auto"
    """token: hide the network's embedding (first features of a CNN); input: hide voxels; auto: tokens where the
    network has them, voxels for a CNN, whose first features already look two voxels past the mask."""
    mask: MaskConfig = MaskConfig(ratio=0.3, geometry="random", cell=8)
    mask_per_sample: bool = True
    """A mask of its own for each patch, or one for the whole batch."""
    mask_before_position: bool = True
    mask_image_skips: bool = True
    average_two_supervised: bool = False
    """paired: halve the sum of both supervised losses."""
    predictor: Literal["ema", "student"] = "ema"
    """Which network is delivered."""
    teacher: TeacherConfig = TeacherConfig()
    unlabelled: UnlabelledConfig = UnlabelledConfig()

    @model_validator(mode="after")
    def _one_mask_needs_pairs(self) -> MedContextConfig:
        if self.average_two_supervised and self.views == "split":
            raise ValueError("average_two_supervised needs views=paired")
        return self
