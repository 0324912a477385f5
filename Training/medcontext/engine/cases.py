"""The cases of a training: those learnt from, those that choose the weights, and those merely watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medcontext.data.preprocess import PreparedCase
from medcontext.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Cases:
    """Prepared cases, and how they are segmented while training.

    Attributes:
        plan: of the data.
        labelled, unlabelled: cases that are learnt from.
        validation: cases that choose the weights that are kept.
        monitor: held-out cases, at most ``MONITORED`` of them, that are segmented for the live curve and the picture.
            They never choose what is kept.
        precision: "fp32", "bf16" or "fp16".
    """

    plan: Plan
    labelled: Sequence[PreparedCase]
    unlabelled: Sequence[PreparedCase] = ()
    validation: Sequence[PreparedCase] = ()
    monitor: Sequence[PreparedCase] = ()
    precision: str = "fp32"
