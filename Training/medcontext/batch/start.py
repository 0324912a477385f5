"""From a plan of work to work: the model is loaded, memory is divided, threads or a cluster begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import asdict

import torch

from medcontext.batch.case import BatchCase
from medcontext.batch.memory import plan_memory
from medcontext.batch.options import BatchOptions, FixedPlan
from medcontext.batch.outcomes import Outcomes
from medcontext.batch.pipeline import Pipeline
from medcontext.batch.record import RunRecord, write_record
from medcontext.batch_ledger import Layout
from medcontext.devices import Device, choose_device, has_precision, usable_cores
from medcontext.engine.memory import memory_at_hand
from medcontext.events import Reporter
from medcontext.inference.plan import ExecutionPlan
from medcontext.library import load_model
from medcontext.workflows.predictor import make_predictor

CLUSTER = "cluster"
"""Stands for the device where a cluster computes."""


class Engine:
    """Computes what is to be done, here or on a cluster.

    Args:
        options: of the run.
        layout: of the output folder.
        outcomes: takes rows.
        reporter: told of progress.
        control: asked for "stop", "pause" or None.
    """

    def __init__(
        self,
        options: BatchOptions,
        layout: Layout,
        outcomes: Outcomes,
        reporter: Reporter,
        control: Callable[[], str | None],
    ) -> None:
        self._options, self._layout, self._outcomes = options, layout, outcomes
        self._reporter, self._control = reporter, control

    def work(self, cases: Sequence[BatchCase], record: RunRecord, suspects: Set[str] = frozenset()) -> None:
        """Work on cases; each ends as a row.

        Args:
            cases: what is to be done.
            record: of the run; the execution plan in it is used again, else added once it is measured.
            suspects: ids of cases in the middle of which earlier runs ended.

        Raises:
            CancelledError: someone asked to stop.
            InputError: the device cannot be used, or the output folder cannot be written any more.
            ResourceError: its disk is full.
        """
        if self._options.cluster is not None:
            self._on_cluster(cases, record, suspects)
        else:
            self._here(cases, record, suspects)

    def _here(self, cases: Sequence[BatchCase], record: RunRecord, suspects: Set[str]) -> None:
        options, reporter = self._options, self._reporter
        device = choose_device(options.device)
        fixed = self._known_plan(record, device.name, device)
        threads = None if fixed is None or fixed.threads is None else min(fixed.threads, usable_cores())
        predictor, model = make_predictor(
            options.model,
            options.device,
            options.precision,
            reporter,
            None if fixed is None else fixed.execution(),
            threads,
        )
        memory = plan_memory(cases, model.card, memory_at_hand("cpu"), options.memory_limit_gb)
        reporter.info(memory.sentence)
        record = record.with_memory(memory)

        def on_plan(plan: ExecutionPlan) -> None:
            chosen = FixedPlan(**asdict(plan), threads=torch.get_num_threads())
            write_record(record.with_execution(device.name, chosen), self._layout, options)

        Pipeline(
            predictor, model, self._layout, options, self._outcomes, memory, reporter, self._control, on_plan
        ).run(cases, suspects)

    def _on_cluster(self, cases: Sequence[BatchCase], record: RunRecord, suspects: Set[str]) -> None:
        from medcontext.batch.cluster import run_on_cluster

        options = self._options

        def on_plan(plan: ExecutionPlan) -> None:
            chosen = FixedPlan(**asdict(plan))
            write_record(record.with_execution(CLUSTER, chosen), self._layout, options)

        run_on_cluster(
            cases,
            options,
            self._layout,
            load_model(options.model),
            self._outcomes,
            self._reporter,
            self._control,
            on_plan,
            self._known_plan(record, CLUSTER),
            suspects,
        )

    def _known_plan(self, record: RunRecord, name: str, device: Device | None = None) -> FixedPlan | None:
        """How the earlier part of this run was computed, so that its results do not differ from those to come.

        Args:
            record: of the run.
            name: of the device that computes now.
            device: itself, where it is in this machine.
        """
        if self._options.plan is not None:
            return self._options.plan
        known = record.execution
        if known is None:
            return None
        if known.device == name and (device is None or has_precision(device, known.plan.precision)):
            return known.plan
        self._reporter.warning(
            f"This run began on {known.device} in {known.plan.precision} and goes on on {name}: results may differ "
            "from those until now in a few voxels."
        )
        return None
