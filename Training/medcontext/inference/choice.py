"""Which execution plan a model takes: measured where that pays, or settled for a whole run of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from medcontext.card_schema import ModelCard
from medcontext.devices import Device, is_out_of_memory
from medcontext.inference.labelling import ScoreMeaning
from medcontext.inference.plan import MINIMUM_CALLS, ExecutionPlan, default_plan, measured_plan
from medcontext.inference.windows import WindowGrid


class PlanChoice:
    """Chooses how windows are computed.

    Args:
        networks: the members of the model.
        card: flips are read.
        meaning: of the scores.
        device: where they run.
        precision: asked for.
        settled: the plan of all images, where it is known.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        card: ModelCard,
        meaning: ScoreMeaning,
        device: Device,
        precision: str,
        settled: ExecutionPlan | None,
    ) -> None:
        self._network, self._meaning, self._device, self._precision = networks[0], meaning, device, precision
        self._calls_per_window = len(networks) * 2 ** len(card.inference.flips)
        self._measured: ExecutionPlan | None = None
        self._settled = settled

    def plan(
        self, device: torch.device, grid: WindowGrid, image: Tensor, *, views: int, may_measure: bool
    ) -> ExecutionPlan:
        """The plan for one image.

        Args:
            device: where it is computed; the CPU where memory ran out on another.
            grid: its windows.
            image: ``(C, *grid.inner)``.
            views: further calls, of masked certainty.
            may_measure: False where memory ran out, or what is computed is not what would be measured.
        """
        if device != self._device.torch_device:
            return ExecutionPlan()
        if self._settled is not None:
            # Where memory ran out, one window at a time; the precision stays what all other images have.
            return self._settled if may_measure else replace(self._settled, batch=1)
        calls = grid.count * (self._calls_per_window + views)
        if not may_measure or calls < MINIMUM_CALLS:
            return default_plan(self._device, self._precision)
        return self._measure(grid, image, calls)

    def settle(self, grid: WindowGrid, image: Callable[[], Tensor], images: int) -> ExecutionPlan:
        """Choose once for ``images`` images such as this one; a plan given or settled before stays.

        Args:
            grid: windows of the image.
            image: gives it on the device.
            images: how many there are.

        Raises:
            InputError: the device has no such precision.
        """
        if self._settled is None:
            self._settled = default_plan(self._device, self._precision)
            calls = grid.count * self._calls_per_window * images
            try:
                if calls >= MINIMUM_CALLS:
                    self._settled = self._measure(grid, image(), calls)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
        return self._settled

    def _measure(self, grid: WindowGrid, image: Tensor, calls: int) -> ExecutionPlan:
        if self._measured is None:  # to find it among those measured takes a hash of all weights
            middle = [slice(n := s[len(s) // 2], n + p) for s, p in zip(grid.starts, grid.patch, strict=True)]
            window = grid.pad(image)[(slice(None), *middle)].contiguous()
            network, wanted = self._network, self._precision
            self._measured = measured_plan(network, self._meaning, self._device, window, wanted, calls)
        return self._measured
