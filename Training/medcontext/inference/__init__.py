"""Sliding-window prediction with memory bounded by a slab, back on the grid of the input image."""

from medcontext.inference.certainty import CertaintyKind
from medcontext.inference.focus import Focus
from medcontext.inference.plan import ExecutionPlan
from medcontext.inference.predictor import Prediction, Predictor
from medcontext.inference.quick import predict_classes

__all__ = ["CertaintyKind", "ExecutionPlan", "Focus", "Prediction", "Predictor", "predict_classes"]
