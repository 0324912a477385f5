"""Hiding parts of an image from a network: which cells, and where in the network they vanish."""
