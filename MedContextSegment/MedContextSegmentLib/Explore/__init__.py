"""Regions of an image that nobody has taught a model yet: proposing and picking them; no Qt."""
