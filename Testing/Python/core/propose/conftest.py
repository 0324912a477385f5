"""Images that show a bright disc, and settings with which a network learns in a second."""

from __future__ import annotations

import numpy as np
import pytest

from medcontext.geometry import Geometry, Volume
from medcontext.methods.s3net.config import S3NetConfig

SMALL = {"size": 32, "channels": 6, "clusters": 6, "blocks": 1}
"""Settings of a network that learns quickly."""


@pytest.fixture(scope="session")
def small() -> S3NetConfig:
    return S3NetConfig().updated([f"{key}={value}" for key, value in SMALL.items()] + ["most_iterations=5"])


@pytest.fixture(scope="session")
def disc() -> Volume:
    """A bright disc on a dark ground, 40 x 48 pixels, of three channels."""
    rows, columns = np.mgrid[:40, :48]
    inside = (rows - 20) ** 2 + (columns - 24) ** 2 < 100
    grey = np.where(inside, 180, 40) + np.random.default_rng(0).normal(0, 4, inside.shape)
    return Volume(
        np.stack([grey, 0.5 * grey, grey])[:, None].astype(np.float32), Geometry.from_spacing((1, 40, 48))
    )


@pytest.fixture(scope="session")
def ball() -> Volume:
    """A bright ball in the dark, 20 x 24 x 22 voxels, oblique in the patient."""
    k, j, i = np.mgrid[:20, :24, :22]
    inside = (k - 10) ** 2 + (j - 12) ** 2 + (i - 11) ** 2 < 36
    grey = np.where(inside, 300, -100) + np.random.default_rng(0).normal(0, 5, inside.shape)
    affine = np.diag([0.8, 0.9, 2.0, 1.0])
    affine[:3, :3] = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) @ affine[:3, :3]
    affine[:3, 3] = (-30, 12, 100)
    return Volume(grey[None].astype(np.float32), Geometry((20, 24, 22), affine))
