"""How sure a prediction is, voxel by voxel: from entropy, or from what masked views still say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medcontext.devices import Precision, torch_dtype
from medcontext.inference.finish import Certainty
from medcontext.inference.forward import Forward
from medcontext.inference.labelling import ScoreMeaning, log_softmax
from medcontext.inference.masked import Masked
from medcontext.masking.cells import MaskConfig, complementary_masks
from medcontext.plan import Size

CertaintyKind = Literal["none", "entropy", "masked"]

VIEWS = 5
HIDDEN_PARTS = 2
"""Cells are dealt to five parts and each view hides two of them: ratio 0.4, every voxel hidden twice."""

CELL = 8
"""Voxels per side of a hidden cell."""

SEED = 20240


def entropy_certainty(meaning: ScoreMeaning) -> Certainty:
    """One minus the entropy of a voxel's probabilities over its largest value.

    With sigmoid channels the least sure one decides.
    """

    def certainty(scores: Tensor, _classes: Tensor) -> Tensor:
        calibrated = scores[..., : meaning.channels] / meaning.temperature
        if not meaning.sigmoid:
            logarithms = log_softmax(calibrated)
            return 1 + (logarithms.exp() * logarithms).sum(-1) / math.log(meaning.channels)
        yes, no = functional.logsigmoid(calibrated), functional.logsigmoid(-calibrated)
        return 1 + (yes.exp() * yes + no.exp() * no).amin(-1) / math.log(2)

    return certainty


def masked_certainty(meaning: ScoreMeaning) -> Certainty:
    """The mean probability that masked views give to the class of the clean view.

    Takes the channels of :func:`masked_forward`: scores of the clean view, probabilities of the masked ones.
    """

    def certainty(scores: Tensor, classes: Tensor) -> Tensor:
        views = scores[..., meaning.channels :]
        if not meaning.sigmoid:
            return views.gather(-1, classes.long().unsqueeze(-1)).squeeze(-1)
        # How far each channel stays on the side of zero where the clean view is; the least sure one decides.
        painted = scores[..., : meaning.channels] > 0
        return torch.where(painted, views, 1 - views).amin(-1)

    return certainty


def masked_forward(
    clean: Forward, masked: Masked, meaning: ScoreMeaning, patch: Size, precision: Precision
) -> Forward:
    """Scores of the clean view, followed by the mean probabilities of the masked views as further channels.

    Args:
        clean: scores of whole windows.
        masked: scores of windows with hidden parts.
        meaning: what the channels stand for.
        patch: window size.
        precision: of the masked views.
    """
    masks = torch.from_numpy(np.stack(view_masks(patch)))
    dtype = torch_dtype(precision)

    def forward(windows: Tensor) -> Tensor:
        total: Tensor | None = None
        for mask in masks:
            hidden = mask.to(windows.device).expand(windows.shape[0], *patch)
            with torch.autocast(windows.device.type, dtype=dtype, enabled=precision != "fp32"):
                scores = masked(windows, hidden)[0]
            view = meaning.probabilities(scores.float().movedim(1, -1)).movedim(-1, 1)
            total = view if total is None else total + view
        return torch.cat([clean(windows), total / VIEWS], 1) if total is not None else clean(windows)

    return forward


def view_masks(patch: Size) -> Sequence[np.ndarray]:
    """The masks of all views, bool ``(K, J, I)`` each, the same in every run."""
    parts = complementary_masks(MaskConfig(cell=CELL), patch, VIEWS, np.random.default_rng(SEED))
    return [
        np.logical_or.reduce([parts[(view + shift) % VIEWS] for shift in range(HIDDEN_PARTS)])
        for view in range(VIEWS)
    ]
