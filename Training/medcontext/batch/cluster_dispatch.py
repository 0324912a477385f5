"""Giving out cases and taking what comes back.

Few cases are under way at any time, so that ten thousand burden no scheduler. dask gives the cases of a dead worker to
others by itself; a case under which several died is tried once more alone at the end and with least memory, so that
it alone is to blame when it fails, and not those that waited on the same workers.
"""

from __future__ import annotations

import contextlib
import queue
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medcontext.batch import rows
from medcontext.batch.case import BatchCase
from medcontext.batch.cluster_messages import Errand, Message
from medcontext.batch.cluster_private import to_send
from medcontext.batch.cluster_staff import Staff, scheduler_lost
from medcontext.batch.cluster_start import Pool
from medcontext.batch.cluster_stop import wind_up
from medcontext.batch.cluster_worker import run_case, settle_plan
from medcontext.batch.options import BatchOptions, FixedPlan
from medcontext.batch.outcomes import Outcomes
from medcontext.errors import CancelledError, MedContextError, ResourceError
from medcontext.events import Reporter
from medcontext.inference.plan import ExecutionPlan

AHEAD = 2
"""Cases under way for each worker: one that it works on, one that waits there, so that it never waits itself."""

ATTEMPTS = 5
"""How often a case is given out again after answers that say nothing about it."""

POLL_S = 0.5
ANSWER_S = 10.0
"""Seconds that an answer may take from its worker to here."""

HOPELESS = 3
"""Deadly cases, without any other, after which the workers are to blame."""

SILENCE_S = 300.0
"""Seconds without any answer after which it is made sure that workers have the cases."""

DEADLY = "Workers ended again and again while they worked on this case, also when nothing else was under way."
HELP_AGAINST_DEATH = "Mostly memory is too small: give each worker more, or restrict the case with a region."
KILLED = "Workers ended while they worked on this case: now nothing is worked on beside it, and one window at a time."
SUSPECTED = "Runs ended without a word while this case was among those worked on: now one window at a time."

Control = Callable[[], str | None]


@dataclass(eq=False)
class _Case:
    """A case on its way.

    Attributes:
        tries: answers until now that said nothing about the case.
        alone: whether nothing else is under way, since workers died under it.
        look: whether a file that a worker does not see may be there elsewhere.
        frugal: why it is worked on with least memory; empty where it is not.
    """

    case: BatchCase
    tries: int = 0
    alone: bool = False
    look: bool = True
    frugal: str = ""


class Dispatch:
    """Gives out cases and takes what comes back.

    Args:
        cases, options, plan, outcomes, reporter, control, on_plan, suspects: see :func:`run_on_cluster`.
        model_sha256: hash of the model, for rows.
        staff: the workers.
        pool: where they come from.
    """

    def __init__(
        self,
        cases: Sequence[BatchCase],
        options: BatchOptions,
        plan: FixedPlan | None,
        model_sha256: str,
        outcomes: Outcomes,
        staff: Staff,
        pool: Pool,
        reporter: Reporter,
        control: Control,
        on_plan: Callable[[ExecutionPlan], None],
        suspects: Set[str] = frozenset(),
    ) -> None:
        self._options, self._model_sha256, self._plan = options, model_sha256, plan
        self._outcomes, self._staff, self._pool = outcomes, staff, pool
        self._reporter, self._control, self._on_plan = reporter, control, on_plan
        self._waiting = deque(_Case(case) for case in cases if case.id not in suspects)
        self._waiting.extend(_Case(case, frugal=SUSPECTED) for case in cases if case.id in suspects)
        self._suspects: deque[_Case] = deque()
        self._under_way: dict[Any, _Case] = {}
        self._back: queue.Queue[Any] = queue.Queue()
        self._heard, self._answered, self._deadly = time.monotonic(), False, 0
        self._name, self._sent = f"medcontext-{secrets.token_hex(4)}", 0

    def run(self) -> None:
        """Until each case has its row.

        Raises:
            CancelledError, InputError, ResourceError: see :func:`run_on_cluster`.
        """
        while self._waiting or self._under_way or self._suspects:
            request = "stop" if self._reporter.cancelled else self._control()
            if request == "stop":
                wind_up(self._under_way, self._back, self._keep, self._staff, self._pool)
                raise CancelledError("Stopped on request.")
            self._staff.idle = self._plan is None
            self._staff.look()
            if request != "pause":
                self._send_more()
            self._take_back()
            self._watch()

    def _send_more(self) -> None:
        """Give out cases as long as there is a worker for them."""
        workers = len(self._staff.usable)
        hopeless = not self._answered and len(self._suspects) + self._deadly >= HOPELESS
        if self._suspects and (hopeless or not self._waiting):
            if workers and not self._under_way:
                self._begin(self._suspects.popleft())
        elif self._plan is None and self._waiting and not self._waiting[0].frugal:
            if workers and not self._under_way:
                self._send(settle_plan, self._waiting[0], len(self._waiting))
        else:
            while self._waiting and len(self._under_way) < AHEAD * workers:
                self._begin(self._waiting.popleft())

    def _begin(self, case: _Case) -> None:
        self._outcomes.append(rows.running(case.case, self._options, self._model_sha256))
        self._outcomes.sync()
        self._send(run_case, case)

    def _send(self, work: Callable[..., Message], case: _Case, *arguments: Any) -> None:
        errand = Errand(
            case=to_send(case.case),
            options=self._options,
            plan=self._plan,
            sharers=self._staff.sharers,
            look=case.look,
            frugal=case.frugal,
        )
        self._sent += 1
        future = self._pool.client.submit(
            work,
            self._staff.facts,
            errand.model_dump(mode="json"),
            *arguments,
            key=f"{self._name}-{self._sent}",  # logs of the scheduler hold keys: no names of cases
            pure=False,
            **self._staff.placing,
        )
        self._under_way[future] = case
        future.add_done_callback(self._back.put)

    def _take_back(self) -> None:
        """Wait a moment for an answer and deal with all that are there."""
        with contextlib.suppress(queue.Empty):
            future = self._back.get(timeout=POLL_S)
            while True:
                self._settle(future)
                future = self._back.get_nowait()

    def _watch(self) -> None:
        """Notice when answers were lost on their way, which nobody would ever hear of.

        Raises:
            ResourceError: cases are under way, yet no worker has any of them, and there are workers.
        """
        if time.monotonic() - self._heard < SILENCE_S:
            return
        self._heard = time.monotonic()
        there = {key for keys in self._pool.client.processing().values() for key in keys}
        if self._staff.usable and self._under_way and not there & {future.key for future in self._under_way}:
            raise ResourceError(
                f"The scheduler of {self._pool.name} has lost cases that it was given.",
                "Finished cases are kept; start this again: it goes on.",
            )

    def _settle(self, future: Any) -> None:
        """Deal with one answer."""
        self._heard = time.monotonic()
        if future.status == "cancelled":
            raise scheduler_lost(self._pool)
        if future.status == "error":
            return self._died(self._under_way.pop(future), future.exception())
        try:
            answer = future.result(timeout=ANSWER_S)
        except TimeoutError:  # its worker died before the answer had left: the case is worked on again
            return future.add_done_callback(self._back.put)
        case = self._under_way.pop(future)
        if "row" in answer:
            self._keep(answer)
        elif "plan" in answer:
            self._plan = FixedPlan.parse(answer["plan"], "a message")
            self._on_plan(self._plan.execution())
        elif "ended" in answer:
            kind, message, hint = (answer["ended"][key] for key in ("kind", "message", "hint"))
            raise (ResourceError if kind == ResourceError.kind else MedContextError)(message, hint)
        elif "broken" in answer:
            self._broken(case, answer["broken"])
        else:
            self._no_answer(case, answer)
        return None

    def _keep(self, answer: Message) -> None:
        """Take the row of an answer."""
        self._answered = True
        self._outcomes.append({**answer["row"], "worker": answer["worker"]})

    def _no_answer(self, case: _Case, answer: Message) -> None:
        """What came back says something about the worker, not about the case."""
        if "unseen" in answer and not Path(answer["unseen"]).exists():
            case.look = False  # nobody sees it: the case fails, the worker is a good one
        elif "stopped" in answer:
            case.tries += 1
        else:
            self._staff.refuse(answer["address"], answer.get("refused") or answer["sentence"])
        self._again(case)

    def _died(self, case: _Case, error: BaseException) -> None:
        """The case came to no end: workers died under it, or dask could not even begin it.

        Raises:
            MedContextError: dask cannot begin it anywhere.
            ResourceError: workers died under several cases and none was ever finished.
        """
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            self._drop(case)
            if case.alone:
                self._fail(case, ResourceError(DEADLY, HELP_AGAINST_DEATH))
                self._deadly += 1
                if self._deadly >= HOPELESS and not self._answered:
                    raise ResourceError(
                        f"Workers end under every case: {self._deadly} were tried.", HELP_AGAINST_DEATH
                    )
                return None
            case.alone, case.frugal = True, KILLED
            return self._suspects.append(case)
        case.tries += 1
        if case.tries >= ATTEMPTS:
            text = str(error).partition("\n")[0]
            raise MedContextError(
                f"The cluster could not begin a case: {type(error).__name__}: {text}",
                "The scheduler and all workers need the same Python environment as this machine.",
            ) from error
        return self._again(case)

    def _broken(self, case: _Case, text: str) -> None:
        if self._plan is None and case in self._waiting:  # could not be measured on: its row will say why
            self._waiting.remove(case)
            self._begin(case)
        else:
            self._fail(case, MedContextError(text))

    def _again(self, case: _Case) -> None:
        """Give the case out once more."""
        if case.tries >= ATTEMPTS:
            self._drop(case)
            self._fail(case, MedContextError("Workers gave the case back again and again."))
        elif case.alone:
            self._suspects.appendleft(case)
        elif case not in self._waiting:
            self._waiting.appendleft(case)

    def _drop(self, case: _Case) -> None:
        with contextlib.suppress(ValueError):  # it is still there while it was only measured on
            self._waiting.remove(case)

    def _fail(self, case: _Case, error: MedContextError) -> None:
        row = rows.running(case.case, self._options, self._model_sha256)
        self._outcomes.append(rows.failed(row, case.case, error, {"warnings": []}))
