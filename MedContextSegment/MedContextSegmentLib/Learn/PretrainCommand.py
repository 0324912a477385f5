"""The command that a pre-training is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from MedContextSegmentLib.Learn.Command import AUTO, commandOf, deviceArguments, timeArguments

PRETRAIN = "pretrain"
VOCO, MAE = "voco", "mae"


@dataclass(frozen=True)
class PretrainRequest:
    """What an encoder learns from without labels, how, and for how long.

    Attributes:
        data: case stores, whose held-out and test cases are left out, and folders of scans.
        output: folder of the encoder that is made.
        title: what a person calls it; the folder's name when "".
        method: "voco" or "mae".
        network: name of the network.
        size: "small", "medium" or "large".
        minutes: time to learn for; until somebody stops it when None.
        device: where to compute.
        precision: number format of the network's arithmetic.
    """

    data: tuple[Path, ...]
    output: Path
    title: str = ""
    method: str = VOCO
    network: str = "dynunet"
    size: str = "small"
    minutes: float | None = 60.0
    device: str = AUTO
    precision: str = AUTO

    def arguments(self) -> list[str]:
        """The arguments after ``medcontext``, without ``--json``."""
        arguments = [PRETRAIN, "--method", self.method]
        for place in self.data:
            arguments += ["--data", str(place)]
        arguments += ["--network", self.network, "--size", self.size]
        arguments += ["-o", str(self.output), *timeArguments(self.minutes)]
        if self.title:
            arguments += ["--title", self.title]
        return [*arguments, *deviceArguments(self.device, self.precision)]

    def command(self, python: str) -> list[str]:
        """The program and all its arguments.

        Args:
            python: the Python that has the package.
        """
        return commandOf(python, self.arguments())
