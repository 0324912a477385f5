"""From scores to labels: what the channels of a network mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from medcontext.card_schema import ModelCard
from medcontext.errors import InputError

FEW_SCORES = 1 << 15
"""Up to here numpy tells the strongest class: torch wakes all threads for a maximum of any size, and on a busy
computer each waking takes milliseconds, for every plane of a small image."""


class ScoreMeaning:
    """What the score channels of a model stand for.

    With softmax, channel 0 is background and channel ``n + 1`` the n-th label; the strongest wins. With
    sigmoid there is no background channel: channel ``n`` is the n-th label, or the n-th region, and those
    above zero are painted in order, so that a later one wins.

    Args:
        card: labels, regions, activation, temperature and flip pairs are read.

    Raises:
        InputError: the card does not say of each region which value it paints.
    """

    def __init__(self, card: ModelCard) -> None:
        self._values = card.label_set.values
        self._regions = card.regions or [[value] for value in self._values]
        self.sigmoid = card.activation == "sigmoid"
        self.temperature = card.inference.temperature
        self._pairs = card.flip_pairs
        self.channels = len(self._regions) if self.sigmoid else card.classes
        painted: Sequence[int] = self._values
        if self.sigmoid:
            painted = card.region_values or _painted_values(self._regions)
        if self.sigmoid and len(painted) != len(self._regions):
            raise InputError(
                f"'{card.title}' has {len(self._regions)} regions and {len(painted)} values to paint them with.",
                "The model folder is inconsistent: import it again.",
            )
        self.lookup = np.array([0, *painted], np.uint8)
        """Label value of each class index that :meth:`classes` gives."""

    def classes(self, scores: Tensor, dim: int) -> Tensor:
        """Class index of each voxel, uint8, of scores of any scale with channels along ``dim``."""
        if not self.sigmoid:
            if scores.device.type == "cpu" and scores.numel() <= FEW_SCORES:
                return torch.from_numpy(scores.detach().numpy().argmax(dim).astype(np.uint8))
            # torch does not vectorise argmax over the first axis: max takes a quarter to a tenth of its time.
            return scores.max(dim).indices.to(torch.uint8)
        order = torch.arange(1, scores.shape[dim] + 1, dtype=torch.uint8, device=scores.device)
        order = order.view([-1 if axis == dim % scores.ndim else 1 for axis in range(scores.ndim)])
        return ((scores > 0) * order).amax(dim)

    def probabilities(self, scores: Tensor) -> Tensor:
        """Calibrated probabilities of normalised scores with channels along the last axis."""
        calibrated = scores / self.temperature
        return calibrated.sigmoid() if self.sigmoid else log_softmax(calibrated).exp()

    def channel_of(self, value: int) -> int:
        """The score channel of a label value; 0 is background, which only softmax models have.

        Raises:
            InputError: the model has no such label.
        """
        values = [int(v) for v in (self.lookup[1:] if self.sigmoid else self.lookup)]
        if value not in values:
            allowed = ", ".join(map(str, values))
            raise InputError(f"The model gives no probability of label {value}.", f"It knows {allowed}.")
        return values.index(value)

    def mirrored_channels(self) -> list[int] | None:
        """Channels after left and right have swapped, or None where no label has a side."""
        swap = {a: b for pair in self._pairs for a, b in (pair, pair[::-1])}
        if not swap:
            return None
        groups = [{value} for value in (0, *self._values)]
        if self.sigmoid:
            groups = [set(region) for region in self._regions]
        mirrored = [{swap.get(value, value) for value in group} for group in groups]
        return [groups.index(group) if group in groups else at for at, group in enumerate(mirrored)]


def log_softmax(scores: Tensor) -> Tensor:
    """Logarithm of softmax over the last axis.

    On a CPU torch computes an axis shorter than 16 numbers element by element: its softmax of 3 or 14 classes
    takes 2.7 times as long as whole-tensor steps, while from 16 on it is the faster way.
    """
    if scores.shape[-1] >= 16:
        return scores.log_softmax(-1)
    shifted = scores - scores.amax(-1, keepdim=True)
    return shifted - shifted.exp().sum(-1, keepdim=True).log()


def _painted_values(regions: Sequence[Sequence[int]]) -> list[int]:
    """The label each region paints: the first of its labels that no later region paints over."""
    painted = []
    for index, region in enumerate(regions):
        later = {value for other in regions[index + 1 :] for value in other}
        painted.append(next((value for value in region if value not in later), region[0]))
    return painted
