"""What a training is asked to do, the cases it got, and what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from medcontext.card_schema import ModelCard
from medcontext.data.preprocess import PreparedCase

if TYPE_CHECKING:
    from medcontext.workflows.verdict import Verdict

Keep = Literal["auto", "all", "none"]
"""What becomes of the parent's structures that are not learnt."""


@dataclass(frozen=True)
class TrainRequest:
    """What to train, on what, for how long.

    Attributes:
        data: case store or Decathlon folder.
        output: model folder to make; the run's log, curve and checkpoint lie in its ``training`` folder.
        method: registered method.
        network: registered network; the parent's when ``init_from`` is given and this is None.
        size: class of network width and patch volume, small when None.
        preset: saved configuration of the method.
        config: JSON or YAML file with changes to the preset; unknown keys are errors.
        plan: plan file made by ``medcontext plan``; made from the data when None.
        settings: ``key=value`` changes of the method's configuration; ``plan.key=value`` changes the plan.
        init_from: parent model or encoder, by library id or folder.
        unlabelled: folder of scans without labels, or a case store whose test cases are left out.
        shots: number of labels to use; all when None.
        minutes: time budget; or
        steps: step budget; or
        until_stopped: none, the run goes on until it is told to stop; without any of these the plan's recommendation
            of steps is taken.
        seed: of shots, initial weights and all draws.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        resume: continue the run that was stopped in ``output``.
        title: title of the model; made from the data set's name when empty.
        license: licence of the weights.
        model_id: library id; made from the folder's name when empty.
        labels: names of the data set's structures to learn; all of them when empty.
        keep: of the parent's structures that are not learnt, "auto" keeps those that the new ones do not mostly cover,
            "all" keeps all and "none" keeps none.
        exclude: ids of cases that are left out in every way.
        leave_one_out: also train once for each annotated case without it, and say how good that was.
    """

    data: Path
    output: Path
    method: str = "medcontext"
    network: str | None = None
    size: Literal["small", "medium", "large"] | None = None
    preset: str = "default"
    config: Path | None = None
    plan: Path | None = None
    settings: Sequence[str] = ()
    init_from: str | None = None
    unlabelled: Path | None = None
    shots: int | None = None
    minutes: float | None = None
    steps: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    resume: bool = False
    title: str = ""
    license: str = "unspecified"
    model_id: str = ""
    labels: Sequence[str] = ()
    keep: Keep = "auto"
    exclude: Sequence[str] = ()
    until_stopped: bool = False
    leave_one_out: bool = False

    @property
    def has_end_of_its_own(self) -> bool:
        """Whether something is said about when the run ends; else the plan says it."""
        return self.until_stopped or self.minutes is not None or self.steps is not None


@dataclass(frozen=True)
class PreparedData:
    """The prepared cases of a run: those learnt from, those that choose the weights, and those merely watched."""

    labelled: list[PreparedCase]
    validation: list[PreparedCase]
    unlabelled: list[PreparedCase]
    monitor: list[PreparedCase] = field(default_factory=list)


@dataclass(frozen=True)
class TrainResult:
    """What came out.

    Attributes:
        folder: of the model.
        card: of the model.
        dice: per label, on the cases that chose the weights; empty where none were set apart.
        verdict: what held-out cases say; None where nobody asked them.
    """

    folder: Path
    card: ModelCard
    dice: dict[str, float] = field(default_factory=dict)
    verdict: Verdict | None = None
