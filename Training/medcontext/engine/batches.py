"""Makes the batch of each step ahead of time, in a thread.

Every sample is drawn from (seed, step, global sample index), so batches do not depend on the number of
processes, on threads, or on where a run was resumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from medcontext.data.augment.draw import coarse_axis, draw, draw_intensity
from medcontext.data.augment.intensity import apply_intensity
from medcontext.data.augment.mirror import left_right_axis, mirror_known
from medcontext.data.augment.spatial import apply_spatial
from medcontext.data.preprocess import PreparedCase
from medcontext.data.sampling import Patch, draw_case, draw_patch, generator_for, margin_of
from medcontext.engine.ahead import made_ahead
from medcontext.engine.config import EngineConfig
from medcontext.engine.method import Batch, Stage, Views
from medcontext.engine.schedule import clock_at
from medcontext.engine.task import Shard
from medcontext.plan import Plan

LABELLED, UNLABELLED = 0, 1
WEAK_STRENGTH = 0.3
"""Strength of the intensity changes a teacher sees, relative to the student's."""
MARGIN_SHARE = 0.25
"""Image around each patch, as a share of its size: leaves about 0.7 % of the voxels of augmented patches empty."""


class BatchSource:
    """Batches of a run.

    Args:
        labelled: cases with labels.
        unlabelled: cases without; may be empty.
        plan: patch size, flips, label pairs.
        config: augmentation and sampling.
        seed: seed of the run.
        shard: this process's part.
    """

    def __init__(
        self,
        labelled: Sequence[PreparedCase],
        unlabelled: Sequence[PreparedCase],
        plan: Plan,
        config: EngineConfig,
        seed: int,
        shard: Shard,
    ) -> None:
        self._cases = (list(labelled), list(unlabelled))
        self._plan = plan
        self._config = config
        self._seed = seed
        self._shard = shard
        values = plan.label_set.values
        self._class_pairs = [(values.index(a) + 1, values.index(b) + 1) for a, b in plan.flip_pairs]
        self._left_right = left_right_axis(plan.orientation, plan.transpose)
        self._margin = margin_of(plan.patch_size, MARGIN_SHARE)

    def make(self, step: int, stage: Stage) -> Batch:
        """The batch of one step."""
        labelled = self._views(step, LABELLED, stage.labelled, stage.weak_view)
        unlabelled = None
        if stage.unlabelled:
            unlabelled = self._views(step, UNLABELLED, stage.unlabelled, weak=True)
        return Batch(labelled, unlabelled)

    def iterate(self, first: int, total: int, stages: list[Stage]) -> Iterator[Batch]:
        """Batches from step ``first`` to the end, made ahead in a thread."""

        def make(step: int) -> Batch:
            return self.make(step, clock_at(step, total, stages, self._seed).stage)

        return made_ahead(make, range(first, total))

    def _views(self, step: int, stream: int, count: int, weak: bool) -> Views:
        samples = list(self._shard.samples(count))
        cases = self._cases[stream]
        generators = [generator_for(self._seed, step, sample, stream) for sample in samples]
        patches = []
        for sample, generator in zip(samples, generators, strict=True):
            case = cases[draw_case(len(cases), self._seed, step, sample, count, stream)]
            share = self._config.foreground_share
            patches.append(draw_patch(case, self._plan.patch_size, generator, share, self._margin))
        return self._augmented(patches, generators, samples, weak)

    def _augmented(
        self, patches: list[Patch], generators: list[np.random.Generator], samples: list[int], weak: bool
    ) -> Views:
        plan, config = self._plan, self._config.augment
        channels = len(plan.channels)
        draws = [
            draw(config, g, plan.patch_size, plan.spacing, plan.allowed_flips, channels) for g in generators
        ]
        image, moved = apply_spatial(
            torch.from_numpy(np.stack([p.image for p in patches])),
            torch.from_numpy(np.stack([p.labels for p in patches])[:, None]),
            [d.spatial for d in draws],
            plan.patch_size,
            self._class_pairs,
            left_right=self._left_right,
        )
        weak_image: Tensor | None = None
        if weak:
            coarse = coarse_axis(plan.spacing, plan.patch_size)
            weak_draws = [draw_intensity(config, g, WEAK_STRENGTH, channels, coarse) for g in generators]
            weak_image = apply_intensity(image, weak_draws)
        strong = apply_intensity(image, [d.intensity for d in draws])
        known = torch.stack(
            [
                mirror_known(torch.from_numpy(p.known), d.spatial.flips, self._class_pairs, self._left_right)
                for p, d in zip(patches, draws, strict=True)
            ]
        )
        labels = cast(Tensor, moved)[:, 0].long()  # labels that are given come back
        return Views(strong, weak_image, labels, known, torch.tensor(samples))
