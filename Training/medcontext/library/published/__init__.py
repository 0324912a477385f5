"""Weights that others published: known by their content, renamed into networks of ours."""
