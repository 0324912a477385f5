"""The one training loop of every method."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch

from medcontext.engine.batches import BatchSource, Shard, to_device
from medcontext.engine.checkpoint import load_checkpoint, save_checkpoint
from medcontext.engine.log import TrainingLog, draw_curve
from medcontext.engine.method import Batch, Stage
from medcontext.engine.optimiser import make_optimiser
from medcontext.engine.processes import from_main_process, largest_of_all, make_accelerator
from medcontext.engine.run import Outcome, Run
from medcontext.engine.schedule import clock_at, ema_momentum, learning_rate
from medcontext.engine.validation import missing_labels, validate
from medcontext.errors import CancelledError, InputError, ResourceError
from medcontext.events import Reporter

CHECKPOINT = "checkpoint.pt"
TIMED_STEPS, TIMED_TOTAL = 20, 10**6
LEAST_STEPS, FEW_STEPS = 50, 1000
"""Even the shortest budget trains for so many steps; fewer than the second number are warned about."""
_REQUESTS = {None: 0, "pause": 1, "stop": 2}
VALIDATION_SHARE = 0.08
"""Share of a time budget kept for segmenting held-out cases."""


def train(run: Run, reporter: Reporter) -> Outcome:
    """Train to the end of the budget.

    Raises:
        CancelledError: someone asked to stop; a checkpoint was written.
        TrainingDivergedError: a loss term became infinite or not a number.
        InputError: the batch cannot be split over the processes.
    """
    return _Session(run, reporter).run_to_end()


class _Session:
    """The moving parts of one run."""

    def __init__(self, run: Run, reporter: Reporter) -> None:
        self.given = run
        self.reporter = reporter
        self.accelerator = make_accelerator(run.device, run.precision)
        torch.manual_seed(run.seed)
        run.network.to(self.accelerator.device)
        student = run.method.build(run.network, run.plan).to(self.accelerator.device)
        self.student = self.accelerator.prepare(student)
        self.optimiser = self.accelerator.prepare(make_optimiser(self.student, run.config.optimiser))
        self.stages = self._stages(run.steps or TIMED_TOTAL)
        shard = Shard(self.accelerator.process_index, self.accelerator.num_processes)
        for count in [s.labelled for s in self.stages] + [s.unlabelled for s in self.stages]:
            if count % shard.processes:
                raise InputError(
                    f"A batch of {count} patches cannot be shared by {shard.processes} processes.",
                    "Choose a batch size that is a multiple of the processes (--set plan.batch_size=...).",
                )
        self.source = BatchSource(run.labelled, run.unlabelled, run.plan, run.config, run.seed, shard)
        self.step, self.seconds, self.total = 0, 0.0, run.steps or 0
        self.costs: dict[str, float] = {}  # seconds of a step of each stage; empty once the steps are settled
        self._began = self._first_step_at = time.monotonic()
        self._first_step = 0
        self.log: TrainingLog | None = None
        self.best: dict[str, Any] | None = None
        self._saved_at = time.monotonic()

    def _stages(self, total: int) -> list[Stage]:
        return self.given.method.stages(self.given.plan.batch_size, len(self.given.unlabelled), total)

    def run_to_end(self) -> Outcome:
        run, main = self.given, self.accelerator.is_main_process
        if run.resume:
            self._restore(load_checkpoint(run.folder / CHECKPOINT))
        elif run.minutes is not None:
            self.total = self._steps_in(run.minutes)
        self._first_step, self._first_step_at = self.step, time.monotonic()
        self.log = log = TrainingLog(run.folder, self.reporter, self.step, main)
        self._began = time.monotonic() - self.seconds
        try:
            self._all_steps()
        except (CancelledError, KeyboardInterrupt) as stop:
            self._checkpoint()
            raise CancelledError(
                f"Stopped at step {self.step} of {self.total}; the checkpoint is kept in {run.folder}.",
                "Continue with --resume.",
            ) from stop
        self._checkpoint()
        if main:
            self._draw(log)
        network, token = deepcopy(run.method.deliver()).cpu().float().eval(), run.method.mask_token()
        if self.best is not None:
            network.load_state_dict(self.best["weights"])
            if token is not None:
                token = replace(token, vector=self.best["mask_token"])
        dice = {} if self.best is None else dict(self.best["dice"])
        last = clock_at(max(0, self.step - 1), self.total, self.stages, run.seed).stage_index
        joined = any(stage.unlabelled for stage in self.stages[: last + 1])
        unlabelled = len(run.unlabelled) if joined else 0
        if unlabelled < len(run.unlabelled):
            self.reporter.info(
                f"The run was too short for the {len(run.unlabelled)} scans without labels; they were left out."
            )
        return Outcome(network, self.step, self.seconds / 60, dice, unlabelled, token)

    def _draw(self, log: TrainingLog) -> None:
        """Draw the curve; a full disk must not cost the model."""
        try:
            draw_curve(log.records, self.given.folder / "curve.png")
        except OSError as error:
            self.reporter.warning(f"The curve was not drawn: {error}.")

    def _all_steps(self) -> None:
        while self.step < self.total:
            total = self.total
            for batch in self.source.iterate(self.step, total, self.stages):
                if not self._goes_on():
                    return
                self._one_step(to_device(batch, self.accelerator.device))
                self.seconds = time.monotonic() - self._began
                self._after_step()
                if self.total != total:
                    break

    def _after_step(self) -> None:
        run = self.given
        if self.step % 5 == 0 or self.step == self.total:
            self.reporter.progress("train", self.step / self.total)
        if self.step == max(1, self.total // 4):
            self._warn_of_missing_labels()
        interval = max(1, self.total // run.config.validations)
        if run.validation and (self.step % interval == 0 or self.step == self.total):
            self._validate()
        if self.costs and self.step - self._first_step >= max(TIMED_STEPS, self.total // 10):
            self._correct_steps()
        if time.monotonic() - self._saved_at > run.config.checkpoint_seconds:
            self._checkpoint()

    def _one_step(self, batch: Batch) -> None:
        run, config = self.given, self.given.config
        clock = clock_at(self.step, self.total, self.stages, run.seed)
        rate = learning_rate(config.optimiser, clock)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.student.train()
        # Dropout too must not depend on where a run was resumed.
        torch.manual_seed(hash((run.seed, self.step, self.accelerator.process_index)))
        with self.accelerator.autocast():
            terms = dict(run.method.loss(self.student, batch, clock))
        self.optimiser.zero_grad(set_to_none=True)
        self.accelerator.backward(sum(terms.values()))
        self.accelerator.clip_grad_norm_(self.student.parameters(), config.optimiser.gradient_clip)
        self.optimiser.step()
        run.method.after_step(
            self.accelerator.unwrap_model(self.student),
            ema_momentum(self.step, self.total, config.ema_maximum),
        )
        if self.log is not None:
            self.log.step(self.step, terms, rate=rate)
        self.step += 1

    def _goes_on(self) -> bool:
        """False when the run shall end and keep what is there; sleeps while paused.

        All processes do what any of them was asked to, at the same step.

        Raises:
            CancelledError: someone asked to stop at once.
        """
        mine = 3 if self.reporter.cancelled else _REQUESTS[self.given.control()]
        asked = largest_of_all(self.accelerator, mine)
        if asked == 3:
            raise CancelledError("Stopped on request.")
        if asked == _REQUESTS["pause"]:
            self._checkpoint()
            paused = time.monotonic()
            while self.given.control() == "pause":
                self.reporter.check_cancelled()
                time.sleep(0.2)
            self._began += time.monotonic() - paused
        return asked != _REQUESTS["stop"]

    def _warn_of_missing_labels(self) -> None:
        run = self.given
        for name in missing_labels(run.method.deliver(), run.labelled, run.plan, run.precision):
            self.reporter.warning(
                f"After a quarter of the steps no voxel is labelled '{name}' in the training cases. "
                "The model may lose this label: raise the learning rate or add cases that show it."
            )

    def _validate(self) -> None:
        run = self.given
        network = run.method.deliver()
        dice = validate(network, run.validation, run.plan, run.precision)
        if self.log is not None:
            self.log.validation(self.step, dice)
        score = sum(dice.values()) / max(1, len(dice))
        if self.best is None or score >= self.best["score"]:
            weights = {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}
            token = run.method.mask_token()
            vector = None if token is None else token.vector
            self.best = {"score": score, "dice": dice, "weights": weights, "mask_token": vector}

    def _steps_in(self, minutes: float) -> int:
        """How many steps fit: times some of each stage, waiting for data included, then puts all back as it was."""
        before = deepcopy(self._state())
        started = time.monotonic()
        begin = 0.0
        self.total, self.log = TIMED_TOTAL, None
        count = max(4, TIMED_STEPS // len(self.stages))
        for index, stage in enumerate(self.stages):
            # The middle of a stage: a method may ramp terms up from zero, which would be too cheap.
            self.step = round((begin + stage.share / 2) * self.total)
            begin += stage.share
            times, last = [], time.monotonic()
            for batch in self.source.iterate(self.step, self.step + count, [stage]):
                self.reporter.check_cancelled()
                self._one_step(to_device(batch, self.accelerator.device))
                if self.accelerator.device.type == "cuda":
                    torch.cuda.synchronize()
                times.append(time.monotonic() - last)
                last = time.monotonic()
                self.reporter.progress("time", (index + len(times) / count) / len(self.stages))
            self.costs[stage.name] = sorted(times)[len(times) // 2]
        costs = self.costs
        self._restore(before)
        self.seconds, self.costs = time.monotonic() - started, costs
        return self._agreed_steps(minutes, 1.0)

    def _correct_steps(self) -> None:
        """Count the steps anew, once, from the time of the first tenth: twenty steps may have met a busy moment."""
        seconds = (time.monotonic() - self._first_step_at) / (self.step - self._first_step)
        if self.given.minutes is not None:
            slower = seconds / self.costs[self.stages[0].name]
            self.total = max(self.step, self._agreed_steps(self.given.minutes, slower))
        self.costs = {}
        if self.total < FEW_STEPS:
            self.reporter.warning(
                f"Only {self.total} steps fit into the time; {FEW_STEPS} or more are advised. "
                "Give more --minutes or take a smaller network."
            )

    def _agreed_steps(self, minutes: float, slower: float) -> int:
        """Steps that fit into the budget, the same in all processes, and the stages of such a run.

        ``slower`` is how much longer a step takes than it did while it was timed.
        """
        budget = 60 * minutes * (1 - VALIDATION_SHARE if self.given.validation else 1)
        stages, steps, seconds = self.stages, 0, 0.0
        for _ in range(2):  # a short run may have fewer stages, and so room for other numbers of steps
            seconds = slower * sum(stage.share * self.costs[stage.name] for stage in stages)
            steps = max(LEAST_STEPS, int(budget / seconds))
            stages = self._stages(steps)
        steps = from_main_process(self.accelerator, steps)
        self.stages = self._stages(steps)
        self.reporter.info(
            f"{minutes:g} minutes are enough for {steps} steps of {seconds:.3f} s.", steps=steps
        )
        return steps

    def _state_of_run(self) -> dict[str, Any]:
        """What a resumed run must have in common with the stopped one."""
        run = self.given
        cases = [case.content_hash for case in (*run.labelled, *run.unlabelled, *run.validation)]
        return {"plan": run.plan.hash(), "method": run.method.name, "seed": run.seed, "cases": cases}

    def _state(self) -> dict[str, Any]:
        return {
            "format": "medcontext-checkpoint-1",
            **self._state_of_run(),
            "step": self.step,
            "total": self.total,
            "seconds": self.seconds,
            "costs": self.costs,
            "student": self.accelerator.unwrap_model(self.student).state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else {},
            "method_state": self.given.method.state_dict(),
            "best": self.best,
        }

    def _checkpoint(self) -> None:
        """Save; a full disk keeps the last good checkpoint, says so and goes on."""
        self._saved_at = time.monotonic()
        if self.log is not None:
            self.log.flush()
        if not self.accelerator.is_main_process:
            return
        try:
            save_checkpoint(self.given.folder / CHECKPOINT, self._state())
        except ResourceError as error:
            self.reporter.warning(str(error))

    def _restore(self, state: dict[str, Any]) -> None:
        current = self._state_of_run()
        for key, mine in current.items():
            if state[key] != mine:
                raise InputError(
                    f"The checkpoint was made with another {key}.",
                    "Use the same data and options, or start anew.",
                )
        self.accelerator.unwrap_model(self.student).load_state_dict(state["student"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.accelerator.scaler and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.given.method.load_state_dict(state["method_state"])
        self.step, self.total = state["step"], state["total"]
        self.seconds, self.costs = state["seconds"], state["costs"]
        self.stages = self._stages(self.total or TIMED_TOTAL)
        self.best = state["best"]
