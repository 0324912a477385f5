"""Augmentation in two steps: draw the parameters of a sample, then apply them to a batch."""

from medcontext.data.augment.config import AugmentConfig
from medcontext.data.augment.draw import (
    AugmentDraw,
    IntensityDraw,
    SpatialDraw,
    coarse_axis,
    draw,
    draw_intensity,
    draw_spatial,
)
from medcontext.data.augment.intensity import apply_intensity
from medcontext.data.augment.mirror import (
    left_right_axis,
    mirror,
    mirror_classes,
    mirror_combinations,
    mirror_known,
    mirror_labels,
)
from medcontext.data.augment.spatial import apply_spatial

__all__ = [
    "AugmentConfig",
    "AugmentDraw",
    "IntensityDraw",
    "SpatialDraw",
    "apply_intensity",
    "apply_spatial",
    "coarse_axis",
    "draw",
    "draw_intensity",
    "draw_spatial",
    "left_right_axis",
    "mirror",
    "mirror_classes",
    "mirror_combinations",
    "mirror_known",
    "mirror_labels",
]
