"""Losses that know about ignored voxels, partial annotation and several processes."""
