"""What is to be seen of a run: whether places of crops in held-out scans are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from medcontext.data.boxes import random_start
from medcontext.data.sampling import generator_for
from medcontext.engine.pretext_watch import Sight
from medcontext.methods.voco.config import CropChanges, VoCoConfig
from medcontext.methods.voco.crops import CropBatch, CropMaker, Layout
from medcontext.methods.voco.losses import Embedded, logits
from medcontext.methods.voco.picture import Answer, draw
from medcontext.methods.voco.signals import best_constant, effective_rank, position_accuracy, prediction_loss
from medcontext.plan import Plan

CROPS = 8
"""Random crops of each grid that is looked at."""
GRIDS = 8
"""Grids that are looked at, at least; scans have several where there are fewer."""
SHOWN = 6
"""Crops in the picture, of as many scans as there are."""
SEED = 1
"""Of the crops: the same at every look of every run."""
COLLAPSED = 2.0
"""Effective rank below which embeddings are all alike: 1.0 in an untrained projector with layer norm; with batch norm
it was above 50 from the first step on."""


class Watched:
    """Tells where crops of some scans come from, unchanged and always the same.

    Args:
        embed: embeddings by student and teacher of a batch.
        settled: whether the run is old enough to be warned about.
        config: of the method.
        layout: of the crops.
        plan: of the run.
        volumes: ``(C, K, J, I)`` each.
        ids: their names.
    """

    def __init__(
        self,
        embed: Callable[[CropBatch], tuple[Embedded, Embedded]],
        settled: Callable[[], bool],
        config: VoCoConfig,
        layout: Layout,
        plan: Plan,
        volumes: Sequence[np.ndarray],
        ids: Sequence[str],
    ) -> None:
        self._embed = embed
        self._settled = settled
        self._config = config
        self._layout = layout
        self._plan = plan
        self._volumes = list(volumes)
        self._ids = list(ids)
        self._make = CropMaker(layout, CROPS, CropChanges(flip=0, rotate=0, shift_probability=0))
        self._constant: float | None = None

    def __call__(self, check: Callable[[], None]) -> Sight:
        """Accuracy, loss and rank; and a picture.

        Args:
            check: called between batches; raises when someone asks to stop.
        """
        if not self._volumes:
            return Sight({})
        told, overlaps, bases = [], [], []
        for first in range(0, self._grids, self._plan.batch_size):
            check()
            batch = self._batch(range(first, min(self._grids, first + self._plan.batch_size)))
            mine, taught = self._embed(batch)
            told.append(logits(mine, taught, self._config).cpu())
            overlaps.append(batch.overlap.cpu())
            bases.append(mine.base.flatten(0, 1).cpu())
        said, overlap = torch.cat(told), torch.cat(overlaps)
        if self._constant is None:
            self._constant = best_constant(overlap, self._config)
        signals = {
            "position_accuracy": position_accuracy(said, overlap),
            "chance": 1 / self._config.cells,
            "prediction_loss": prediction_loss(said, overlap, self._config),
            "best_constant": self._constant,
            "effective_rank": effective_rank(torch.cat(bases)),
        }
        picture = draw(self._answers(said, overlap), self._layout, self._plan)
        return Sight(signals, picture, ", ".join(self._ids[:SHOWN]), self._warnings(signals))

    @property
    def _grids(self) -> int:
        """How many grids are looked at; one scan after the other has one, then all have another."""
        return len(self._volumes) * -(-GRIDS // len(self._volumes))

    def _batch(self, grids: range) -> CropBatch:
        volumes = [self._volumes[grid % len(self._volumes)] for grid in grids]
        return self._make(volumes, list(grids), [generator_for(SEED, 0, grid) for grid in grids])

    def _answers(self, said: Tensor, overlap: Tensor) -> list[Answer]:
        """What the picture shows: as many scans as possible."""
        scans = min(SHOWN, len(self._volumes))
        answers = []
        for number in range(SHOWN):
            scan, crop = number % scans, number // scans
            generator = generator_for(SEED, 0, scan)
            volume = self._volumes[scan]
            origin = random_start(volume.shape[1:], self._layout.region, generator)
            place = self._layout.draw(CROPS, generator)[crop]
            answers.append(
                Answer(
                    self._ids[scan],
                    volume,
                    origin,
                    place,
                    overlap[scan, crop].numpy(),
                    said[scan, crop].numpy(),
                )
            )
        return answers

    def _warnings(self, signals: dict[str, float]) -> tuple[str, ...]:
        if not self._settled() or signals["effective_rank"] >= COLLAPSED:
            return ()
        return (
            "All crops look alike to the network (effective rank of their embeddings "
            f"{signals['effective_rank']:.1f}): it does not learn where they come from. Lower the learning rate "
            "(--set engine.optimiser.learning_rate=1e-4) or take larger crops.",
        )
