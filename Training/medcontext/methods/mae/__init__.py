"""Masked-volume reconstruction: an encoder that learns to tell what hidden cubes of a scan look like."""
