"""The command that a fine-tuning is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from MedContextSegmentLib.Learn.Command import AUTO, commandOf, deviceArguments, timeArguments

FINETUNE, TRAIN = "finetune", "train"
NONE = "none"


@dataclass(frozen=True)
class FineTuneRequest:
    """What to learn, from what, for how long.

    Attributes:
        store: folder of the cases.
        output: folder of the model that is made.
        parent: ``id@version`` of the model to start from; from scratch when "".
        encoder: ``id@version`` of the encoder to start from, whose network is taken; only without a parent.
        network: name of the network, from scratch.
        size: "small", "medium" or "large", from scratch.
        minutes: time to learn for; until somebody stops it when None.
        labels: names of the labels to learn; all of the store when empty.
        keep: "auto" or "none": whether labels of the parent that the store does not have are kept.
        leaveOneOut: whether the training is repeated without each case, to score it.
        device: where to compute.
        precision: number format of the network's arithmetic.
    """

    store: Path
    output: Path
    parent: str = ""
    encoder: str = ""
    network: str = "dynunet"
    size: str = "small"
    minutes: float | None = 15.0
    labels: tuple[str, ...] = ()
    keep: str = AUTO
    leaveOneOut: bool = False
    device: str = AUTO
    precision: str = AUTO

    def arguments(self) -> list[str]:
        """The arguments after ``medcontext``, without ``--json``."""
        arguments = [FINETUNE if self.parent else TRAIN, "--data", str(self.store)]
        if self.parent:
            arguments += ["-m", self.parent]
        elif self.encoder:
            arguments += ["--init-from", self.encoder]
        else:
            arguments += ["--network", self.network, "--size", self.size]
        arguments += ["-o", str(self.output), *timeArguments(self.minutes)]
        for name in self.labels:
            arguments += ["--labels", name]
        if self.parent and self.keep != AUTO:
            arguments += ["--keep", self.keep]
        if self.leaveOneOut:
            arguments.append("--leave-one-out")
        return [*arguments, *deviceArguments(self.device, self.precision)]

    def command(self, python: str) -> list[str]:
        """The program and all its arguments.

        Args:
            python: the Python that has the package.
        """
        return commandOf(python, self.arguments())
