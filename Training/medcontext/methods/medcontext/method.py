"""MedContext on the common engine.

One step, for a labelled patch ``(x, y)``, a student ``f``, its masked form ``f_m`` and the teacher ``f_t`` (the
student's moving average): ``L = S(f(x), y) + alpha S(f_m(x), y) + beta C(f_t(x), f_m(x))`` with ``S`` Dice and
cross-entropy and ``C`` a distance in segmentation space. Unlabelled patches add a term of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medcontext.engine.ema import AveragedNetwork
from medcontext.engine.method import Batch, Clock, Stage, Views
from medcontext.labels import IGNORE
from medcontext.losses.consistency import consistency
from medcontext.losses.dice_cross_entropy import DiceCrossEntropy
from medcontext.masking.cells import MaskConfig, draw_mask
from medcontext.masking.network import MaskedNetwork, MaskToken
from medcontext.methods.medcontext.config import MedContextConfig
from medcontext.methods.medcontext.mixing import by_origin, exchange, pseudo_labels
from medcontext.methods.medcontext.teacher import momentum_at
from medcontext.plan import Plan

MASK_STREAM, MIX_STREAM, UNLABELLED_MASK_STREAM = 101, 102, 103
"""Keys that keep the random numbers of masks apart from those of augmentation."""


class MedContext:
    """Joint learning on clean and masked views with a teacher; see the module's text.

    Attributes:
        first_token: what the mask token starts from; zero when None, or where it does not fit.
    """

    name = "medcontext"

    def __init__(self, config: MedContextConfig) -> None:
        self.config = config
        self._segmentation = DiceCrossEntropy(config.segmentation)
        self._teacher: AveragedNetwork | None = None
        self._student: MaskedNetwork | None = None
        self._cell = (1, 1, 1)
        self._step = 0
        self._total = 1
        self.first_token: MaskToken | None = None

    def build(self, network: nn.Module, plan: Plan) -> nn.Module:  # noqa: ARG002
        points = network.mask_points()  # type: ignore[operator]
        self._teacher = AveragedNetwork(network)
        space = self.config.mask_space
        if space == "auto":
            space = "token" if max(points.cell) > 1 else "input"
        if space == "token":
            self._cell = points.cell
        self._student = MaskedNetwork(
            network,  # type: ignore[arg-type]
            space,
            mask_before_position=self.config.mask_before_position,
            mask_image_skips=self.config.mask_image_skips,
        )
        first, mine = self.first_token, self._student.mask_token
        if first is not None and mine is not None and mine.shape == first.vector.shape:
            mine.data.copy_(first.vector)
        return self._student

    def stages(self, batch_size: int, unlabelled_cases: int, total: int) -> list[Stage]:
        config = self.config.unlabelled
        weak = self.config.consistency_weight > 0
        start = max(config.start, min(1.0, config.least_steps / total))
        if not unlabelled_cases or config.weight == 0 or start == 1:
            return [Stage("labelled", 1.0, 1.0, batch_size, weak_view=weak)]
        # A pair of scans gives two mixed patches: half as many pairs cost as much as the labelled stage.
        pairs = max(1, batch_size // 2) if config.term == "mix" else batch_size
        joined = Stage("joined", 1 - start, config.restart, pairs, pairs, weak_view=weak)
        if start == 0:
            return [joined]
        return [Stage("labelled", start, 1.0, batch_size, weak_view=weak), joined]

    def loss(self, student: nn.Module, batch: Batch, clock: Clock) -> Mapping[str, Tensor]:
        self._step, self._total = clock.step, clock.total
        if batch.unlabelled is None:
            return self._labelled(student, batch.labelled, clock)
        weight = self._ramp(clock)
        if self.config.unlabelled.term == "mix":
            return self._mixed(student, batch.labelled, batch.unlabelled, clock, weight)
        return self._labelled(student, batch.labelled, clock) | self._masked_unlabelled(
            student, batch.unlabelled, clock, weight
        )

    def _labelled(self, student: nn.Module, views: Views, clock: Clock) -> dict[str, Tensor]:
        """Clean and masked supervision, and consistency with the teacher."""
        config = self.config
        if config.masked_weight == 0 and config.consistency_weight == 0:
            return {"supervised": self._segmentation.deep(student(views.image), views.labels, views.known)}
        mask = self._mask(views, config.mask, clock, MASK_STREAM)
        if config.views == "split":
            return self._split(student, views, mask, clock.step)
        both = torch.cat([views.image, views.image])
        heads = student(both, torch.cat([torch.zeros_like(mask), mask]))
        count = len(views.image)
        share = 0.5 if config.average_two_supervised else 1.0
        clean = [head[:count] for head in heads]
        hidden = [head[count:] for head in heads]
        terms = {"supervised": share * self._segmentation.deep(clean, views.labels, views.known)}
        if config.masked_weight:
            masked = self._segmentation.deep(hidden, views.labels, views.known)
            terms["masked"] = share * config.masked_weight * masked
        if config.consistency_weight:
            terms["consistency"] = self._consistency(views, hidden[0], mask)
        return terms

    def _split(self, student: nn.Module, views: Views, mask: Tensor, step: int) -> dict[str, Tensor]:
        """Every second patch is masked: one forward, so as many steps as plain supervision."""
        odd = ((views.samples + step) % 2 == 1).to(mask.device)
        mask = mask & odd.view(-1, 1, 1, 1)
        heads = student(views.image, mask)
        terms = {}
        for name, chosen, weight in (("supervised", ~odd, 1.0), ("masked", odd, self.config.masked_weight)):
            # Labels of the other half are ignored instead of cut away, so that all processes hold every term.
            labels = views.labels.masked_fill(~chosen.view(-1, 1, 1, 1), IGNORE)
            terms[name] = 0.5 * weight * self._segmentation.deep(heads, labels, views.known)
        if self.config.consistency_weight:
            terms["consistency"] = self._consistency(views, heads[0], mask, odd)
        return terms

    def _consistency(
        self, views: Views, student_logits: Tensor, mask: Tensor, chosen: Tensor | None = None
    ) -> Tensor:
        """Distance from the teacher's answer on the clean view; of the ``chosen`` samples, all when None."""
        image = views.weak if views.weak is not None else views.image
        if chosen is not None:
            image, student_logits, mask = image[chosen], student_logits[chosen], mask[chosen]
        # A process may hold no masked sample of a small batch; it still takes part in the mean.
        teacher = self._teach(image) if len(image) else student_logits.detach()
        region = mask if self.config.consistency_region == "masked" else None
        distance = consistency(teacher, student_logits, self.config.consistency_norm, region)
        return self.config.consistency_weight * distance

    def _masked_unlabelled(
        self, student: nn.Module, views: Views, clock: Clock, weight: float
    ) -> dict[str, Tensor]:
        """The masked view of an unlabelled patch against the teacher's clean one."""
        mask = self._mask(views, self.config.mask, clock, UNLABELLED_MASK_STREAM)
        teacher = self._teach(_weak(views))
        heads = student(views.image, mask)
        if self.config.unlabelled.term == "pseudo":
            targets = pseudo_labels(teacher, self.config.unlabelled.margin)
            return {"pseudo": weight * self._segmentation.deep(heads, targets)}
        region = mask if self.config.consistency_region == "masked" else None
        distance = consistency(teacher, heads[0], self.config.consistency_norm, region)
        return {"unlabelled_consistency": weight * distance}

    def _mixed(
        self, student: nn.Module, labelled: Views, unlabelled: Views, clock: Clock, weight: float
    ) -> dict[str, Tensor]:
        """Boxes exchanged between a labelled and an unlabelled patch, each voxel scored by its origin."""
        config = self.config.unlabelled
        box = self._mask(labelled, config.mask, clock, MIX_STREAM)
        pseudo = pseudo_labels(self._teach(_weak(unlabelled)), config.margin)
        heads = student(exchange(labelled.image, unlabelled.image, box))
        real, guessed = by_origin(labelled.labels, pseudo, box)
        known = torch.cat([labelled.known, labelled.known])
        return {
            "mixed": self._segmentation.deep(heads, real, known),
            "mixed_pseudo": weight * self._segmentation.deep(heads, guessed),
        }

    def _mask(self, views: Views, config: MaskConfig, clock: Clock, stream: int) -> Tensor:
        size = tuple(views.image.shape[2:])
        config = config.on_tokens(self._cell)
        samples = views.samples if self.config.mask_per_sample else views.samples * 0
        masks = [draw_mask(config, size, g) for g in clock.generators(samples, stream)]  # type: ignore[arg-type]
        return torch.from_numpy(np.stack(masks)).to(views.image.device)

    def _ramp(self, clock: Clock) -> float:
        config = self.config.unlabelled
        done = clock.stage_progress * clock.stage.share
        return config.weight * (min(1.0, done / config.ramp) if config.ramp else 1.0)

    @torch.no_grad()
    def _teach(self, image: Tensor) -> Tensor:
        network = self._average().network
        network.train(not self.config.teacher.eval_mode)
        logits: Tensor = network(image)
        network.eval()
        return logits.float()

    def after_step(self, student: nn.Module, momentum: float) -> None:
        mine = momentum_at(self.config.teacher, self._step, self._total, momentum)
        if mine is not None:
            self._average().update(student.network, mine)  # type: ignore[arg-type]

    def deliver(self) -> nn.Module:
        if self.config.predictor == "student" and self._student is not None:
            return self._student.network
        return self._average().network

    def mask_token(self) -> MaskToken | None:
        # The teacher never sees a mask: it is delivered with the token of the student that it follows. A token that
        # no masked view has trained is still zero.
        token = self._student.token if self._student is not None else None
        return token if token is not None and bool(token.vector.any()) else None

    def state_dict(self) -> dict[str, Any]:
        return {"teacher": self._average().state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._average().load_state_dict(state["teacher"])

    def _average(self) -> AveragedNetwork:
        if self._teacher is None:
            raise RuntimeError("build() comes first")
        return self._teacher


def _weak(views: Views) -> Tensor:
    return views.image if views.weak is None else views.weak
