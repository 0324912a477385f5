"""How much views of a scan disagree about it, and what the scan looks like to the encoder: one number and one vector.

Nothing is blended or resampled back: windows are looked at one after another and only sums are kept, so that memory
does not grow with the number of classes, views or voxels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medcontext.card_schema import ModelCard
from medcontext.devices import Device, choose_precision, torch_dtype
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.inference.certainty import view_masks
from medcontext.inference.checks import check_contrast, check_image, check_prepared
from medcontext.inference.labelling import ScoreMeaning
from medcontext.inference.masked import Masked, with_hidden_input
from medcontext.inference.region import prepare_region
from medcontext.inference.windows import WindowGrid, gaussian_profile
from medcontext.networks import SegmentationNetwork

OVERLAP = 0.25
"""Less than a segmentation has: a ranking forgives what a border does not."""

VIEW_NUMBERS = (0, 2, 4)
"""Of the views of the certainty map, these three hide every voxel at least once."""

FEWEST_VOXELS = 27.0
"""A label of less than a cube of three voxels counts for less than half: its Dice would be a matter of luck."""

NOTHING_FOUND = 0.05
"""Weight of complete disagreement beside the labels that were found; what decides where none was."""

BACKGROUND_SHARE = 0.01
"""Weight of a voxel of background in the pooled features; all there is where nothing was found."""

View = Callable[[Tensor], Tensor]
"""From windows ``(B, C, *patch)`` to scores ``(B, channels, *patch)``."""


@dataclass(frozen=True)
class Look:
    """What was seen of a scan.

    Attributes:
        uncertainty: 0 where all views are sure of the same, 1 where no two agree or nothing was found.
        found: share of ``uncertainty`` that comes from labels that were found; near 0 where there were none.
        features: ``(n,)`` float32, the encoder's features of all resolutions, pooled over the foreground.
    """

    uncertainty: float
    found: float
    features: np.ndarray


class SecondLook:
    """Looks at scans with a model.

    Two views agree on a label as far as ``2 sum(p q) / sum(p^2 + q^2)`` goes, the Dice of the probabilities ``p`` and
    ``q`` that they give to it; the squares make a view agree with itself. It is taken for the clean view against each
    of the others, label by label, so that a scan full of background does not look sure and a huge organ does not
    outvote the others. Of a model that learnt from two cases, it ranked 50 scans more like their true Dice (Spearman
    0.65) than the entropy of the foreground did (0.51).

    Args:
        networks: the members of the model; each beside the first is one more view.
        card: what the model expects.
        device: where to compute; the networks are moved there.
        precision: auto, fp32, bf16 or fp16.
        masked: the first network with a mask input; hidden voxels are set to zero when None.
        teacher: another set of weights of the first network, one more view; None where the model has none.

    Raises:
        InputError: the device has no such precision.
    """

    def __init__(
        self,
        networks: Sequence[SegmentationNetwork],
        card: ModelCard,
        device: Device,
        precision: str = "auto",
        *,
        masked: torch.nn.Module | None = None,
        teacher: SegmentationNetwork | None = None,
    ) -> None:
        self._precision = choose_precision(device, precision)
        self._device = device.torch_device
        self._card, self._meaning = card, ScoreMeaning(card)
        for module in (*networks, masked, teacher):
            if module is not None:
                module.to(self._device).eval()
        self._network = networks[0]
        others = [*networks[1:], *([teacher] if teacher is not None else [])]
        hidden = masked if masked is not None else with_hidden_input(networks[0])
        masks = view_masks(card.input.patch_size)
        self._views: list[View] = [
            _masked_view(hidden, masks[number], self._device) for number in VIEW_NUMBERS
        ]
        self._views += others

    @torch.inference_mode()
    def __call__(self, image: Volume, *, views: bool = True, reporter: Reporter | None = None) -> Look:
        """Look at one scan.

        Args:
            image: ``(C, K, J, I)`` in scanner units, any orientation and spacing.
            views: whether to compare views; without them only the features are of use.
            reporter: is asked between views whether to stop.

        Raises:
            InputError: the image does not fit the model, is empty, or shows nothing.
            CancelledError: someone asked to stop.
        """
        reporter = reporter or Reporter()
        check_image(image, self._card, None, reporter.silent())
        check_contrast(image, self._card)
        array = prepare_region(image, self._card, None).image
        check_prepared(array)
        sums = _Sums(len(self._views) if views else 0)
        # Uneven numbers of calls would make torch plan anew; windows come one by one.
        for window, weight in _windows(np.ascontiguousarray(array), self._card.input.patch_size):
            self._look_at(window.to(self._device)[None], weight.to(self._device), sums, reporter)
        return sums.result()

    def _look_at(self, window: Tensor, weight: Tensor, sums: _Sums, reporter: Reporter) -> None:
        reporter.check_cancelled()
        clean = self._probabilities(self._network, window)
        foreground = clean.amax(0) if self._meaning.sigmoid else 1 - clean[0]
        with self._autocast():
            features = self._network.encode(window)
        sums.add_features(features, weight, foreground)
        labels = clean if self._meaning.sigmoid else clean[1:]
        for number in range(sums.views):
            reporter.check_cancelled()
            view = self._probabilities(self._views[number], window)
            sums.add_pair(number, labels, view if self._meaning.sigmoid else view[1:], weight)

    def _probabilities(self, view: View, window: Tensor) -> Tensor:
        """``(channels, *patch)`` float32."""
        with self._autocast():
            scores = view(window)
        return self._meaning.probabilities(scores[0].float().movedim(0, -1)).movedim(-1, 0)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self._device.type, dtype=torch_dtype(self._precision), enabled=self._precision != "fp32"
        )


class _Sums:
    """Sums over the voxels of a scan."""

    def __init__(self, views: int) -> None:
        self.views = views
        self._common: list[Tensor] = []
        self._total: list[Tensor] = []
        self._features: Tensor | None = None
        self._weight = 0.0

    def add_features(self, features: Sequence[Tensor], weight: Tensor, foreground: Tensor) -> None:
        pooled = []
        wanted = weight * (foreground + BACKGROUND_SHARE)
        for level in features:
            share = functional.adaptive_avg_pool3d(wanted[None], tuple(level.shape[2:]))  # type: ignore[arg-type]
            share = share * (wanted.sum() / share.sum().clamp_min(1e-12))
            pooled.append((level[0].float() * share).sum((1, 2, 3)))
        row = torch.cat(pooled)
        self._features = row if self._features is None else self._features + row
        self._weight += float(wanted.sum())

    def add_pair(self, number: int, clean: Tensor, view: Tensor, weight: Tensor) -> None:
        common = (clean * view * weight).flatten(1).sum(1)
        total = ((clean.square() + view.square()) * weight).flatten(1).sum(1)
        if number == len(self._common):
            self._common.append(common)
            self._total.append(total)
        else:
            self._common[number] += common
            self._total[number] += total

    def result(self) -> Look:
        if self._features is None:
            raise RuntimeError("no window was looked at")
        features = (self._features / max(self._weight, 1e-12)).cpu().numpy()
        if not self._common:
            return Look(1.0, 0.0, features)
        common, total = torch.stack(self._common), torch.stack(self._total)
        disagreement = (1 - 2 * common / total.clamp_min(1e-12)).mean(0)
        size = total.mean(0) / 2
        counts = size / (size + FEWEST_VOXELS)
        labels, all_labels = float((counts * disagreement).sum()), float(counts.sum())
        uncertainty = (labels + NOTHING_FOUND) / (all_labels + NOTHING_FOUND)
        return Look(uncertainty, all_labels / (all_labels + NOTHING_FOUND), features)


def _masked_view(masked: Masked | torch.nn.Module, mask: np.ndarray, device: torch.device) -> View:
    hidden = torch.from_numpy(mask).to(device)[None]

    def view(windows: Tensor) -> Tensor:
        scores: Tensor = masked(windows, hidden)[0]
        return scores

    return view


def _windows(image: np.ndarray, patch: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
    """Windows ``(C, *patch)`` with the weight ``(*patch)`` of their voxels.

    The weights of a voxel in all its windows add up to one; padding has none.
    """
    grid = WindowGrid.cover(image.shape[1:], patch, OVERLAP)
    padded, totals = grid.pad(torch.from_numpy(image)), grid.weight_sums()
    for axis, (before, inner) in enumerate(zip(grid.before, grid.inner, strict=True)):
        outside = torch.ones(grid.shape[axis], dtype=torch.bool)
        outside[before : before + inner] = False
        totals[axis][outside] = torch.inf
    for _index, row in grid.rows(grid.slab_axis):
        for start in row:
            parts = [slice(s, s + p) for s, p in zip(start, grid.patch, strict=True)]
            k, j, i = (
                gaussian_profile(p) / total[part]
                for p, total, part in zip(grid.patch, totals, parts, strict=True)
            )
            yield padded[(slice(None), *parts)], k[:, None, None] * j[:, None] * i
