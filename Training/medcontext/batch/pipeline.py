"""Reading the next case, asking the network about this one and writing the last one, all at the same time.

A thread reads, this one computes, a third one writes. Cases in work are bounded by the memory plan. A case that ran
out of memory is tried again at the end, with nothing beside it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace

from medcontext.batch import rows
from medcontext.batch.case import BatchCase
from medcontext.batch.memory import MemoryGate, MemoryPlan, case_bytes
from medcontext.batch.options import BatchOptions
from medcontext.batch.outcomes import Outcomes
from medcontext.batch.record import model_identity
from medcontext.batch.stages import (
    LESS_MEMORY,
    CaseInput,
    Computed,
    compute,
    export,
    process_case,
    raise_if_all_fail,
    ran_out_of_memory,
    read,
    tell_failure,
)
from medcontext.batch.voice import CaseReporter, size_in_words
from medcontext.batch_ledger import Layout, Row
from medcontext.engine.asking import obedient
from medcontext.errors import CancelledError
from medcontext.events import Reporter
from medcontext.inference.plan import ExecutionPlan
from medcontext.inference.predictor import Predictor
from medcontext.library import LoadedModel

Control = Callable[[], str | None]

SUSPECTED = (
    "Runs ended without a word while this case was among those worked on: now nothing is worked on beside it, and one "
    "window at a time."
)
_POLL_S = 0.2


@dataclass
class _Item:
    """A case on its way."""

    case: BatchCase
    row: Row
    size: int
    voice: CaseReporter
    given: CaseInput | None = None
    computed: Computed | None = None


class Pipeline:
    """Works on cases, three at a time in different stages.

    Args:
        predictor: the model on its device.
        model: the model.
        layout: of the output folder.
        options: of the run.
        outcomes: takes rows.
        memory: the plan that bounds what is in work.
        reporter: told of progress; its sink is called from several threads, one after the other.
        control: asked by this thread for "stop", "pause" or None.
        on_plan: told how windows are computed, before the first one is.
    """

    def __init__(
        self,
        predictor: Predictor,
        model: LoadedModel,
        layout: Layout,
        options: BatchOptions,
        outcomes: Outcomes,
        memory: MemoryPlan,
        reporter: Reporter,
        control: Control,
        on_plan: Callable[[ExecutionPlan], None],
    ) -> None:
        self._predictor, self._model, self._layout, self._options = predictor, model, layout, options
        self._outcomes, self._memory, self._gate = outcomes, memory, MemoryGate(memory)
        self._on_plan, self._identity = on_plan, model_identity(model.card)
        self._over = threading.Event()
        # Only this thread asks the control: it also gives the sign of life.
        self._here = obedient(reporter, control)
        self._elsewhere = reporter.stopped_by(self._over.is_set)
        self._ready: queue.Queue[_Item | None] = queue.Queue(1)
        self._finished: queue.Queue[_Item | None] = queue.Queue(1)
        self._again: list[BatchCase] = []
        self._trouble: BaseException | None = None

    def run(self, cases: Sequence[BatchCase], suspects: Set[str] = frozenset()) -> None:
        """Work on all cases; each ends as a row.

        Args:
            cases: what is to be done.
            suspects: ids of those in the middle of which earlier runs ended: they come last, each alone.

        Raises:
            CancelledError: someone asked to stop; what was computed is written.
            InputError: the output folder cannot be written any more.
            ResourceError: its disk is full.
        """
        together = [case for case in cases if case.id not in suspects]
        # Daemons: a second Ctrl-C ends the process without waiting for them.
        reader = threading.Thread(target=self._guarded, args=(self._read_all, together), daemon=True)
        writer = threading.Thread(target=self._guarded, args=(self._write_all,), daemon=True)
        reader.start()
        writer.start()
        try:
            self._compute_all(len(together))
        except Exception as error:
            self._trouble = self._trouble or error
        finally:
            self._over.set()
        reader.join()
        while writer.is_alive():  # what was computed is written, whatever happened
            with contextlib.suppress(queue.Full):
                self._finished.put(None, timeout=_POLL_S)
                writer.join()
        if self._trouble is not None:
            raise self._trouble
        for case in self._again:
            self._alone(case, LESS_MEMORY)
        for case in cases:
            if case.id in suspects:
                self._alone(case, SUSPECTED)

    def _guarded(self, work: Callable[..., None], *arguments: object) -> None:
        """A thread: what ends it ends the run."""
        try:
            work(*arguments)
        except CancelledError:
            pass  # this thread was told to end, or the main one hears of the request itself
        except Exception as error:  # raised again by the main thread
            self._trouble = self._trouble or error
            self._over.set()

    def _read_all(self, cases: Sequence[BatchCase]) -> None:
        for item in self._in_order(cases):
            if not self._gate.enter(item.size, self._over.is_set):
                return
            self._elsewhere.check_cancelled()
            self._outcomes.append(item.row)
            try:
                item.given = read(item.case, self._model.card, self._options, item.voice)
            except Exception as error:  # one damaged scan must not end a run over thousands of others
                self._fail(item, error)
                continue
            self._hand_on(self._ready, item)
        self._hand_on(self._ready, None)

    def _in_order(self, cases: Sequence[BatchCase]) -> Iterator[_Item]:
        """Cases as they are read. Those beyond the plan come last: should one end the run, the others are finished."""
        large = []
        for case in cases:
            item = self._begin(case)
            if item.size <= self._memory.budget:
                yield item
            else:
                large.append(item)
        yield from large

    def _begin(self, case: BatchCase) -> _Item:
        voice = CaseReporter(self._elsewhere, case)
        size = case_bytes(case, self._model.card)
        if size > self._memory.budget:
            voice.warning(
                f"The case takes about {size_in_words(size)} of memory, more than the planned "
                f"{size_in_words(self._memory.budget)}: it comes last, and nothing else is worked on beside it."
            )
        return _Item(case, rows.running(case, self._options, self._identity), size, voice)

    def _hand_on(self, to: queue.Queue[_Item | None], item: _Item | None) -> None:
        """Put an item into a queue unless the run is given up."""
        while not self._over.is_set():
            try:
                return to.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
        raise CancelledError("Stopped on request.")

    def _compute_all(self, count: int) -> None:
        settled = False
        while (item := self._next()) is not None:
            assert item.given is not None
            if not settled:
                item.given = self._settle(item.given, count)
                settled = True
            voice = CaseReporter(self._here, item.case, item.voice.warnings)
            try:
                item.computed = compute(self._predictor, item.given, self._options, voice)
            except Exception as error:
                self._fail(item, error)
                continue
            item.given = None
            self._hand_on(self._finished, item)

    def _settle(self, given: CaseInput, count: int) -> CaseInput:
        """Choose on the first case how to compute all of them; what that took is told with this case."""
        began = time.perf_counter()
        self._on_plan(self._predictor.settle_plan(given.prepared, count))
        return replace(given, seconds={**given.seconds, "measure": time.perf_counter() - began})

    def _next(self) -> _Item | None:
        """The next case to compute; None when there is none, or the run is given up."""
        while True:
            self._here.check_cancelled()
            try:
                return self._ready.get(timeout=_POLL_S)
            except queue.Empty:
                if self._over.is_set():
                    return None

    def _write_all(self) -> None:
        while (item := self._finished.get()) is not None:
            assert item.computed is not None
            self._outcomes.sync()
            try:
                facts = export(item.computed, item.case, self._layout, self._options, self._model, item.voice)
            except Exception as error:
                self._fail(item, error)
                continue
            item.computed = None
            self._outcomes.append(rows.done(item.row, {**facts, "warnings": item.voice.warnings}))
            self._gate.leave(item.size)

    def _fail(self, item: _Item, error: Exception) -> None:
        """Record a failure, or keep the case for another attempt where memory ran out.

        Raises:
            CancelledError: it is none, but the end of the run.
            OutputFullError: all other cases would fail as well.
        """
        item.given = item.computed = None
        if isinstance(error, CancelledError):
            raise error
        raise_if_all_fail(error)
        if ran_out_of_memory(error):
            self._again.append(item.case)
        else:
            facts = {"warnings": item.voice.warnings}
            self._outcomes.append(rows.failed(item.row, item.case, tell_failure(error, item.case), facts))
        self._gate.leave(item.size)

    def _alone(self, case: BatchCase, why: str) -> None:
        """A case with nothing beside it, on the way that takes least memory."""
        self._here.check_cancelled()
        self._outcomes.append(rows.running(case, self._options, self._identity))
        self._outcomes.sync()
        row = process_case(
            self._predictor, self._model, case, self._layout, self._options, self._here, frugal=why
        )
        self._outcomes.append(row)
