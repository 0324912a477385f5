"""From prepared network input to results: windows, slab and labels, in less memory where it runs out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from medcontext.card_schema import ModelCard
from medcontext.data.augment.mirror import left_right_axis
from medcontext.devices import Device, Precision, free_memory, is_out_of_memory
from medcontext.errors import InputError, ResourceError
from medcontext.events import Reporter
from medcontext.inference.accumulate import predict_planes
from medcontext.inference.certainty import (
    VIEWS,
    CertaintyKind,
    entropy_certainty,
    masked_certainty,
    masked_forward,
)
from medcontext.inference.choice import PlanChoice
from medcontext.inference.clock import Clock
from medcontext.inference.finish import Outputs, PlaneFinisher
from medcontext.inference.forward import Forward, mean_forward, mirrored_forward, remember_constant
from medcontext.inference.labelling import ScoreMeaning
from medcontext.inference.masked import Masked, masked_once, with_hidden_input, with_mask_channel
from medcontext.inference.plan import ExecutionPlan, planned_forward
from medcontext.inference.region import Region
from medcontext.inference.windows import WindowGrid

SLAB_SHARE = 0.6
"""Share of a GPU's free memory that the slab may take; a larger one is kept in main memory."""

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Targets:
    """Arrays on the grid of the image that are filled inside the box; probabilities by score channel."""

    labels: np.ndarray
    probabilities: dict[int, np.memmap] = field(default_factory=dict)
    certainty: np.ndarray | None = None
    certainty_kind: CertaintyKind = "none"

    def within(self, region: Region, axis: int) -> Outputs:
        """Views on the box with the slab axis first."""

        def view(array: np.ndarray) -> np.ndarray:
            return np.moveaxis(region.view(array), axis, 0)

        return Outputs(
            view(self.labels),
            {channel: view(array) for channel, array in self.probabilities.items()},
            None if self.certainty is None else view(self.certainty),
        )


@dataclass(frozen=True)
class _Setting:
    """One way to compute; each one needs less memory than that before it."""

    device: torch.device
    slab_on_cpu: bool
    measured: bool
    announcement: str = ""


class ModelRun:
    """The networks of a model on a device, ready for one image after another."""

    def __init__(
        self,
        networks: Sequence[nn.Module],
        card: ModelCard,
        meaning: ScoreMeaning,
        device: Device,
        precision: str,
        overlap: float | None,
        masked_network: nn.Module | None,
        plan: ExecutionPlan | None = None,
    ) -> None:
        self._networks = [network.eval() for network in networks]
        self._card, self._meaning, self._device = card, meaning, device
        self._overlap = card.inference.overlap if overlap is None else overlap
        self._masked = masked_network
        self._built: tuple[torch.device, ExecutionPlan, Forward] | None = None
        self._choice = PlanChoice(self._networks, card, meaning, device, precision, plan)

    def __call__(
        self, region: Region, targets: Targets, reporter: Reporter, clock: Clock, frugal: bool = False
    ) -> tuple[ExecutionPlan, str]:
        """Fill the targets; gives how and on which device it was done in the end.

        Args:
            region: what the network sees.
            targets: where results go.
            reporter: told of progress and of other ways that had to be tried.
            clock: of the stages.
            frugal: begin with the way that takes least memory.

        Raises:
            CancelledError: someone asked to stop.
            ResourceError: memory ran out in the most frugal way too.
        """
        for setting in self._settings(frugal):
            if setting.announcement:
                reporter.warning(setting.announcement)
            try:
                plan = self._attempt(setting, region, targets, reporter, clock)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            else:
                return plan, self._device.name if setting.device == self._device.torch_device else "CPU"
            # Reached only after the exception, and the tensors its traceback held, are gone.
            self._built = None
            if self._device.kind == "cuda":
                torch.cuda.empty_cache()
        raise ResourceError(
            f"Memory ran out with {self._meaning.channels} classes on {region.image.shape[1:]} voxels.",
            "Close other programs, give a region of interest, or choose a model with larger voxels.",
        )

    def _settings(self, frugal: bool) -> Iterator[_Setting]:
        device, name = self._device.torch_device, self._device.name
        if frugal:
            yield _Setting(device, slab_on_cpu=True, measured=False)
        else:
            yield _Setting(device, slab_on_cpu=False, measured=True)
            yield _Setting(device, False, False, f"Memory ran out on {name}: trying one window at a time.")
        if self._device.kind != "cpu":
            text = f"Memory ran out on {name}: trying with intermediate results in main memory."
            if not frugal:
                yield _Setting(device, True, False, text)
            yield _Setting(
                CPU, True, False, f"Memory ran out on {name}: computing on the CPU, which takes longer."
            )

    def _attempt(
        self, setting: _Setting, region: Region, targets: Targets, reporter: Reporter, clock: Clock
    ) -> ExecutionPlan:
        grid = self._grid(region)
        blind = self._masked is not None and region.hidden is not None
        image = torch.from_numpy(_network_input(region, blind)).to(
            CPU if setting.slab_on_cpu else setting.device
        )
        self._move_to(setting.device)
        views = VIEWS if targets.certainty_kind == "masked" else 0
        may_measure = setting.measured and not blind
        plan = self._choice.plan(setting.device, grid, image, views=views, may_measure=may_measure)
        clock.lap("plan")
        forward = self._blind_forward(setting.device, plan) if blind else self._forward(setting.device, plan)
        if targets.certainty_kind == "masked":
            forward = self._with_masked_views(forward, setting.device, plan.precision, blind)
        axis = grid.slab_axis
        slab_device = self._slab_device(setting, grid, axis, targets.certainty_kind == "masked")
        finisher = self._finisher(region, targets, axis, setting.device)

        def before_call(share: float) -> None:
            reporter.check_cancelled()
            reporter.progress("segment", share)

        planes = predict_planes(
            forward,
            image,
            grid,
            axis=axis,
            device=setting.device,
            batch=plan.batch,
            slab_device=slab_device,
            before_call=before_call,
        )
        for index, sums, weight in planes:
            self._check_channels(sums, targets.certainty_kind == "masked")
            if setting.device.type == "cuda":
                torch.cuda.synchronize(setting.device)
            clock.lap("segment")
            finisher.feed(index, sums.to(setting.device), weight.to(setting.device))
            clock.lap("label")
        reporter.progress("segment", 1)
        return plan

    def _grid(self, region: Region) -> WindowGrid:
        overlap = self._overlap if region.overlap is None else region.overlap
        weight = self._card.inference.window_weight
        return WindowGrid.cover(region.image.shape[1:], self._card.input.patch_size, overlap, weight)

    def _move_to(self, device: torch.device) -> None:
        with torch.inference_mode(False):  # parameters moved in inference mode could not be trained any more
            for network in self._networks:
                network.to(device)

    def settle(self, region: Region, images: int) -> ExecutionPlan:
        """Choose once how to compute ``images`` images such as this one, and stay with it.

        Raises:
            InputError: the device has no such precision.
        """

        def image() -> Tensor:
            self._move_to(self._device.torch_device)
            return torch.from_numpy(_network_input(region, blind=False)).to(self._device.torch_device)

        return self._choice.settle(self._grid(region), image, images)

    def _forward(self, device: torch.device, plan: ExecutionPlan) -> Forward:
        """Scores of windows from all networks and mirrored copies; kept for the next image."""
        if self._built is None or self._built[:2] != (device, plan):
            members = mean_forward([planned_forward(network, plan) for network in self._networks])
            self._built = device, plan, remember_constant(self._mirrored(members))
        return self._built[2]

    def _mirrored(self, forward: Forward) -> Forward:
        return mirrored_forward(
            forward,
            self._card.inference.flips,
            left_right_axis(self._card.input.orientation, self._card.input.transpose),
            self._meaning.mirrored_channels(),
        )

    def _blind_forward(self, device: torch.device, plan: ExecutionPlan) -> Forward:
        """Scores of windows whose last channel says what is hidden."""
        return self._mirrored(masked_once(with_mask_channel(self._masked_on(device)), plan.precision))

    def _masked_on(self, device: torch.device) -> Masked:
        # In input space any network can be masked; it needs nothing that only training knows.
        if self._masked is None:
            return with_hidden_input(self._networks[0])
        return self._masked.to(device).eval()

    def _with_masked_views(
        self, clean: Forward, device: torch.device, precision: Precision, blind: bool
    ) -> Forward:
        masked = self._masked_on(device)
        if blind:
            masked = with_mask_channel(masked)
        return masked_forward(clean, masked, self._meaning, self._card.input.patch_size, precision)

    def _slab_device(self, setting: _Setting, grid: WindowGrid, axis: int, doubled: bool) -> torch.device:
        """Where the slab fits.

        Raises:
            MemoryError: it does not fit into main memory either.
        """
        shape = [grid.patch[a] if a == axis else n for a, n in enumerate(grid.shape)]
        needed = 4 * math.prod(shape) * self._meaning.channels * (2 if doubled else 1)
        kind = setting.device.type
        fits = kind == "mps" or (kind == "cuda" and needed <= SLAB_SHARE * free_memory(setting.device))
        if fits and not setting.slab_on_cpu:
            return setting.device
        if needed > free_memory(CPU):
            raise MemoryError(f"a slab of {needed / 2**30:.1f} GB")
        return CPU

    def _finisher(self, region: Region, targets: Targets, axis: int, device: torch.device) -> PlaneFinisher:
        maps = [region.maps[axis], *(m for a, m in enumerate(region.maps) if a != axis)]
        certainty = {"entropy": entropy_certainty, "masked": masked_certainty}.get(targets.certainty_kind)
        return PlaneFinisher(
            (maps[0], maps[1], maps[2]),
            self._meaning,
            targets.within(region, axis),
            device,
            certainty(self._meaning) if certainty else None,
        )

    def _check_channels(self, sums: Tensor, doubled: bool) -> None:
        given = sums.shape[0] // 2 if doubled else sums.shape[0]
        if given != self._meaning.channels:
            raise InputError(
                f"The network gives {given} channels, but '{self._card.title}' lists labels for "
                f"{self._meaning.channels}.",
                "The model folder is inconsistent: import it again.",
            )


def _network_input(region: Region, blind: bool) -> np.ndarray:
    """The image, and for a network that is told what is hidden that as a further channel."""
    if blind and region.hidden is not None:
        return np.concatenate([region.image, region.hidden[None].astype(np.float32)])
    return np.ascontiguousarray(region.image)
