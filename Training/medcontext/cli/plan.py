"""``medcontext plan``: show what a training would do with the data, before it is started."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medcontext.cli.console import session
from medcontext.cli.options import COMPUTING, Device, Json, Seed, SizeName, Store, checked_network

if TYPE_CHECKING:
    from medcontext.plan import Plan


def plan(
    data: Store,
    network: Annotated[
        str, typer.Option(help="Network, such as dynunet.", callback=checked_network)
    ] = "dynunet",
    size: Annotated[SizeName, typer.Option(help="How large a network and patch.")] = SizeName.SMALL,
    out: Annotated[Path, typer.Option("--output", "-o", help="File to write the plan to.")] = Path(
        "plan.json"
    ),
    shots: Annotated[int | None, typer.Option(help="Plan from so many labelled cases only.")] = None,
    device: Device = "auto",
    memory_gb: Annotated[
        float | None,
        typer.Option(help="Memory to stay within; what is free otherwise.", rich_help_panel=COMPUTING),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Decide something yourself, such as spacing='[1,1,1]' or flips='[]'; repeat it."
        ),
    ] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Look at the data and decide spacing, patch, intensity, batch and network.

    'medcontext train' does this by itself; run it to see the plan first, change it in the file, and hand that to
    'medcontext train --plan'.
    """
    with session(json, gentle=True) as console:
        from medcontext.data.splits import select
        from medcontext.data.store import CaseStore
        from medcontext.devices import choose_device
        from medcontext.engine.planner import Wishes, make_plan

        store = CaseStore.open(data)
        split = select(store, shots, seed)
        made = make_plan(
            store,
            network,
            size=size.value,
            memory_gb=memory_gb,
            device_name=str(choose_device(device).torch_device),
            cases=[*split.train, *split.validation, *split.unlabelled],
            wishes=Wishes().updated(settings or []),
            reporter=console.reporter,
        )
        out.parent.mkdir(parents=True, exist_ok=True)
        made.write(out)
        console.table(["Decision", "Value"], describe(made), title=f"Plan for {store.name or data}")
        console.say(f"Written to {out}.")
        console.result(plan=str(out), hash=made.hash(), **made.model_dump(mode="json"))


def describe(plan: Plan) -> list[tuple[str, str]]:
    """The decisions in words a person can check."""
    facts = plan.fingerprint
    flips = ", ".join(("head-foot", "front-back", "left-right")[axis] for axis in plan.allowed_flips)
    pairs = len(plan.flip_pairs)
    return [
        ("Cases looked at", str(facts.cases)),
        ("Labels", ", ".join(label.name for label in plan.label_set)),
        ("Median image", f"{_times(facts.median_shape)} voxels of {_times(facts.median_spacing)} mm"),
        ("Spacing", f"{_times(plan.spacing)} mm (K x J x I), orientation {plan.orientation}"),
        *((f"Channel {c.name}", f"{c.modality}: {_intensity(plan, n)}") for n, c in enumerate(plan.channels)),
        ("Patch", f"{_times(plan.patch_size)} voxels, {plan.batch_size} at a time"),
        ("Steps", f"{plan.steps} where no budget is given"),
        ("Mirroring", (flips or "none") + (f", {pairs} label pairs swap" if pairs and flips else "")),
        ("Network", plan.network.name),
    ]


def _intensity(plan: Plan, number: int) -> str:
    intensity = plan.channels[number].intensity
    if intensity.kind == "ct":
        return f"clipped to {intensity.low:.0f} to {intensity.high:.0f} HU"
    return {"zscore": "mean 0 and SD 1 in each case", "rescale": "0 to 1 in each case"}.get(
        intensity.kind, "as it is"
    )


def _times(values: tuple[float, ...]) -> str:
    return " x ".join(f"{value:g}" for value in values)
