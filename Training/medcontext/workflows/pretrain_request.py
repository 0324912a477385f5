"""What a pre-training is asked to do, and what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from medcontext.card_schema import ModelCard


@dataclass(frozen=True)
class PretrainRequest:
    """Which scans to pre-train an encoder on, how, and for how long.

    Attributes:
        data: folders of scans, and case stores: of a store every scan but its test and held-out
            cases, without their labels.
        output: model folder of kind encoder to make; the run's log, curve and checkpoint lie in its folder
            ``training``.
        method: registered method of pre-training.
        network: registered network; that of ``plan`` or ``init_from`` where one is given and this is None.
        size: class of network width, small when None; ``plan`` and ``init_from`` have their own.
        preset: saved configuration of the method.
        config: JSON or YAML file with changes to the preset; unknown keys are errors.
        plan: plan whose network, spacing and channels are used: a file made by ``medcontext plan``, or a model by
            folder or id; made from the scans when None.
        settings: ``key=value`` changes of the method's configuration; ``plan.key=value`` changes the plan.
        init_from: encoder to go on from, by library id or folder.
        minutes: time budget; or
        steps: step budget; or
        until_stopped: none, the run goes on until it is told to stop; without any of these the number of scans
            decides.
        seed: of initial weights and all draws.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        resume: continue the run that was stopped in ``output``.
        title: title of the encoder; made from the data's names when empty.
        license: licence of the weights.
        model_id: library id; made from the folder's name when empty.
        exclude: ids of scans that are left out in every way.
    """

    data: Sequence[Path]
    output: Path
    method: str = "voco"
    network: str | None = None
    size: Literal["small", "medium", "large"] | None = None
    preset: str = "default"
    config: Path | None = None
    plan: Path | None = None
    settings: Sequence[str] = ()
    init_from: str | None = None
    minutes: float | None = None
    steps: int | None = None
    until_stopped: bool = False
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    resume: bool = False
    title: str = ""
    license: str = "unspecified"
    model_id: str = ""
    exclude: Sequence[str] = ()

    @property
    def has_end_of_its_own(self) -> bool:
        """Whether something is said about when the run ends; else the plan says it."""
        return self.until_stopped or self.minutes is not None or self.steps is not None


@dataclass(frozen=True)
class PretrainResult:
    """What came out.

    Attributes:
        folder: of the encoder.
        card: of the encoder.
        signals: what held-out scans say about what was learnt, by name.
        sentence: the same in words.
    """

    folder: Path
    card: ModelCard
    signals: Mapping[str, float] = field(default_factory=dict)
    sentence: str = ""
