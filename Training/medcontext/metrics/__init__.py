"""Scores of segmentations, what many of them amount to, and how sure a difference is."""

from medcontext.metrics.report import summarise, write_scores
from medcontext.metrics.scores import LabelScore, score_case

__all__ = ["LabelScore", "score_case", "summarise", "write_scores"]
