"""The one training loop of every method."""

from __future__ import annotations

import time
from copy import deepcopy
from typing import Any

import torch

from medcontext.engine.asking import Requests, Stopwatch
from medcontext.engine.best import Best
from medcontext.engine.checkpoint import load_checkpoint
from medcontext.engine.config import CHECKPOINT, CURVE
from medcontext.engine.course import Course, open_course
from medcontext.engine.delivery import Delivery
from medcontext.engine.keeping import Checkpoints, Troubles
from medcontext.engine.learner import Learner
from medcontext.engine.log import TrainingLog
from medcontext.engine.method import Stage
from medcontext.engine.pace import FIRST_SECONDS, MOST_SECONDS
from medcontext.engine.processes import from_main_process
from medcontext.engine.run import Outcome, Run
from medcontext.engine.task import Shard, StepBatch, Unwatched, Watcher
from medcontext.engine.timing import StepTime, fitting_steps
from medcontext.engine.watch import VALIDATION_SHARE
from medcontext.errors import CancelledError, InputError
from medcontext.events import Reporter

TIMED_STEPS, TIMED_TOTAL = 20, 10**6
FEW_STEPS = 1000
"""Fewer steps are warned about."""
TOLD_SECONDS = 1.0
"""Longest time without a word on how far the run is, unless a step takes longer."""


def train(run: Run, reporter: Reporter) -> Outcome:
    """Train to the end of the budget, or until someone asks to stop and keep what is there.

    Raises:
        CancelledError: someone asked to stop at once; a checkpoint was written.
        TrainingDivergedError: a loss term became infinite or not a number.
        InputError: the batch cannot be split over the processes, or the checkpoint is of another run.
    """
    return _Session(run, reporter).run_to_end()


class _Session:
    """The moving parts of one run."""

    def __init__(self, run: Run, reporter: Reporter) -> None:
        self.given = run
        self.reporter = reporter
        self.learner = Learner(run)
        self.delivery = Delivery(run.method, run.config.trained_share)
        self.accelerator = self.learner.accelerator
        self.course = self._course(run.steps or TIMED_TOTAL)
        shard = Shard(self.accelerator.process_index, self.accelerator.num_processes)
        for count in [n for s in self.course.stages for n in (s.labelled, s.unlabelled)]:
            if count % shard.processes:
                raise InputError(
                    f"A batch of {count} patches cannot be shared by {shard.processes} processes.",
                    "Choose a batch size that is a multiple of the processes (--set plan.batch_size=...).",
                )
        self.source = run.task.batches(run.seed, shard)
        self.step, self.seconds, self.finished = 0, 0.0, False
        self.costs: dict[str, float] = {}  # seconds of a step of each stage; empty once the steps are settled
        self.best = Best()
        self.log: TrainingLog | None = None
        self.troubles = Troubles(reporter)
        self.requests = Requests(run.control, reporter, self.accelerator, keeps=run.until_stopped)
        listener = reporter.stopped_by(lambda: run.control() == "stop")
        self.watch: Watcher = Unwatched()
        if run.folder is not None:
            self.watch = run.task.watcher(run.folder, listener, self.troubles)
        self._measure()

    def _measure(self) -> None:
        """Begin to measure time at the present step."""
        self.stopwatch, self.step_time = Stopwatch(self.seconds), StepTime(self.seconds)
        every = self.given.config.checkpoint_seconds
        self.checkpoints = Checkpoints(self.given.file(CHECKPOINT), every, self.troubles)
        self._first_step, self._first_second = self.step, self.seconds
        self._validate_at = self.seconds + FIRST_SECONDS
        self._told_at = time.monotonic()

    def _stages(self, total: int) -> list[Stage]:
        task = self.given.task
        return self.given.method.stages(task.plan.batch_size, task.unlabelled_cases, total)

    def _course(self, total: int) -> Course:
        """The course of a run of so many steps, or of one without an end."""
        if self.given.until_stopped:
            return open_course(self._stages, self.given.seed)
        return Course(self._stages(total), total, self.given.seed)

    def run_to_end(self) -> Outcome:
        run, main = self.given, self.accelerator.is_main_process
        if run.resume and (checkpoint := run.file(CHECKPOINT)):
            self._restore(load_checkpoint(checkpoint))
        elif run.minutes is not None:
            self._plan_steps(run.minutes)
        self._measure()
        self.log = log = TrainingLog(run.folder if main else None, self.reporter, self.step, self.troubles)
        try:
            if not self.finished and self._all_steps():
                self._look(log)
        except (CancelledError, KeyboardInterrupt) as stop:
            raise self._stopped() from stop
        self.finished = True
        self._checkpoint()
        log.finish(run.file(CURVE))
        return self._outcome()

    def _stopped(self) -> CancelledError:
        """What is said of a run that someone stops at once; it keeps what it can."""
        run = self.given
        where = f"Stopped at step {self.step}" + ("" if run.until_stopped else f" of {self.course.total}")
        if run.folder is None:
            return CancelledError(f"{where}.")
        kept = "the checkpoint is kept" if self._checkpoint() else "no later checkpoint could be written"
        return CancelledError(f"{where}; {kept} in {run.folder}.", "Continue with --resume.")

    def _outcome(self) -> Outcome:
        run = self.given
        network, token = self.best.delivered(self.delivery)
        last = self.course.clock(max(0, self.step - 1)).stage_index
        joined = any(stage.unlabelled for stage in self.course.stages[: last + 1])
        unlabelled = run.task.unlabelled_cases if joined else 0
        if unlabelled < run.task.unlabelled_cases:
            self.reporter.warning(
                f"The {run.task.unlabelled_cases} scans without labels were not learnt from: the run of "
                f"{self.step} steps was too short for them to join."
            )
        if run.folder and self.step < FEW_STEPS and (run.until_stopped or self.step < self.course.total):
            self.reporter.warning(f"Stopped after {self.step} steps; {FEW_STEPS} or more are advised.")
        return Outcome(network, self.step, self.seconds / 60, self.best.dice, unlabelled, token)

    def _all_steps(self) -> bool:
        """Whether the run came to its end by itself."""
        while self.step < self.course.to_draw()[0]:
            course = self.course
            for batch in self.source.iterate(self.step, *course.to_draw()):
                if not self.requests.go_on(self.stopwatch, self._checkpoint):
                    return False
                self._one_step(batch.to(self.accelerator.device))
                self.seconds = self.stopwatch.seconds
                self._after_step()
                if self.given.finished(self.step):
                    return True
                if self.course != course:
                    break
        return True

    def _after_step(self) -> None:
        run = self.given
        total = FEW_STEPS if run.until_stopped else self.course.total
        self._tell()
        if self.step == max(1, total // 4):
            run.task.after_a_quarter(run.method.deliver(), self.reporter)
        validated = self._validation_due()
        if validated:
            self._validate()
        if self.costs and self.step - self._first_step >= max(TIMED_STEPS, total // 10):
            self._correct_steps()
        if self.log is not None and (validated or self.watch.due(self.seconds, self._share_done)):
            self._look(self.log)
        if self.checkpoints.due:
            self._checkpoint()

    @property
    def _share_done(self) -> float | None:
        return self.course.share_done(self.step)

    def _tell(self) -> None:
        """Say how far the run is and how long it still takes."""
        run = self.given
        self.step_time.note(self.seconds)
        share, now = self._share_done, time.monotonic()
        if run.folder and self.step % 5 and share != 1 and now - self._told_at < TOLD_SECONDS:
            return
        self._told_at = now
        if share is None:
            self.reporter.progress(run.stage, None, step=self.step, **run.facts())
            return
        left, total = self.step_time.left(self.course.total - self.step), self.course.total
        self.reporter.progress(run.stage, share, left, step=self.step, total=total, **run.facts())

    def _one_step(self, batch: StepBatch) -> None:
        terms, rate = self.learner.learn(batch, self.step, self.course)
        if self.log is not None:
            self.log.step(self.step, terms, rate=rate)
        self.step += 1

    def _validation_due(self) -> bool:
        run, total = self.given, self.course.total
        if run.until_stopped:
            return run.task.chooses and self.seconds >= self._validate_at
        interval = max(1, total // run.config.validations)
        return run.task.chooses and (self.step % interval == 0 or self.step == total)

    def _validate(self) -> None:
        """Score the weights, and keep those that do best."""
        began = self.stopwatch.seconds
        dice = self.given.task.validate(self.delivery.network())
        if self.log is not None:
            self.log.validation(self.step, dice)
        self.best.consider(dice, self.delivery)
        ended = self.stopwatch.seconds
        self._validate_at = ended + max(MOST_SECONDS, (ended - began) / VALIDATION_SHARE)

    def _look(self, log: TrainingLog) -> None:
        if self.accelerator.is_main_process:
            self.watch.look(self.delivery.network(), self.step, log, self.seconds, self._share_done)

    def _plan_steps(self, minutes: float) -> None:
        """Find how many steps fit: time some of each stage, waiting for data included, then put all back as it was.

        Raises:
            CancelledError: someone asked to stop; nothing is worth keeping yet.
        """
        before = deepcopy(self._state())
        begin, stages, total = 0.0, self.course.stages, self.course.total
        count = max(4, TIMED_STEPS // len(stages))
        for index, stage in enumerate(stages):
            # The middle of a stage: a method may ramp terms up from zero, which would be too cheap.
            self.step = round((begin + stage.share / 2) * total)
            begin += stage.share
            times, last = [], self.stopwatch.seconds
            for batch in self.source.iterate(self.step, self.step + count, [stage]):
                if not self.requests.go_on(self.stopwatch):
                    raise CancelledError("Stopped before the training began; there is nothing to keep yet.")
                self._one_step(batch.to(self.accelerator.device))
                if self.accelerator.device.type == "cuda":
                    torch.cuda.synchronize()
                times.append(self.stopwatch.seconds - last)
                last = self.stopwatch.seconds
                self.reporter.progress("time", (index + len(times) / count) / len(stages))
            self.costs[stage.name] = sorted(times)[len(times) // 2]
        costs = self.costs
        self._restore(before)
        self.seconds, self.costs = self.stopwatch.seconds, costs
        self._set_steps(minutes, 1.0)

    def _correct_steps(self) -> None:
        """Count the steps anew, once, from the time of the first tenth: twenty steps may have met a busy moment."""
        spent = self.seconds - self._first_second - self.watch.seconds
        seconds = spent / (self.step - self._first_step)
        if self.given.minutes is not None:
            self._set_steps(self.given.minutes, seconds / self.costs[self.course.stages[0].name])
        self.costs = {}
        if self.course.total < FEW_STEPS:
            self.reporter.warning(
                f"Only {self.course.total} steps fit into the time; {FEW_STEPS} or more are advised. "
                "Give more --minutes or take a smaller network."
            )

    def _set_steps(self, minutes: float, slower: float) -> None:
        """Let the run take as many steps as fit into the budget, the same in all processes.

        ``slower`` is how much longer a step takes than it did while it was timed.
        """
        budget = 60 * minutes * (1 - self.given.task.judging_share)
        costs = {name: slower * seconds for name, seconds in self.costs.items()}
        fit = fitting_steps(budget, costs, self._stages, self.course.stages)
        steps = from_main_process(self.accelerator, fit.steps)
        self.course = Course(self._stages(steps), max(self.step, steps), self.given.seed)
        needed = steps * fit.seconds
        text = f"{minutes:g} minutes are enough for {steps} steps of {fit.seconds:.3f} s."
        if short := needed > 1.05 * budget:
            text = f"{minutes:g} minutes are too short: the least is {steps} steps, about {needed:.0f} s."
        self.reporter.emit("warning" if short else "info", message=text, steps=steps)

    def _state(self) -> dict[str, Any]:
        return {
            "format": "medcontext-checkpoint-1",
            **self.given.terms,
            "step": self.step,
            "total": self.course.total,
            "seconds": self.seconds,
            "finished": self.finished,
            "costs": self.costs,
            **self.learner.state_dict(),
            "best": self.best.record,
        }

    def _checkpoint(self) -> bool:
        """Save, and say whether it worked; a full disk keeps the last good checkpoint and the run goes on."""
        if self.log is not None:
            self.log.flush()
        return not self.accelerator.is_main_process or self.checkpoints.save(self._state)

    def _restore(self, state: dict[str, Any]) -> None:
        self.given.check_terms(state)
        self.learner.load_state_dict(state)
        self.step, self.seconds, self.costs = state["step"], state["seconds"], state["costs"]
        self.finished = state.get("finished", False)
        self.course = self._course(state["total"])
        self.best = Best(state["best"])
