"""Saved configurations of MedContext."""

from __future__ import annotations

from medcontext.data.augment.config import AugmentConfig
from medcontext.engine.config import EngineConfig, OptimiserConfig
from medcontext.losses.config import DiceCrossEntropyConfig
from medcontext.masking.cells import MaskConfig
from medcontext.methods.medcontext.config import MedContextConfig, TeacherConfig

NAMES = ("default", "repo")

REPO_MOMENTUM = 0.0188343
"""Where the authors' schedule stands when it is read: index 17 of a 50-epoch warm-up, once an epoch of 18 batches."""


def preset(name: str) -> MedContextConfig:
    """``default``: what users get; ``repo``: what the authors' UNETR training computes, quirks included."""
    if name == "default":
        return MedContextConfig()
    return MedContextConfig(
        engine=EngineConfig(
            optimiser=OptimiserConfig(learning_rate=1e-4, weight_decay=1e-5, warmup=0.01, gradient_clip=1e6),
            augment=AugmentConfig.preset("none"),
            foreground_share=0.5,
        ),
        segmentation=DiceCrossEntropyConfig(
            include_background=True, squared=True, batch=False, smooth_numerator=0.0, smooth_denominator=1e-6
        ),
        views="paired",
        masked_weight=1.0,
        consistency_weight=0.5,
        consistency_norm="frobenius",
        mask_space="token",
        mask=MaskConfig(ratio=0.6, geometry="tube", tube_axis=2, cell=16),
        mask_per_sample=False,
        mask_before_position=False,
        mask_image_skips=False,
        predictor="student",
        teacher=TeacherConfig(fixed=REPO_MOMENTUM, every=18, eval_mode=False),
    )
