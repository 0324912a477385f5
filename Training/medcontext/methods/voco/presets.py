"""Saved configurations of VoCo."""

from __future__ import annotations

from medcontext.engine.config import EngineConfig, OptimiserConfig
from medcontext.methods.voco.config import CropChanges, ProjectorConfig, VoCoConfig

NAMES = ("default", "teacher", "repo", "paper", "v2")


def preset(name: str) -> VoCoConfig:
    """A saved configuration.

    ``teacher``: the default. ``repo``: what the authors' first repository computes, quirks included. ``paper``: the
    article's equations, without a teacher. ``v2``: the second repository, with the inter-volume term and its dropout,
    which takes whole crops away.
    """
    return {"repo": _repo, "paper": _paper, "v2": _v2}.get(name, VoCoConfig)()


def _repo() -> VoCoConfig:
    """A scan becomes 96 x 384 x 384, a cell 96^3, which the network sees as 64^3; 5000 of 250 000 steps warm up."""
    return VoCoConfig(
        engine=_engine(warmup=0.02),
        window=(-175, 250),
        foreground=0.3,
        crop_size=64,
        grid=(1, 4, 4),
        random_crops=2,
        resize_volume=(96, 384, 384),
        cell=96,
        projector=ProjectorConfig(hidden=2048, out=2048),
        teacher_from_student=False,
        ema_in_forward=True,
        symmetric_regularisation=False,
    )


def _paper() -> VoCoConfig:
    """Equations 1 to 7: cosine without ReLU, one sum over all cells, absolute similarity of base crops."""
    return VoCoConfig(
        engine=_engine(warmup=0.05),
        teacher="none",
        halves="student",
        relu=False,
        prediction="joint",
        regularisation_power=1,
    )


def _v2() -> VoCoConfig:
    """64^3 of 1.5 mm, not resized; 5000 of 2 000 000 steps warm up."""
    return VoCoConfig(
        engine=_engine(warmup=0.0025),
        spacing=1.5,
        crop_size=64,
        random_crops=2,
        changes=CropChanges(shift_probability=0.5),
        projector=ProjectorConfig(layers=2, hidden=1024, out=1024),
        teacher="projector",
        halves="student",
        negative="log",
        symmetric_regularisation=False,
        dropped_rows=0.2,
        w_inter=1.0,
    )


def _engine(warmup: float) -> EngineConfig:
    """The authors': the gradient is never clipped, because mixed precision is always on."""
    return EngineConfig(
        optimiser=OptimiserConfig(
            learning_rate=1e-4, weight_decay=0.01, amsgrad=True, gradient_clip=1e6, warmup=warmup
        )
    )
