"""The task of learning to segment: patches of annotated and other cases, judged by Dice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from medcontext.engine.batches import BatchSource
from medcontext.engine.cases import Cases
from medcontext.engine.config import EngineConfig
from medcontext.engine.keeping import Troubles
from medcontext.engine.task import Shard
from medcontext.engine.validation import validate, warn_of_missing_labels
from medcontext.engine.watch import VALIDATION_SHARE, Watch
from medcontext.events import Reporter


@dataclass(frozen=True, kw_only=True)
class Segmentation(Cases):
    """Learning from cases by patches.

    Attributes:
        config: augmentation and sampling.
    """

    config: EngineConfig

    @property
    def unlabelled_cases(self) -> int:
        """Scans without labels."""
        return len(self.unlabelled)

    @property
    def chooses(self) -> bool:
        """Whether there are cases that choose the weights."""
        return bool(self.validation)

    @property
    def judging_share(self) -> float:
        """What segmenting cases takes; nothing where there is none to score."""
        return VALIDATION_SHARE if self.validation or self.monitor else 0.0

    def batches(self, seed: int, shard: Shard) -> BatchSource:
        """Augmented patches."""
        return BatchSource(self.labelled, self.unlabelled, self.plan, self.config, seed, shard)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Mean Dice of each label over the validation cases."""
        return validate(network, self.validation, self.plan, self.precision)

    def watcher(self, folder: Path, reporter: Reporter, troubles: Troubles) -> Watch:
        """Segments a few cases now and then."""
        return Watch(self, folder, reporter, troubles)

    def after_a_quarter(self, network: nn.Module, reporter: Reporter) -> None:
        """Warn of labels that the network does not find in the cases that it learns from."""
        warn_of_missing_labels(network, self.labelled, self.plan, self.precision, reporter)
