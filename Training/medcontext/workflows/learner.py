"""A copy of one network that learns from what a person corrected in one scan."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from medcontext.card_schema import ModelCard
from medcontext.data.augment.config import AugmentConfig
from medcontext.data.augment.draw import IntensityDraw, coarse_axis, draw_intensity
from medcontext.data.augment.intensity import apply_intensity
from medcontext.data.augment.mirror import mirror
from medcontext.data.preprocess import PreparedCase
from medcontext.data.sampling import cut, generator_for
from medcontext.devices import Device, choose_precision, is_out_of_memory, torch_dtype
from medcontext.errors import ResourceError, TrainingDivergedError
from medcontext.events import Reporter
from medcontext.labels import IGNORE
from medcontext.losses.consistency import consistency
from medcontext.losses.dice_cross_entropy import DiceCrossEntropy
from medcontext.workflows.correction import KEEP


@dataclass(frozen=True)
class AdaptSettings:
    """How a model is adapted; chosen on training cases that the models had not learnt from.

    Attributes:
        learning_rate: the largest, of AdamW.
        batch: patches a step.
        keep_weight: weight of the distance from the parent's answer where it is kept.
        near_mm: around what was looked at neither the parent's answer is kept nor another one taught.
        warmup: steps in which the learning rate rises.
        clip: largest norm of the gradient.
        strength: of the intensity changes, relative to training. Patches are mirrored too, where the model may be,
            but neither turned nor bent: that gained less, as the scan to segment again is this very one.
    """

    learning_rate: float = 3e-4
    batch: int = 2
    keep_weight: float = 1.0
    near_mm: float = 5.0
    warmup: int = 5
    clip: float = 12.0
    strength: float = 0.3


class Learner:
    """A copy of one network that learns from one scan.

    The network stays in evaluation mode: a few patches of one scan say nothing about running statistics, and dropout
    would only slow down what has half a minute.
    """

    def __init__(
        self,
        network: nn.Module,
        card: ModelCard,
        case: PreparedCase,
        places: np.ndarray,
        device: Device,
        precision: str,
        seed: int,
        settings: AdaptSettings,
    ) -> None:
        self.network = copy.deepcopy(network).to(device.torch_device).eval().requires_grad_(True)
        self._parent = copy.deepcopy(network).to(device.torch_device).eval().requires_grad_(False)
        self._card, self._case, self._places, self._seed = card, case, places, seed
        self._device, self._settings = device.torch_device, settings
        chosen = choose_precision(device, precision)
        self._precision = "fp32" if chosen == "fp16" else chosen
        self._flips = [] if card.flip_pairs else card.allowed_flips
        self._loss, self._known = DiceCrossEntropy(), torch.from_numpy(case.known).to(self._device)
        parameters = list(self.network.parameters())
        self._optimiser = torch.optim.AdamW(parameters, settings.learning_rate, weight_decay=0.0)

    def learn(self, steps: int, seconds: float | None, reporter: Reporter) -> int:
        """Take up to ``steps`` steps within ``seconds``, at least one; returns how many."""
        began, done = time.monotonic(), 0
        while done < steps:
            share = done / steps
            if seconds is not None:
                share = max(share, (time.monotonic() - began) / seconds)
            if share >= 1 and done:
                break
            reporter.check_cancelled()
            reporter.progress("adapt", share)
            try:
                self._step(done, share)
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise ResourceError(
                        "Memory ran out.", "Close other programs, or choose the CPU."
                    ) from error
                raise
            done += 1
        reporter.progress("adapt", 1)
        self.network.requires_grad_(False)
        return done

    def _step(self, step: int, share: float) -> None:
        settings = self._settings
        rate = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
        for group in self._optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / settings.warmup)
        loss = self._distance(*self._batch(step))
        if not bool(torch.isfinite(loss)):
            raise TrainingDivergedError(
                "The loss became infinite while learning from the correction.", "Nothing was changed."
            )
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        self._optimiser.step()

    def _distance(self, plain: Tensor, strong: Tensor, target: Tensor) -> Tensor:
        """The loss: from the correction where there is one, from the parent where it is kept."""
        kept = target == KEEP
        dtype, reduced = torch_dtype(self._precision), self._precision != "fp32"
        with torch.autocast(self._device.type, dtype=dtype, enabled=reduced):
            logits = self.network(strong)
            with torch.no_grad():
                wanted = self._parent(plain)
        known = self._known.expand(len(target), -1)
        loss = self._loss(logits, target.masked_fill(kept, IGNORE), known)
        return loss + self._settings.keep_weight * consistency(wanted, logits, "kl", kept)

    def _batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Images as they are and with other intensities, ``(B, C, *patch)``, and targets ``(B, *patch)``."""
        images: list[Tensor] = []
        targets: list[Tensor] = []
        draws: list[IntensityDraw] = []
        spec = self._card.input
        coarse, channels = coarse_axis(spec.spacing, spec.patch_size), len(spec.channels)
        for sample in range(self._settings.batch):
            generator = generator_for(self._seed, step, sample)
            image, target = self._patch(generator)
            images.append(image)
            targets.append(target)
            strength = self._settings.strength
            draws.append(draw_intensity(AugmentConfig(), generator, strength, channels, coarse))
        plain = torch.stack(images)
        strong = apply_intensity(plain, draws)
        return (
            plain.to(self._device),
            strong.to(self._device),
            torch.stack(targets).long().to(self._device),
        )

    def _patch(self, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A patch ``(C, *patch)`` with a voxel of the correction in its middle half, and its target."""
        place = self._places[generator.integers(len(self._places))]
        lengths, size = self._case.image.shape[1:], self._card.input.patch_size
        k, j, i = (
            self._start(int(at), length, width, generator)
            for at, length, width in zip(place, lengths, size, strict=True)
        )
        patch = cut(self._case, (k, j, i), size)
        mirrored = [axis for axis in self._flips if generator.random() < 0.5]
        return (
            mirror(torch.from_numpy(patch.image), mirrored),
            mirror(torch.from_numpy(patch.labels), mirrored),
        )

    @staticmethod
    def _start(place: int, length: int, width: int, generator: np.random.Generator) -> int:
        if length <= width:
            return -((width - length) // 2)
        offset = int(generator.integers(width // 4, width - width // 4))
        return min(max(0, place - offset), length - width)
