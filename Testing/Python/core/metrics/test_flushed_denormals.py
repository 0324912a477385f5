"""Scoring in a process whose torch flushes denormal numbers to zero, as it does after segmenting on a CPU."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import numpy as np
import torch
from medcontext.geometry import Geometry
from medcontext.metrics.surfaces import surface_distances

assert torch.set_flush_denormal(True)
shape = (38, 46, 35)
nothing = np.zeros(shape, bool)
# All of the image's faces: many surface voxels share the coordinate 0.
full, inner = np.ones(shape, bool), nothing.copy()
inner[4:-4, 4:-4, 4:-4] = True
for affine in (np.eye(4), np.diag([-1.0, -1.0, 1.0, 1.0])):
    there, back = surface_distances(full, inner, nothing, Geometry(shape, affine))
    assert back.min() == back.max() == 4.0, (back.min(), back.max())
"""


def test_surfaces_are_measured_where_denormals_are_flushed() -> None:
    result = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
