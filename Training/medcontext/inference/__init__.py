"""Sliding-window prediction with memory bounded by a slab, back on the grid of the input image."""
