"""Hiding parts of an image from a network: which cells, and where in the network they vanish."""

from medcontext.masking.cells import MaskConfig, complementary_masks, draw_mask
from medcontext.masking.network import MaskedNetwork, MaskToken

__all__ = ["MaskConfig", "MaskToken", "MaskedNetwork", "complementary_masks", "draw_mask"]
