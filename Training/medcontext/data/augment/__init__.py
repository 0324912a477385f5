"""Augmentation in two steps: draw the parameters of a sample, then apply them to a batch."""
