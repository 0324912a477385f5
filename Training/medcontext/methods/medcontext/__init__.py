"""MedContext: learning to segment what a mask hides (Gani et al., MICCAI 2024, arXiv 2402.17725)."""

from medcontext.methods.medcontext.config import MedContextConfig
from medcontext.methods.medcontext.method import MedContext

__all__ = ["MedContext", "MedContextConfig"]
