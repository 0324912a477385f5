"""Models that stay in memory between requests."""

from __future__ import annotations

import gc
import logging
import platform
import sys
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medcontext.cards import MODEL_FILE, resolve
from medcontext.events import Reporter
from medcontext.jobs import list_jobs

if TYPE_CHECKING:
    from medcontext.inference.predictor import Predictor
    from medcontext.library import LoadedModel

CAPACITY = 2
"""Models kept: the one at work and the one it is compared with."""

TRAINING_COMMANDS = {"train", "finetune", "pretrain"}

_log = logging.getLogger(__name__)

Key = tuple[object, ...]


@dataclass(frozen=True)
class WarmModel:
    """A model ready to be applied."""

    predictor: Predictor
    loaded: LoadedModel


class WarmModels:
    """The models used last, by folder, content, device and precision."""

    def __init__(self) -> None:
        self._models: OrderedDict[Key, WarmModel] = OrderedDict()

    def get(self, model: str, device: str, precision: str, reporter: Reporter) -> tuple[WarmModel, bool]:
        """A model, loaded unless it is in memory already.

        Args:
            model: library id or folder.
            device: as for ``choose_device``.
            precision: as for ``Predictor``.
            reporter: told of loading.

        Returns:
            The model and whether it was in memory.

        Raises:
            InputError: there is no such model, device or precision, or the model does not segment images.
        """
        folder = resolve(model).resolve()
        key: Key = (str(folder), _content(folder), device, precision)
        if key in self._models:
            self._models.move_to_end(key)
            return self._models[key], True
        self._make_room(1 if training_runs() else CAPACITY)
        reporter.progress("load model", 0)  # the first time torch is imported, which takes seconds
        from medcontext.workflows.predictor import make_predictor

        predictor, loaded = make_predictor(folder, device, precision, reporter)
        self._models[key] = WarmModel(predictor, loaded)
        return self._models[key], False

    def _make_room(self, capacity: int) -> None:
        """Drop the models used longest ago until one more may come."""
        while len(self._models) >= capacity:
            self._models.popitem(last=False)
            _empty_caches()

    def look_after(self, idle: bool) -> None:
        """Let go of all models when nobody asked for long, or a training needs the device."""
        if not self._models:
            return
        if idle:
            _log.info("Idle: letting go of %d models", len(self._models))
            self.release()
        elif training_runs():
            _log.info("A training runs: letting go of %d models", len(self._models))
            self.release()

    def release(self) -> None:
        """Let go of all models and of the device memory."""
        self._models.clear()
        _empty_caches()


def _content(folder: Path) -> Key:
    """Changes whenever the model folder is written anew."""
    files = sorted([folder / MODEL_FILE, *folder.glob("*.safetensors")])
    status = [(path.name, path.stat()) for path in files if path.is_file()]
    return tuple((name, found.st_mtime_ns, found.st_size) for name, found in status)


def _empty_caches() -> None:
    """Give memory of dropped models back to the system."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def training_runs() -> bool:
    """Whether a job on this machine trains a model now."""
    try:
        jobs = list_jobs()
    except OSError as error:  # a job folder that cannot be read must not stop a segmentation
        _log.warning("The jobs cannot be listed: %s", error)
        return False
    # A command is the program (perhaps `python -m medcontext`), the kind of work, then its options.
    return any(
        job.active and job.host == platform.node() and TRAINING_COMMANDS.intersection(job.command[1:4])
        for job in jobs
    )
