"""What runs on a worker of a cluster: one model, kept between cases; one case at a time; paths and not pixels.

Nothing is raised: dask writes the arguments of what fails into its logs, and those name files of patients.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import medcontext
from medcontext.batch.case import BatchCase
from medcontext.batch.cluster_config import GPU
from medcontext.batch.cluster_messages import Errand, Message, RunFacts
from medcontext.batch.cluster_turn import turn
from medcontext.batch.identifiers import scrub
from medcontext.batch.options import BatchOptions, FixedPlan
from medcontext.batch.record import model_identity
from medcontext.batch_ledger import Layout
from medcontext.cards import MODEL_FILE, resolve
from medcontext.errors import CancelledError, MedContextError
from medcontext.events import Reporter

if TYPE_CHECKING:
    from medcontext.inference.predictor import Predictor
    from medcontext.library import LoadedModel

PATIENCE = 5.0
"""Seconds that a file of the driver may take to appear on a network disk."""


@dataclass
class _Loaded:
    """The one model of this process."""

    key: tuple[str, ...]
    predictor: Predictor
    model: LoadedModel


class _Refused(Exception):
    """This worker cannot take part in the run; the sentence says why."""


_loaded: _Loaded | None = None
_admitted: set[str] = set()
_stopped: set[str] = set()


def admit(facts: Message, dask_worker: Any = None) -> Message:
    """Whether this worker can take part in a run; light, since it runs between two heartbeats.

    Args:
        facts: :class:`RunFacts` as plain data.
        dask_worker: given by dask, which knows it by this name.

    Returns:
        ``host``, ``gpu`` (whether it offers the resource), and ``refused`` with a sentence where it cannot.
    """
    gpu = GPU in dask_worker.state.total_resources
    answer = {"host": socket.gethostname(), "gpu": gpu, "refused": ""}
    if facts.get("numbered") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which then ends its workers
    try:
        _check(facts)
    except _Refused as error:
        answer["refused"] = str(error)
    except Exception as error:  # dask would bring it to the driver in forms of its own
        answer["refused"] = f"{_here()} met something unexpected: {type(error).__name__}: {error}"
    return answer


def stop(facts: Message) -> None:
    """Begin no more case of this run and give up what is computed; what is being written is finished."""
    _stopped.add(facts["mark"])


def warm_up() -> None:
    """Load the libraries that a case needs, which takes longer than many a case."""
    _wait_politely()
    import medcontext.batch.stages
    import medcontext.workflows.predictor  # noqa: F401


def settle_plan(facts: Message, errand: Message, cases: int) -> Message:
    """Measure on one case how to compute all of them, so that no result depends on the worker it comes from.

    Args:
        facts, errand: as of :func:`run_case`.
        cases: how many there are.

    Returns:
        As of :func:`run_case`, with ``plan`` instead of ``row``; ``broken`` where the case cannot be read.
    """

    def work(loaded: _Loaded, case: BatchCase, options: BatchOptions, reporter: Reporter) -> Message:
        from medcontext.batch.stages import read

        given = read(case, loaded.model.card, options, reporter)
        plan = FixedPlan(**asdict(loaded.predictor.settle_plan(given.prepared, cases)))
        loaded.key = _key(model_identity(loaded.model.card), options, plan)  # the predictor has taken it
        return {"plan": plan.model_dump(mode="json")}

    answer = _answer(work, facts, errand)
    if "ended" in answer:  # one case says nothing about the run
        answer["broken"] = answer.pop("ended")["message"]
    return answer


def run_case(facts: Message, errand: Message) -> Message:
    """Work on one case.

    Args:
        facts: :class:`RunFacts` as plain data.
        errand: :class:`Errand` as plain data.

    Returns:
        One of ``row`` (the row of the case), ``refused`` (why this worker cannot take part), ``unseen`` (a file that
        this worker does not see), ``stopped``, ``ended`` (the error that ends the run), ``broken`` (a bug); and
        ``address`` and ``worker`` (a name for people).
    """

    def work(loaded: _Loaded, case: BatchCase, options: BatchOptions, reporter: Reporter) -> Message:
        from medcontext.batch.stages import process_case

        layout = Layout(Path(facts["output"]))
        row = process_case(
            loaded.predictor, loaded.model, case, layout, options, reporter, frugal=errand.get("frugal", "")
        )
        return {"row": row}

    return _answer(work, facts, errand)


def _answer(
    work: Callable[[_Loaded, BatchCase, BatchOptions, Reporter], Message],
    facts: Message,
    errand: Message,
) -> Message:
    from distributed import get_worker

    worker = get_worker()
    host, _, port = worker.address.rpartition("//")[2].rpartition(":")
    answer: Message = {"address": worker.address, "worker": f"{socket.gethostname()}:{port}"}
    task = worker.get_current_task()

    def unwanted() -> bool:
        # A driver that is gone, or waits no longer, has its tasks taken back; the one that runs is told by its state.
        state = worker.state.tasks.get(task)
        lost = state is None or state.state == "cancelled" or worker.status.name in ("closing", "closed")
        return lost or facts["mark"] in _stopped

    try:
        _check(facts)
        with turn(unwanted):
            run, given = RunFacts.parse(facts, "a message"), Errand.parse(errand, "a message")
            if given.look and (missing := _missing(given.case)) is not None:
                return answer | {"unseen": str(missing), "sentence": scrub(_not_visible(missing), given.case)}
            case = _as_received(given.case)
            loaded = _load(run, given, given.sharers.get(host, 1), str(worker.name))
            return answer | work(loaded, case, given.options, Reporter(None, unwanted))
    except _Refused as error:
        return answer | {"refused": str(error)}
    except CancelledError:
        return answer | {"stopped": True}
    except MedContextError as error:
        return answer | {"ended": {"kind": error.kind, "message": error.message, "hint": error.hint}}
    except Exception as error:  # the last net of this process; the driver decides what becomes of the case
        logging.getLogger(__name__).error("A case met something unexpected: %s", type(error).__name__)
        return answer | {"broken": f"{type(error).__name__}: {error}"}


def _as_received(case: BatchCase) -> BatchCase:
    from medcontext.batch.cluster_private import as_received  # brings libraries

    return as_received(case)


def _load(run: RunFacts, errand: Errand, share: int, name: str) -> _Loaded:
    """The model, loaded once in the life of this process."""
    global _loaded
    _wait_politely()
    from medcontext.devices import usable_cores
    from medcontext.workflows.predictor import make_predictor

    plan, options = errand.plan, errand.options
    key = _key(run.model_sha256, options, plan)
    if _loaded is not None and _loaded.key == key:
        return _loaded
    _loaded = None  # two models at once may be too many
    planned = None if plan is None else plan.threads
    try:
        predictor, model = make_predictor(
            _model_folder(run),
            _device(options.device, name) if run.numbered else options.device,
            options.precision,
            Reporter(),
            plan=None if plan is None else plan.execution(),
            threads=planned or run.threads or max(1, usable_cores() // share),
        )
    except MedContextError as error:
        raise _Refused(f"{_here()} cannot use the model. {error}") from error
    _loaded = _Loaded(key, predictor, model)
    return _loaded


def _wait_politely() -> None:
    """Let threads that wait for each other sleep: other workers want the cores. Heard only before torch is loaded."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _key(model_sha256: str, options: BatchOptions, plan: FixedPlan | None) -> tuple[str, ...]:
    return (model_sha256, options.device, options.precision, repr(plan))


def _device(wanted: str, name: str) -> str:
    """The graphics processor of the worker with this number."""
    import torch

    count = torch.cuda.device_count()
    return (
        f"cuda:{int(name) % count}" if wanted in ("auto", "cuda") and count and name.isdecimal() else wanted
    )


def _check(facts: Message) -> None:
    """Make sure that this worker sees what the driver sees.

    Raises:
        _Refused: it does not; the sentence says what.
    """
    if facts["mark"] in _admitted:
        return
    if facts["version"] != medcontext.__version__:
        raise _Refused(
            f"{_here()} has MedContext {medcontext.__version__}, this run was started with {facts['version']}: "
            "install the same version on both."
        )
    run = RunFacts.parse(facts, "a message")
    mark = run.output / run.mark
    ends = time.monotonic() + PATIENCE
    while not mark.is_file():
        if time.monotonic() > ends:
            raise _Refused(_not_visible(run.output))
        time.sleep(0.2)
    _check_model(run)
    _admitted.add(run.mark)


def _check_model(run: RunFacts) -> None:
    from medcontext.library import read_card
    from medcontext.library.folder import sha256_of

    try:
        folder = _model_folder(run)
        card = read_card(folder)
        damaged = any(sha256_of(folder / entry.file) != entry.sha256 for entry in card.weights)
        found = "damaged weights" if damaged else model_identity(card)
    except (MedContextError, OSError) as error:
        raise _Refused(f"{_here()} cannot open the model {run.model}: {error}") from error
    if found != run.model_sha256:
        raise _Refused(
            f"{_here()} has another model at {folder} than this run was started with "
            f"(SHA-256 {found[:12]} instead of {run.model_sha256[:12]})."
        )


def _model_folder(run: RunFacts) -> Path:
    """Where this machine has the model: at the same path, or in its own library."""
    return run.model if (run.model / MODEL_FILE).is_file() else resolve(run.model_name)


def _missing(case: BatchCase) -> Path | None:
    """A file of the case that cannot be seen from here; of a series only the first of each folder is looked for."""
    first = {file.parent: file for file in reversed(case.files)}
    return next((file for file in first.values() if not file.exists()), None)


def _not_visible(path: Path) -> str:
    return f"{_here()} does not see {path}: all machines of a run need the same folders at the same paths."


def _here() -> str:
    return f"The worker on {socket.gethostname()}"
