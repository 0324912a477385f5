"""Soft Dice and cross-entropy in one pass over the logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from medcontext.labels import IGNORE
from medcontext.losses.config import DiceCrossEntropyConfig
from medcontext.losses.reduction import global_sum


class DiceCrossEntropy:
    """``L = w_d (1 - mean Dice) + w_c CE`` over annotated voxels, in fp32.

    No one-hot target of logit size is made: intersections are summed from the probability of the true class.
    """

    def __init__(self, config: DiceCrossEntropyConfig | None = None) -> None:
        self.config = config or DiceCrossEntropyConfig()

    def deep(self, heads: Sequence[Tensor], labels: Tensor, known: Tensor | None = None) -> Tensor:
        """Weighted mean over heads of falling resolution: weights 1, 1/2, 1/4, ... that sum to one.

        Args:
            heads: logits ``(B, C, ...)``, finest first; labels are brought to each by nearest neighbour.
            labels: class indices ``(B, K, J, I)``, 255 ignored.
            known: bool ``(B, C)``; False where the annotation of a sample does not speak of a class.
        """
        weights = [0.5**level for level in range(len(heads))]
        total = heads[0].new_zeros((), dtype=torch.float32)
        for weight, logits in zip(weights, heads, strict=True):
            target = labels
            if logits.shape[2:] != labels.shape[1:]:
                target = F.interpolate(labels[:, None].float(), size=logits.shape[2:], mode="nearest-exact")[
                    :, 0
                ]
            total = total + weight / sum(weights) * self(logits, target, known)
        return total

    def __call__(self, logits: Tensor, labels: Tensor, known: Tensor | None = None) -> Tensor:
        """The loss of one head; arguments as :meth:`deep`."""
        config = self.config
        log_probability = F.log_softmax(logits.float(), 1)
        if known is not None and not bool(known.all()):
            log_probability = _merge_unknown(log_probability, known)
        classes = logits.shape[1]
        log_probability = log_probability.flatten(2)
        target = labels.flatten(1).long()
        valid = target != IGNORE
        target = torch.where(valid, target, 0)
        log_true = log_probability.gather(1, target[:, None])[:, 0]
        # Two probabilities of an unknown class are exactly zero: their logarithm must not meet the gradient.
        log_true = torch.where(valid, log_true, 0.0)
        loss = log_probability.new_zeros(())
        if config.cross_entropy_weight:
            voxels = global_sum(valid.sum().float())
            loss = loss - config.cross_entropy_weight * global_sum(log_true.sum()) / voxels.clamp(min=1)
        if config.dice_weight:
            dice = self._dice(log_probability, log_true, target, valid, classes)
            loss = loss + config.dice_weight * (1 - dice)
        return loss

    def _dice(
        self, log_probability: Tensor, log_true: Tensor, target: Tensor, valid: Tensor, classes: int
    ) -> Tensor:
        """Mean Dice over classes (and samples, unless of the batch)."""
        config = self.config
        probability = log_probability.exp()
        true = log_true.exp() * valid
        predicted = ((probability**2 if config.squared else probability) * valid[:, None]).sum(2)
        zeros = probability.new_zeros(target.shape[0], classes)
        intersection = zeros.scatter_add(1, target, true)
        volume = zeros.scatter_add(1, target, valid.float())
        if config.batch:
            summed = global_sum(torch.stack([intersection.sum(0), predicted.sum(0), volume.sum(0)]))
            intersection, predicted, volume = summed[:, None]
        first = 0 if config.include_background else 1
        numerator = 2 * intersection[:, first:] + config.smooth_numerator
        denominator = predicted[:, first:] + volume[:, first:] + config.smooth_denominator
        ratio = numerator / denominator
        if config.batch:
            return ratio.mean()
        count = global_sum(ratio.new_tensor(float(ratio.numel())))
        return global_sum(ratio.sum()) / count


def _merge_unknown(log_probability: Tensor, known: Tensor) -> Tensor:
    """Add the probability of unknown classes to background: a voxel labelled 0 may be any of them."""
    shape = (known.shape[0], known.shape[1]) + (1,) * (log_probability.dim() - 2)
    hidden = ~known.view(shape)
    hidden = torch.cat([torch.zeros_like(hidden[:, :1]), hidden[:, 1:]], 1)
    outside = hidden.clone()
    outside[:, 0] = True
    background = log_probability.masked_fill(~outside, -torch.inf).logsumexp(1, keepdim=True)
    rest = log_probability[:, 1:].masked_fill(hidden[:, 1:], -1e4)
    return torch.cat([background, rest], 1)
