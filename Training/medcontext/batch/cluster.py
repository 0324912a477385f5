"""Cases given to the workers of a cluster, and the ledger kept here.

A worker may die and a case may run twice: results appear whole or not at all, and the first row of a case counts.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence, Set

import medcontext
from medcontext.batch.case import BatchCase
from medcontext.batch.cluster_config import read_target
from medcontext.batch.cluster_dispatch import Control, Dispatch
from medcontext.batch.cluster_messages import RunFacts
from medcontext.batch.cluster_staff import Staff
from medcontext.batch.cluster_start import open_pool
from medcontext.batch.options import BatchOptions, FixedPlan
from medcontext.batch.outcomes import Outcomes
from medcontext.batch.record import model_identity
from medcontext.batch_ledger import Layout
from medcontext.events import Reporter
from medcontext.inference.plan import ExecutionPlan
from medcontext.library import LoadedModel


def run_on_cluster(
    cases: Sequence[BatchCase],
    options: BatchOptions,
    layout: Layout,
    model: LoadedModel,
    outcomes: Outcomes,
    reporter: Reporter,
    control: Control,
    on_plan: Callable[[ExecutionPlan], None],
    plan: FixedPlan | None,
    suspects: Set[str] = frozenset(),
) -> None:
    """Work on cases with the workers that ``options.cluster`` names; each case ends as a row.

    Args:
        cases: what is to be done.
        options: of the run.
        layout: of the output folder, which all machines see at the same place.
        model: the model, likewise, or in the library of each worker.
        outcomes: takes rows.
        reporter: told of progress and of lost workers.
        control: asked for "stop", "pause" or None.
        on_plan: told how windows are computed, once that was measured.
        plan: how windows are computed; measured on the first worker when None.
        suspects: ids of cases in the middle of which earlier runs ended: they come last, with least memory.

    Raises:
        InputError: no worker can be reached or take part; the sentence says why.
        CancelledError: someone asked to stop; the rows of finished cases are in the ledger.
        ResourceError: all workers were lost, or the disk is full.
    """
    target = read_target(options.cluster or "")
    with _marked(layout) as mark, open_pool(target, options, layout.root, reporter) as pool:
        facts = RunFacts(
            version=medcontext.__version__,
            output=layout.root,
            mark=mark,
            model=model.folder.absolute(),
            model_name=f"{model.card.id}@{model.card.version}",
            model_sha256=model_identity(model.card),
            threads=pool.threads,
            numbered=pool.local,
        )
        staff = Staff(pool, facts.model_dump(mode="json"), options.device, reporter)
        work = Dispatch(
            cases,
            options,
            plan,
            facts.model_sha256,
            outcomes,
            staff,
            pool,
            reporter,
            control,
            on_plan,
            suspects,
        )
        work.run()


@contextlib.contextmanager
def _marked(layout: Layout) -> Iterator[str]:
    """A file by which workers know that they see the same folder and not one of their own of that name.

    What a killed run left is removed: its mark, and the keys that its jobs were given.
    """
    for left in (*layout.root.glob(".run-*"), *layout.root.glob(".dask-jobqueue.worker.*")):
        left.unlink(missing_ok=True)
    mark = layout.root / f".run-{secrets.token_hex(8)}"
    mark.touch()
    try:
        yield mark.name
    finally:
        mark.unlink(missing_ok=True)
