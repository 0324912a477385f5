"""Losses that know about ignored voxels, partial annotation and several processes."""

from medcontext.losses.consistency import ConsistencyNorm, consistency
from medcontext.losses.dice_cross_entropy import DiceCrossEntropy, DiceCrossEntropyConfig

__all__ = ["ConsistencyNorm", "DiceCrossEntropy", "DiceCrossEntropyConfig", "consistency"]
