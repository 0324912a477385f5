"""VoCo on the common engine.

One step, for a scan with base crops on a grid and random crops among them, a student ``f`` and its teacher ``t``: the
similarity of a random crop's embedding to each base crop's must be the share of the crop that lies in it, and base
crops must not be similar to each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from medcontext import networks
from medcontext.engine.ema import AveragedNetwork
from medcontext.engine.method import Clock, Stage
from medcontext.engine.pretext_watch import Look
from medcontext.methods.voco import losses
from medcontext.methods.voco.config import VoCoConfig
from medcontext.methods.voco.crops import CropBatch, CropMaker, Layout
from medcontext.methods.voco.losses import Embedded, rows
from medcontext.methods.voco.projector import Projector
from medcontext.methods.voco.student import Student
from medcontext.methods.voco.watched import Watched
from medcontext.networks import SegmentationNetwork
from medcontext.plan import Plan

DROP_STREAM = 104
"""Key that keeps the random numbers of dropped crops apart from those of where crops lie."""
LEAST_STEPS = 100
"""Before, and before a quarter of the run, embeddings that are all alike are no news."""


class VoCo:
    """Tells where a crop of a scan comes from; see the module's text."""

    name = "voco"

    def __init__(self, config: VoCoConfig) -> None:
        self.config = config
        self._student: Student | None = None
        self._teacher: AveragedNetwork | None = None
        self._plan: Plan | None = None
        self._settled = False

    def build(self, network: nn.Module, plan: Plan) -> nn.Module:
        """Encoder and projector, and a teacher.

        Raises:
            InputError: the network does not take crops of this size, or has no such outputs.
        """
        network = cast(SegmentationNetwork, network)
        network.patch_rule.check(network.name, plan.patch_size)
        self._plan = plan
        self._student = Student(network, self.config)
        if self.config.teacher != "none":
            self._teacher = AveragedNetwork(self._taught(network, plan))
        return self._student

    def _taught(self, network: SegmentationNetwork, plan: Plan) -> nn.Module:
        """What the teacher starts from."""
        student = self._built[0]
        whole = self.config.teacher == "copy"
        if self.config.teacher_from_student:
            return student if whole else student.projector
        device = next(network.parameters()).device
        if whole:
            other = networks.build(plan.network, network.in_channels, network.classes)
            return Student(other.to(device), self.config)
        return Projector(student.features, self.config.projector, student.width).to(device)

    def stages(self, batch_size: int, unlabelled_cases: int, total: int) -> list[Stage]:  # noqa: ARG002
        return [Stage("voco", 1.0, 1.0, labelled=0, unlabelled=batch_size)]

    def make(
        self,
        volumes: Sequence[np.ndarray],
        samples: Sequence[int],
        generators: Sequence[np.random.Generator],
    ) -> CropBatch:
        """Base and random crops of volumes ``(C, K, J, I)``."""
        return CropMaker(self._layout, self.config.random_crops, self.config.changes)(
            volumes, samples, generators
        )

    def loss(self, student: nn.Module, batch: CropBatch, clock: Clock) -> Mapping[str, Tensor]:
        config = self.config
        self._settled = clock.step >= max(LEAST_STEPS, clock.total / 4)
        mine, taught = self._embed(student, batch, self._kept(batch, clock), moves=config.ema_in_forward)
        with torch.autocast(batch.base.device.type, enabled=False):
            terms = losses.prediction(losses.logits(mine, taught, config), batch.overlap, config)
            if config.w_inter:
                terms["inter"] = config.w_inter * losses.inter(mine, taught, config)
            terms["regularisation"] = (
                config.w_regularisation * losses.regularisation(mine.base, config).mean()
            )
        return terms

    @torch.no_grad()
    def embed(self, batch: CropBatch) -> tuple[Embedded, Embedded]:
        """Embeddings by the student and by the teacher, or the student again where there is none; nothing moves."""
        return self._embed(self._built[0].eval(), batch)

    def _embed(
        self, student: nn.Module, batch: CropBatch, kept: Tensor | None = None, *, moves: bool = False
    ) -> tuple[Embedded, Embedded]:
        """One pass over all crops, so that batch norm sees them all; ``student`` is as the loop has it.

        Args:
            student: learns, or is judged.
            batch: of V scans.
            kept: factors on the features of each crop.
            moves: whether the teacher moves before it is asked.
        """
        crops = rows(batch.random, batch.base)
        embedded, pooled = student(crops, kept)
        mine = Embedded.of(embedded, batch.overlap)
        if self._teacher is None:
            return mine, mine.detached()
        if moves:
            self._move()
        teacher = self._teacher.network.train(student.training)
        with torch.no_grad():
            taught = teacher(crops)[0] if self.config.teacher == "copy" else teacher(pooled)
        return mine, Embedded.of(taught, batch.overlap)

    def _kept(self, batch: CropBatch, clock: Clock) -> Tensor | None:
        """Factors on the features of each crop: 0 for what is dropped, and what is left grows accordingly."""
        share = self.config.dropped_rows
        if not share:
            return None
        random, base = batch.random.shape[1], batch.base.shape[1]
        drawn = np.stack([g.random(random + base) for g in clock.generators(batch.samples, DROP_STREAM)])
        kept = torch.from_numpy((drawn >= share) / (1 - share)).float().to(batch.base.device)
        return rows(kept[:, :random], kept[:, random:]).unsqueeze(1)

    def look_at(self, volumes: Sequence[np.ndarray], ids: Sequence[str]) -> Look:
        """Tells where crops of these volumes come from, the same ones at every look."""
        return Watched(
            self.embed, lambda: self._settled, self.config, self._layout, self._built[1], volumes, ids
        )

    def after_step(self, student: nn.Module, momentum: float) -> None:  # noqa: ARG002
        if self._teacher is not None and not self.config.ema_in_forward:
            self._move()

    def _move(self) -> None:
        """Move the teacher: ``theta_t <- m theta_t + (1 - m) theta_s``."""
        student, _ = self._built
        if self._teacher is not None:
            whole = self.config.teacher == "copy"
            self._teacher.update(student if whole else student.projector, self.config.ema)

    def deliver(self) -> nn.Module:
        return self._built[0].network

    def mask_token(self) -> None:
        return None

    def state_dict(self) -> dict[str, Any]:
        return {} if self._teacher is None else {"teacher": self._teacher.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self._teacher is not None:
            self._teacher.load_state_dict(state["teacher"])

    @property
    def _layout(self) -> Layout:
        crop = self._built[1].patch_size
        return Layout(self.config.grid, self.config.cell_size or crop, crop)

    @property
    def _built(self) -> tuple[Student, Plan]:
        if self._student is None or self._plan is None:
            raise RuntimeError("build() comes first")
        return self._student, self._plan
