"""MedContext: learning to segment what a mask hides (Gani et al., MICCAI 2024, arXiv 2402.17725)."""
