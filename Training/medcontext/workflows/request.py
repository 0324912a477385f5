"""What a training is asked to do, and the cases it got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medcontext.data.preprocess import PreparedCase


@dataclass(frozen=True)
class TrainRequest:
    """What to train, on what, for how long.

    Attributes:
        data: case store or Decathlon folder.
        output: model folder to make; the run's log, curve and checkpoint lie in its ``training`` folder.
        method: registered method.
        network: registered network; the parent's when ``init_from`` is given and this is None.
        size: class of network width.
        preset: saved configuration of the method.
        config: JSON or YAML file with changes to the preset; unknown keys are errors.
        plan: plan file made by ``medcontext plan``; made from the data when None.
        settings: ``key=value`` changes of the method's configuration; ``plan.key=value`` changes the plan.
        init_from: parent model, by library id or folder.
        unlabelled: folder of scans without labels, or a case store whose test cases are left out.
        shots: number of labels to use; all when None.
        minutes: time budget; or
        steps: step budget; the plan's recommendation when both are None.
        seed: of shots, initial weights and all draws.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        resume: continue the run that was stopped in ``output``.
        title: title of the model; made from the data set's name when empty.
        license: licence of the weights.
        model_id: library id; made from the folder's name when empty.
    """

    data: Path
    output: Path
    method: str = "medcontext"
    network: str | None = None
    size: Literal["small", "medium", "large"] = "small"
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


@dataclass(frozen=True)
class PreparedData:
    """The prepared cases of a run."""

    labelled: list[PreparedCase]
    validation: list[PreparedCase]
    unlabelled: list[PreparedCase]
