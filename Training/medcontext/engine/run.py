"""What a training run needs and what it delivers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from medcontext.devices import Device
from medcontext.engine.config import EngineConfig
from medcontext.engine.method import Method
from medcontext.engine.task import Task
from medcontext.errors import InputError
from medcontext.masking.network import MaskToken

OTHERS = {
    "end": "other wishes for its end (--minutes, --steps or --until-stopped)",
    "settings": "other settings (--set, --preset or --config)",
}


@dataclass(frozen=True)
class Run:
    """Everything a training run needs.

    Attributes:
        folder: receives log.jsonl, curve.png and the checkpoint. None for a run of seconds that keeps no records: it
            cannot be resumed, nobody watches it, each step is told, and no number of steps is too few for it.
        task: data, and how what is learnt is judged.
        network: initialised network, one that ``method`` can build on.
        method: how it learns.
        config: settings of the loop.
        device: where it runs.
        precision: "fp32", "bf16" or "fp16".
        seed: of all draws.
        steps: step budget; or None.
        minutes: time budget, turned into steps by timing twenty; or None.
        resume: continue from the checkpoint in ``folder``.
        control: asked between steps for "stop" (keep what is there), "pause" or None.
        until_stopped: train until ``control`` says "stop"; ``steps`` and ``minutes`` are None then.
        settings: of the method, where a run must not go on with others; else empty.
        finished: asked after each step, with the number of steps done, whether the run is over before its budget is.
        stage: name under which it tells how far it is.
        facts: what is told beside how far it is.

    Raises:
        ValueError: a run without a folder is to be resumed.
    """

    folder: Path | None
    task: Task
    network: nn.Module
    method: Method
    config: EngineConfig
    device: Device
    precision: str
    seed: int = 0
    steps: int | None = None
    minutes: float | None = None
    resume: bool = False
    control: Callable[[], str | None] = field(default=lambda: None)
    until_stopped: bool = False
    settings: str = ""
    finished: Callable[[int], bool] = field(default=lambda steps: False)  # noqa: ARG005
    stage: str = "train"
    facts: Callable[[], Mapping[str, Any]] = field(default=dict)

    def __post_init__(self) -> None:
        if self.folder is None and self.resume:
            raise ValueError("a run without a folder kept nothing from which it could be resumed")

    def file(self, name: str) -> Path | None:
        """A file in the folder; None for a run that keeps no records."""
        return None if self.folder is None else self.folder / name

    @property
    def terms(self) -> dict[str, Any]:
        """What a resumed run must have in common with the stopped one; its cases may have changed."""
        found = {"plan": self.task.plan.hash(), "method": self.method.name, "seed": self.seed}
        found["end"] = not self.until_stopped
        return found | ({"settings": self.settings} if self.settings else {})

    def check_terms(self, state: Mapping[str, Any]) -> None:
        """Refuse the checkpoint of a run that differs.

        Raises:
            InputError: it does.
        """
        for key, mine in self.terms.items():
            if state.get(key, True) != mine:
                raise InputError(
                    f"The checkpoint was made with {OTHERS.get(key, f'another {key}')}.",
                    "Use the same data and options, or start anew.",
                )


@dataclass(frozen=True)
class Outcome:
    """What a run delivers.

    The network on the CPU in fp32, the steps done, the minutes spent, the scores that chose the weights, the number
    of scans without labels that were learnt from, and the mask token that belongs to the network.
    """

    network: nn.Module
    steps: int
    minutes: float
    dice: dict[str, float]
    unlabelled: int
    mask_token: MaskToken | None = None
