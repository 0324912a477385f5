"""Saved configurations of S3-Net."""

from __future__ import annotations

from medcontext.engine.config import EngineConfig
from medcontext.methods.s3net.config import SGD, S3NetConfig

NAMES = ("default", "scan", "repo")


def preset(name: str) -> S3NetConfig:
    """A saved configuration.

    ``default``: for pictures in colour. ``scan``: for grey images, whose structures are smaller and of more kinds.
    ``repo``: what the published notebook computes, quirks included.
    """
    return {"scan": _scan, "repo": _repo}.get(name, S3NetConfig)()


def _scan() -> S3NetConfig:
    """Finer than the default: organs are smaller than lesions on a picture, and what counts are their borders."""
    return S3NetConfig(
        size=128, clusters=6, contrast=0.0, start_blur=0.01, w_start=8.0, w_spatial=0.05, most_iterations=20
    )


def _repo() -> S3NetConfig:
    """256 x 256 pixels whatever the shape; 50 iterations, or until 3 clusters are left after the sixth.

    Its order of colours (blue first) makes no difference to a network whose weights are random.
    """
    return S3NetConfig(
        engine=EngineConfig(optimiser=SGD.model_copy(update={"learning_rate": 0.2, "schedule": "constant"})),
        size=256,
        square=True,
        colour="rgb",
        normalise="byte",
        outliers=0.0,
        contrast=0.0,
        balanced=False,
        start="random",
        own="largest",
        channels=64,
        clusters=64,
        blocks=2,
        deformation="static",
        w_self=3.5,
        w_affine=0.2,
        w_spatial=4.0,
        transform="output",
        spatial="sobel_labels",
        most_iterations=50,
        least_iterations=6,  # it counts from 0 and asks for at least 5
        least_clusters=3,
    )
