"""Everything the command line can do, from Python.

For example::

    from medcontext import api

    results = api.segment("scan.nii.gz", "hippocampus", Path("out"))
    api.train(api.TrainRequest(data=Path("store"), output=Path("model"), minutes=10))

``segment``, ``run_batch`` (with ``BatchOptions``), ``train`` (with ``TrainRequest``), ``pretrain`` (with
``PretrainRequest``), ``propose`` (with ``ProposeRequest``), ``evaluate``, ``demo``, ``make_pack`` (with
``PackRequest``) and ``examine`` (the doctor) are whole tasks from files to files. ``CaseStore`` and ``make_plan`` look
at data; ``list_models`` and ``load_model`` at models, ``read_catalogue`` and ``download_model`` at those to download,
``inspect_model`` and ``import_model`` (with ``ImportOptions``) at those of other programs.
``Predictor`` applies a loaded model to a ``Volume`` in memory, ``propose_regions`` (with ``ProposalOptions``) needs no
model. What takes time has a ``Reporter`` for progress and for stopping. Errors are of
:class:`medcontext.errors.MedContextError`, with a hint what to do.

Importing this module loads nothing heavy; each name is fetched when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medcontext.batch.options import BatchOptions
    from medcontext.batch.run import run_batch
    from medcontext.cards import list_cards as list_models
    from medcontext.data.store import CaseStore
    from medcontext.devices import choose_device
    from medcontext.engine.planner import make_plan
    from medcontext.events import Reporter
    from medcontext.geometry import Geometry, Volume
    from medcontext.inference.predictor import Predictor
    from medcontext.io import read_image, read_labelmap, write_labelmap
    from medcontext.io.pictures import read_picture
    from medcontext.library import ImportOptions, import_model, inspect_model, load_model
    from medcontext.library.catalogue import download_model, read_catalogue
    from medcontext.workflows.adapt import adapt
    from medcontext.workflows.demo import demo
    from medcontext.workflows.doctor import examine
    from medcontext.workflows.evaluate import evaluate
    from medcontext.workflows.pack import PackRequest, make_pack
    from medcontext.workflows.pretrain import pretrain
    from medcontext.workflows.pretrain_request import PretrainRequest
    from medcontext.workflows.proposal import ProposalOptions, propose_regions
    from medcontext.workflows.propose import ProposeRequest, propose
    from medcontext.workflows.redo import redo
    from medcontext.workflows.request import TrainRequest
    from medcontext.workflows.segment import segment
    from medcontext.workflows.suggest import suggest
    from medcontext.workflows.train import train

_HOMES = {
    "BatchOptions": "medcontext.batch.options",
    "CaseStore": "medcontext.data.store",
    "Geometry": "medcontext.geometry",
    "ImportOptions": "medcontext.library",
    "PackRequest": "medcontext.workflows.pack",
    "Predictor": "medcontext.inference.predictor",
    "PretrainRequest": "medcontext.workflows.pretrain_request",
    "ProposalOptions": "medcontext.workflows.proposal",
    "ProposeRequest": "medcontext.workflows.propose",
    "Reporter": "medcontext.events",
    "TrainRequest": "medcontext.workflows.request",
    "Volume": "medcontext.geometry",
    "adapt": "medcontext.workflows.adapt",
    "choose_device": "medcontext.devices",
    "demo": "medcontext.workflows.demo",
    "download_model": "medcontext.library.catalogue",
    "evaluate": "medcontext.workflows.evaluate",
    "examine": "medcontext.workflows.doctor",
    "import_model": "medcontext.library",
    "inspect_model": "medcontext.library",
    "list_models": "medcontext.cards:list_cards",
    "load_model": "medcontext.library",
    "make_pack": "medcontext.workflows.pack",
    "make_plan": "medcontext.engine.planner",
    "pretrain": "medcontext.workflows.pretrain",
    "propose": "medcontext.workflows.propose",
    "propose_regions": "medcontext.workflows.proposal",
    "read_catalogue": "medcontext.library.catalogue",
    "read_image": "medcontext.io",
    "read_labelmap": "medcontext.io",
    "read_picture": "medcontext.io.pictures",
    "redo": "medcontext.workflows.redo",
    "run_batch": "medcontext.batch.run",
    "segment": "medcontext.workflows.segment",
    "suggest": "medcontext.workflows.suggest",
    "train": "medcontext.workflows.train",
    "write_labelmap": "medcontext.io",
}

__all__ = [
    "BatchOptions",
    "CaseStore",
    "Geometry",
    "ImportOptions",
    "PackRequest",
    "Predictor",
    "PretrainRequest",
    "ProposalOptions",
    "ProposeRequest",
    "Reporter",
    "TrainRequest",
    "Volume",
    "adapt",
    "choose_device",
    "demo",
    "download_model",
    "evaluate",
    "examine",
    "import_model",
    "inspect_model",
    "list_models",
    "load_model",
    "make_pack",
    "make_plan",
    "pretrain",
    "propose",
    "propose_regions",
    "read_catalogue",
    "read_image",
    "read_labelmap",
    "read_picture",
    "redo",
    "run_batch",
    "segment",
    "suggest",
    "train",
    "write_labelmap",
]


def __getattr__(name: str) -> Any:
    """Fetch a name from where it lives, on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'medcontext.api' has no attribute '{name}'")
    module, _, original = _HOMES[name].partition(":")
    value = getattr(import_module(module), original or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
