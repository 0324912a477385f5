"""The part of a run that learns: a student, its optimiser and the method's losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from medcontext.engine.course import Course
from medcontext.engine.one_process import OneProcess
from medcontext.engine.optimiser import make_optimiser
from medcontext.engine.processes import make_accelerator
from medcontext.engine.run import Run
from medcontext.engine.task import StepBatch
from medcontext.errors import InputError


class Learner:
    """Takes one step at a time.

    Args:
        run: network, method, device and settings.

    Attributes:
        accelerator: joins the processes and knows the device.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.accelerator = make_accelerator(run.device, run.precision)
        torch.manual_seed(run.seed)
        run.network.to(self.accelerator.device)
        student = run.method.build(run.network, run.task.plan).to(self.accelerator.device)
        self._student = self.accelerator.prepare(student)
        self._optimiser = self.accelerator.prepare(make_optimiser(self._student, run.config.optimiser))

    def learn(self, batch: StepBatch, step: int, course: Course) -> tuple[Mapping[str, Tensor], float]:
        """Learn from a batch on the device; the loss terms before, of all processes, and the learning rate."""
        run, config = self._run, self._run.config
        clock = course.clock(step)
        rate = course.rate(config.optimiser, clock)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._student.train()
        # Dropout too must not depend on where a run was resumed.
        self._draw_from(hash((run.seed, step, self.accelerator.process_index)))
        with self.accelerator.autocast():
            terms = dict(run.method.loss(self._student, batch, clock))
        self._optimiser.zero_grad(set_to_none=True)
        self.accelerator.backward(sum(terms.values()))
        self.accelerator.clip_grad_norm_(self._student.parameters(), config.optimiser.gradient_clip)
        self._optimiser.step()
        run.method.after_step(
            self.accelerator.unwrap_model(self._student), course.momentum(step, config.ema_maximum)
        )
        if not isinstance(self.accelerator, OneProcess):
            terms = {name: self.accelerator.reduce(term.detach(), "mean") for name, term in terms.items()}
        return terms, rate

    def _draw_from(self, seed: int) -> None:
        """Seed torch; where only the CPU draws, without 0.3 ms of asking for every other kind of device."""
        seeded = torch.default_generator if self.accelerator.device.type == "cpu" else torch
        seeded.manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes while learning."""
        scaler = self.accelerator.scaler
        return {
            "student": self.accelerator.unwrap_model(self._student).state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": scaler.state_dict() if scaler else {},
            "method_state": self._run.method.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`.

        Raises:
            InputError: it is of other layers.
        """
        try:
            self.accelerator.unwrap_model(self._student).load_state_dict(state["student"])
        except RuntimeError as error:
            raise InputError(
                "The checkpoint was made with other settings: its layers are not those of this run.",
                "Use the same data and options, or start anew.",
            ) from error
        self._optimiser.load_state_dict(state["optimiser"])
        if self.accelerator.scaler and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self._run.method.load_state_dict(state["method_state"])
