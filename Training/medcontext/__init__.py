"""Segmentation that learns from context: training, few-shot fine-tuning and prediction without a window.

Importing the package costs nothing: torch, monai and SimpleITK are loaded by the parts that need them.
"""

__version__ = "0.1.0"
