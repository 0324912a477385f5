"""A model applied to an image: labels, probabilities and certainty on the grid of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from medcontext.card_schema import ModelCard
from medcontext.devices import Device
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.inference.certainty import CertaintyKind
from medcontext.inference.clock import Clock
from medcontext.inference.focus import Box, Focus
from medcontext.inference.labelling import ScoreMeaning
from medcontext.inference.plan import ExecutionPlan, default_plan
from medcontext.inference.postprocess import keep_largest_component
from medcontext.inference.prepare import PreparedImage, prepare
from medcontext.inference.run import ModelRun, Targets
from medcontext.inference.scratch import probability_map


@dataclass(frozen=True)
class Prediction:
    """What a model says of an image.

    Attributes:
        labelmap: uint8, one channel, on the grid of the image; label values as in the card.
        probabilities: for each label value asked for, float16 ``(K, J, I)``; zero outside the box.
        certainty: uint8, one channel, 255 where the model is sure, zero outside the box; None unless wanted.
        seconds: wall time of each stage: preprocess, plan, segment, label.
        execution: how windows were computed.
        device: where.
    """

    labelmap: Volume
    probabilities: dict[int, np.memmap]
    certainty: Volume | None
    seconds: dict[str, float]
    execution: ExecutionPlan
    device: str


class Predictor:
    """Applies a model; keeps it warm between images.

    Scores of several networks and of mirrored copies are averaged before softmax (logits, as nnU-Net does).

    Args:
        networks: the members of the model, from ``(B, C, *patch)`` to scores; moved to the device.
        card: everything else about the model.
        device: where to compute.
        precision: auto, fp32, bf16 or fp16.
        overlap: share of a window that the next one repeats; the card's when None.
        masked_network: called with ``(windows, mask)`` for masked certainty; the first network with hidden
            voxels set to zero when None.
        plan: how windows are computed; measured where that pays when None. Where memory runs out, other ways are
            tried either way.

    Raises:
        InputError: there is no network, or the device has no such precision.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        card: ModelCard,
        device: Device,
        precision: str = "auto",
        overlap: float | None = None,
        masked_network: nn.Module | None = None,
        plan: ExecutionPlan | None = None,
    ) -> None:
        if not networks:
            raise InputError(f"The model '{card.title}' has no weights.", "Import it again.")
        default_plan(device, precision if plan is None else plan.precision)
        self.card = card
        self.meaning = ScoreMeaning(card)
        self._run = ModelRun(networks, card, self.meaning, device, precision, overlap, masked_network, plan)

    def predict(
        self,
        image: Volume,
        *,
        box: Box | None = None,
        focus: Focus | None = None,
        probabilities_of: Sequence[int] = (),
        certainty: CertaintyKind = "none",
        reporter: Reporter | None = None,
        scratch: Path | None = None,
        frugal: bool = False,
        part: Box | None = None,
    ) -> Prediction:
        """Segment an image.

        Args:
            image: ``(C, K, J, I)`` in scanner units, any orientation and spacing.
            box: index ranges ``(K, J, I)`` of the image that the result is restricted to.
            focus: a mask that the result is restricted to instead, and how to look at it; pieces of a label are
                then all kept, since the rest of the structure lies outside.
            probabilities_of: label values whose probabilities are wanted; 0 is background.
            certainty: none, entropy, or masked (agreement of views with hidden parts).
            reporter: gets progress and warnings, and is asked between windows whether to stop.
            scratch: folder for the files of the probability maps, which the caller deletes; without it they
                vanish with the arrays.
            frugal: begin with the way that takes least memory: one window at a time, intermediate results in main
                memory, nothing measured.
            part: index ranges with explicit bounds inside the box: only there is computed, with the image prepared as
                for the whole box; the rest stays zero, and pieces of a label are all kept, as with a focus.

        Raises:
            InputError: the image does not fit the model; the sentence says what is needed.
            CancelledError: someone asked to stop.
            ResourceError: memory or disk space ran out.
        """
        # Before anything is prepared: a label that the model does not know is no reason to work first.
        for value in probabilities_of:
            self.meaning.channel_of(value)
        prepared = self.prepare(image, box=box, focus=focus, part=part, reporter=reporter)
        return self.segment(
            prepared,
            probabilities_of=probabilities_of,
            certainty=certainty,
            reporter=reporter,
            scratch=scratch,
            frugal=frugal,
        )

    def prepare(
        self,
        image: Volume,
        *,
        box: Box | None = None,
        focus: Focus | None = None,
        part: Box | None = None,
        reporter: Reporter | None = None,
    ) -> PreparedImage:
        """The first half of :meth:`predict`, which may run in another thread than the second."""
        return prepare(image, self.card, box=box, focus=focus, part=part, reporter=reporter)

    @torch.inference_mode()
    def settle_plan(self, prepared: PreparedImage, images: int) -> ExecutionPlan:
        """Measure once how to compute ``images`` images such as this one, and stay with it from now on.

        Measuring pays over all of them together; results then no longer depend on which image came first.
        """
        return self._run.settle(prepared.region, images)

    @torch.inference_mode()
    def segment(
        self,
        prepared: PreparedImage,
        *,
        probabilities_of: Sequence[int] = (),
        certainty: CertaintyKind = "none",
        reporter: Reporter | None = None,
        scratch: Path | None = None,
        frugal: bool = False,
    ) -> Prediction:
        """The second half of :meth:`predict`, from what :meth:`prepare` gave."""
        reporter, clock = reporter or Reporter(), Clock({"preprocess": prepared.seconds})
        shape, focus = prepared.geometry.shape, prepared.focus
        channels = {value: self.meaning.channel_of(value) for value in probabilities_of}
        maps = {value: probability_map(shape, value, scratch) for value in channels}
        sure = np.zeros(shape, np.uint8) if certainty != "none" else None
        labels = np.zeros(shape, np.uint8)
        targets = Targets(labels, {channels[value]: array for value, array in maps.items()}, sure, certainty)
        if frugal:
            reporter.info(
                "Low-memory plan: one window at a time, intermediate results in main memory, nothing measured."
            )
        execution, device_name = self._run(prepared.region, targets, reporter, clock, frugal)

        reporter.progress("label", 0)
        if prepared.whole:
            keep_largest_component(labels, self.card.inference.postprocess.largest_component)
        elif focus is not None:
            for array in (labels, *maps.values(), *(() if sure is None else (sure,))):
                array[~focus.mask] = 0
        reporter.progress("label", 1)
        clock.lap("label")
        labelmap = Volume(labels[None], prepared.geometry)
        certainty_map = None if sure is None else Volume(sure[None], prepared.geometry)
        return Prediction(labelmap, maps, certainty_map, clock.seconds, execution, device_name)
