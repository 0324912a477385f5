"""The teacher's momentum."""

from __future__ import annotations

import math

from medcontext.methods.medcontext.config import TeacherConfig


def momentum_at(config: TeacherConfig, step: int, total: int, engine_momentum: float) -> float | None:
    """Momentum of the update after ``step`` (counted from 0), or None when this step has no update.

    ``linear_cosine``: rises linearly from 0 over ``warmup`` steps, then ``1 - (1 - base)(1 + cos(pi s)) / 2`` with
    ``s`` the share of the remaining steps, so that it starts at ``base`` and ends at 1.
    """
    if (step + 1) % config.every:
        return None
    if config.fixed is not None:
        return config.fixed
    if config.schedule == "run":
        return engine_momentum
    if step < config.warmup:
        return config.base * step / config.warmup
    share = (step - config.warmup) / max(1, total - config.warmup)
    return 1 - (1 - config.base) * (1 + math.cos(math.pi * share)) / 2
