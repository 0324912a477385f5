"""``medcontext networks``: what there is to choose from, and what it costs."""

from __future__ import annotations

from typing import Annotated

import typer

from medcontext.cli.console import session
from medcontext.cli.options import Json, SizeName


def networks(
    size: Annotated[SizeName, typer.Option(help="Size of the network.")] = SizeName.SMALL,
    patch: Annotated[int, typer.Option(min=16, help="Voxels per side of the patch.")] = 64,
    json: Json = False,
) -> None:
    """List the networks with their parameters, work and memory for one patch of one channel and three classes."""
    with session(json) as console:
        from medcontext import networks as registry

        rows, facts = [], []
        for name in registry.names():
            cube = (patch, patch, patch)
            kwargs = registry.default_kwargs(name, cube, (1.0, 1.0, 1.0), size.value)
            used = registry.round_patch(name, kwargs, cube)
            cost = registry.describe(name, kwargs, 1, 3, used)
            entry = {
                "network": name,
                "patch": list(used),
                "parameters": cost.parameters,
                "flops": cost.flops,
                "training_memory_bytes": cost.training_memory_bytes,
                "inference_memory_bytes": cost.inference_memory_bytes,
            }
            facts.append(entry)
            rows.append(
                [
                    name,
                    "x".join(map(str, used)),
                    f"{cost.parameters / 1e6:.2f} M",
                    f"{cost.flops / 1e9:.0f}",
                    f"{cost.training_memory_bytes / 1e9:.2f} GB",
                    f"{cost.inference_memory_bytes / 1e9:.2f} GB",
                ]
            )
        columns = ["Network", "Patch", "Parameters", "GFLOP forward", "Memory to train", "Memory to predict"]
        console.table(columns, rows, title=f"Size {size.value}")
        console.result(networks=facts)
