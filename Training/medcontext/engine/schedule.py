"""Learning rate and momentum as functions of progress alone, so that a run of any length has the same shape."""

from __future__ import annotations

import math

from medcontext.engine.config import OptimiserConfig
from medcontext.engine.method import Clock, Stage


def clock_at(step: int, total: int, stages: list[Stage], seed: int) -> Clock:
    """The stage that a step belongs to and how far it is."""
    begin = 0.0
    for index, stage in enumerate(stages):
        end = begin + stage.share
        first, last = round(begin * total), round(end * total)
        if step < last or index == len(stages) - 1:
            return Clock(step, total, stage, index, (step - first) / max(1, last - first), seed)
        begin = end
    raise ValueError("a run needs at least one stage")


def learning_rate(config: OptimiserConfig, clock: Clock) -> float:
    """Linear warm-up, then cosine or polynomial decay or none, within each stage."""
    peak = config.learning_rate * clock.stage.learning_rate
    progress = clock.stage_progress
    if progress < config.warmup:
        return peak * (progress + 1 / max(1, clock.total)) / (config.warmup + 1 / max(1, clock.total))
    if config.schedule == "constant":
        return peak
    progress = (progress - config.warmup) / (1 - config.warmup)
    if config.schedule == "poly":
        return peak * (1 - progress) ** 0.9
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


def ema_momentum(step: int, total: int, maximum: float | None) -> float:
    """``m_t = min(m_max, 1 - 1 / (t + 1))``: a plain mean at first, then exponential.

    ``m_max = clip(1 - 10 / T, 0.99, 0.9995)`` averages over about the last tenth of a run.
    """
    limit = maximum if maximum is not None else min(max(1 - 10 / total, 0.99), 0.9995)
    return min(limit, 1 - 1 / (step + 1))
