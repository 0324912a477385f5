"""VoCo: learning where a crop of a scan comes from (Wu et al., CVPR 2024, arXiv 2402.17300)."""
