"""Models of nnU-Net v2: in from its folders, and out to them."""

from __future__ import annotations

from medcontext.library.nnunet.convert import convert_nnunet
from medcontext.library.nnunet.folder import is_nnunet

__all__ = ["convert_nnunet", "is_nnunet"]
