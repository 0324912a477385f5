"""Started by torchrun in test_distributed: pre-trains on the folder given, and leaves encoders in the other one."""

import sys
from collections.abc import Sequence
from pathlib import Path

from medcontext.workflows.pretrain import PretrainRequest, pretrain


def main(data: Path, output: Path, methods: Sequence[str]) -> None:
    """Pre-train by each method on ``data``; the encoders come to lie in ``output``."""
    for method in methods:
        mine = ("mask.cell=4",) if method == "mae" else ("projector.hidden=16", "projector.out=16")
        pretrain(
            PretrainRequest(
                (data,),
                output / method,
                method=method,
                settings=("crop_size=8", "plan.network.kwargs.filters=[4,8,8]", "plan.batch_size=2", *mine),
                steps=4,
                device="cpu",
                precision="fp32",
            )
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
