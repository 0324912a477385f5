"""What is wrong with a training is said at once: nothing here loads torch, which takes seconds."""

from __future__ import annotations

from collections.abc import Sequence

from medcontext import methods
from medcontext.card_schema import ModelCard
from medcontext.cards import MODEL_FILE, resolve
from medcontext.config import StrictModel, read_data
from medcontext.data.store import CaseStore
from medcontext.engine.config import CHECKPOINT
from medcontext.engine.keeping import sole_writer
from medcontext.engine.ranks import is_main_process
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.library import read_card
from medcontext.plan import Plan
from medcontext.workflows.encoder_start import check_encoder_start
from medcontext.workflows.leave_one_out import cases_to_leave_out
from medcontext.workflows.pretrain_request import PretrainRequest
from medcontext.workflows.request import TrainRequest
from medcontext.workflows.training_cases import choose_cases

PLAN = "plan."
"""What a setting begins with that changes the plan and not the method."""

Learning = TrainRequest | PretrainRequest


def check_training(request: TrainRequest) -> None:
    """Refuse what cannot be trained, as far as options, names and headers tell.

    Raises:
        InputError: options contradict each other; a path, case, label, model or setting is not there; or nothing can
            be written to the output folder.
    """
    _check_options(request)
    if request.resume and (request.output / MODEL_FILE).exists():
        return
    begun = check_output(request)
    store = CaseStore.open(request.data)
    parent = _parent_card(request, begun)
    if begun:  # it goes on with the cases that it began with
        return
    _check_cases(request, store)
    if parent is not None:
        _check_parent(request, store, parent)


def method_config(request: Learning, ready: float = 0.0) -> StrictModel:
    """The configuration of the method with the changes that the request names.

    Args:
        request: of the training.
        ready: Dice that the network has before it learns, see :func:`medcontext.methods.make_config`.

    Raises:
        InputError: there is no such method, preset, file or setting.
    """
    config = methods.make_config(request.method, request.preset, ready)
    if request.config is not None:
        config = config.merged(read_data(request.config), str(request.config))
    return config.updated([setting for setting in request.settings if not setting.startswith(PLAN)])


def check_settings(request: Learning, known: Sequence[str]) -> None:
    """Refuse several ends of one run, and methods and settings that there are not.

    Args:
        request: of the run.
        known: the methods that learn what is to be learnt.

    Raises:
        InputError: one of these.
    """
    if request.method not in known:
        raise InputError(f"The method must be {' or '.join(known)}, not {request.method!r}.")
    if sum([request.minutes is not None, request.steps is not None, request.until_stopped]) > 1:
        raise InputError("Give one of --minutes, --steps and --until-stopped, not several.")
    method_config(request)
    for setting in request.settings:
        if setting.startswith(PLAN):
            Plan.keys_of(setting.removeprefix(PLAN))


def _check_options(request: TrainRequest) -> None:
    check_settings(request, methods.names())
    if request.init_from is None and request.keep != "auto":
        raise InputError(
            "--keep is about the structures of a model to start from.", "Give --init-from as well."
        )
    if request.unlabelled is not None and request.method == "supervised":
        raise InputError(
            "Method supervised cannot learn from scans without labels.", "Use --method medcontext."
        )
    if request.plan is not None:
        Plan.read(request.plan)


def check_output(request: Learning) -> bool:
    """Refuse an output folder that is taken or cannot be written to; whether a stopped run lies there.

    Raises:
        InputError: it holds a model, another process writes there, or a stopped run would be lost.
    """
    begun = (request.output / "training" / CHECKPOINT).exists()
    if (request.output / MODEL_FILE).exists():
        raise InputError(
            f"{request.output} holds a model already.", "Choose another folder or remove it first."
        )
    if is_main_process():
        with sole_writer(request.output / "training"):  # only shows that it can be
            pass
    if begun and not request.resume:
        raise InputError(
            f"{request.output} holds a run that was stopped.",
            "Continue it with --resume or choose another folder.",
        )
    return begun


def _parent_card(request: TrainRequest, begun: bool) -> ModelCard | None:
    """The card of the model to start from."""
    if request.init_from is None:
        return None
    try:
        return read_card(resolve(request.init_from))
    except InputError as error:
        if not begun:
            raise
        raise InputError(
            f"The model that this run began from cannot be opened any more: {error.message}",
            "Put it back, or start from another one in another folder.",
        ) from error


def _check_cases(request: TrainRequest, store: CaseStore) -> None:
    choose_cases(request, store, Reporter())
    for name in request.labels:
        store.labels.named(name)
    if request.leave_one_out:
        cases_to_leave_out(store, request)
    if request.unlabelled is not None and not request.unlabelled.is_dir():
        raise InputError(
            f"--unlabelled {request.unlabelled} is not a folder.", "Give a folder of scans or a data set."
        )


def _check_parent(request: TrainRequest, store: CaseStore, parent: ModelCard) -> None:
    if request.network not in (None, parent.network.name):
        raise InputError(
            f"{request.init_from} is a {parent.network.name}, not a {request.network}.",
            "Leave --network out.",
        )
    channels = parent.input.channels
    if len(store.channels) != len(channels):
        names = ", ".join(channel.name for channel in channels)
        raise InputError(
            f"{request.init_from} takes {len(channels)} channel(s) ({names}); the data have {len(store.channels)}.",
            "Choose another model to start from, or train from scratch.",
        )
    if parent.kind == "encoder":
        check_encoder_start(request, parent)
