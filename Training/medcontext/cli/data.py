"""``medcontext data``: keep annotated scans in a case store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medcontext.cli.cases import StoreFolder, link, list_cases, remove
from medcontext.cli.console import session
from medcontext.cli.options import Json, Seed
from medcontext.errors import InputError

if TYPE_CHECKING:
    from medcontext.data.case import Annotation
    from medcontext.data.store import CaseStore
    from medcontext.labels import LabelSet

app = typer.Typer(
    name="data",
    no_args_is_help=True,
    help="Collect annotated scans, look for mistakes, keep some for scoring.",
)

PARTLY = "If only part of the scan was annotated"


@app.command()
def add(
    store: Annotated[Path, typer.Argument(help="Data set to add to; made when it is not there.")],
    images: Annotated[list[Path], typer.Argument(help="Scan: one file or DICOM folder per channel.")],
    label: Annotated[
        Path | None, typer.Option(help="Labelmap of the scan; without one it is unlabelled.")
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option(help="What a label value means, such as 1=anterior; repeat it for others."),
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(help="Channels of a new data set, such as T1 or T1=MRI (name=modality), in order."),
    ] = None,
    case_id: Annotated[
        str | None, typer.Option("--id", help="Name of the case; the file name otherwise.")
    ] = None,
    patient: Annotated[
        str, typer.Option(help="Patient, if there are several scans of one; they are never split.")
    ] = "",
    held_out: Annotated[bool, typer.Option(help="Keep the case for scoring, for good.")] = False,
    text: Annotated[str, typer.Option(help="Report of the scan in words.")] = "",
    annotated: Annotated[
        str,
        typer.Option(
            help="Label values that were annotated, such as 1,2; others are unknown.", rich_help_panel=PARTLY
        ),
    ] = "",
    slices: Annotated[
        str,
        typer.Option(
            help="Slices that were annotated, counted from 0: 0,4,8 or 0-40:4.", rich_help_panel=PARTLY
        ),
    ] = "",
    axis: Annotated[
        str,
        typer.Option(
            help="Axis that slices count along: i, j or k (as in the file).", rich_help_panel=PARTLY
        ),
    ] = "k",
    mask: Annotated[
        Path | None, typer.Option(help="File whose non-zero voxels were annotated.", rich_help_panel=PARTLY)
    ] = None,
    replace: Annotated[bool, typer.Option(help="Replace the case of that id; old files are kept.")] = False,
    json: Json = False,
) -> None:
    """Add a scan, with or without labels, to a data set."""
    with session(json, gentle=True) as console:
        from medcontext.data.adding import NewCase

        labels = _named(names or [])
        opened = _open_or_create(store, labels, channel or [], len(images))
        new = NewCase(
            images=list(images),
            label=label,
            mask=mask,
            annotated=_annotation(annotated, slices, axis),
            case_id=case_id,
            group=patient,
            held_out=held_out,
            text=text,
        )
        case = opened.add_case(new, labels=labels, replacing=replace, reporter=console.reporter)
        kind = "labelled" if case.label else "unlabelled"
        console.say(f"Added {kind} case {case.id}; {opened.folder} now holds {len(opened.cases)} cases.")
        if case.held_out and not held_out:
            console.say("It is held out, as this image was before: it will only be scored.")
        console.result(case=case.id, store=str(opened.folder), cases=len(opened.cases))


@app.command()
def check(store: StoreFolder, json: Json = False) -> None:
    """Read every file and report what is broken; exit code 2 when something is."""
    with session(json, gentle=True) as console:
        from medcontext.data.checks import check_store
        from medcontext.data.store import CaseStore

        opened = CaseStore.open(store)
        findings = check_store(opened, console.reporter)
        for finding in findings:
            kind = "Warning" if finding.severity == "warning" else "Broken"
            place = f" {finding.case}" if finding.case else ""
            console.say(f"{kind}{place}: {finding.message} {finding.hint}".rstrip())
        broken = {finding.case for finding in findings if finding.severity == "error"}
        summary = _summary(opened)
        console.result(broken=sorted(broken), findings=[vars(finding) for finding in findings], **summary)
        counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in summary.items())
        if broken:
            raise InputError(
                f"{len(broken)} of {len(opened.cases)} cases cannot be used as they are ({counts}).",
                "Correct them, or take them out with 'medcontext data remove'.",
            )
        console.say(f"All {len(opened.cases)} cases can be used: {counts}.")


@app.command()
def split(
    store: StoreFolder,
    held_out: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of the labelled cases to keep for scoring.")
    ] = 0.2,
    case: Annotated[
        list[str] | None, typer.Option(help="Keep exactly these cases instead; repeat it.")
    ] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Keep some labelled cases for scoring, whole patients at a time. They stay held out for good."""
    with session(json) as console:
        from medcontext.data.splits import cases_to_hold_out, why_none_is_held_out
        from medcontext.data.store import CaseStore

        opened = CaseStore.open(store)
        chosen = case if case else cases_to_hold_out(opened, held_out, seed)
        before = {c.id for c in opened.cases if c.held_out}
        added = [case_id for case_id in dict.fromkeys(chosen) if case_id not in before]
        opened.hold_out(added)
        kept = [c.id for c in opened.cases if c.label is not None and (c.held_out or c.split == "test")]
        left = [c.id for c in opened.cases if c.trainable]
        if added:
            console.say(f"Held out from now on: {', '.join(added)}.")
        elif case:
            console.say(f"Nothing changes: {', '.join(case)} were held out before.")
        else:
            console.say(f"Nothing changes: {why_none_is_held_out(opened, held_out)}")
        console.say(f"{len(left)} labelled cases train and {len(kept)} score.")
        console.result(held_out=kept, training=left, added=added)


app.command()(link)
app.command()(remove)
app.command("list")(list_cases)


def parse_slices(text: str) -> tuple[int, ...]:
    """``"0,4,8"`` or ``"0-40:4"`` (both ends included) as indices.

    Raises:
        InputError: it is neither.
    """
    found: set[int] = set()
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        span, _, step = part.partition(":")
        first, dash, last = span.partition("-")
        try:
            start, stop, stride = int(first), int(last) if dash else int(first), int(step or 1)
            found.update(range(start, stop + 1, stride))
        except ValueError as error:
            raise InputError(
                f"'{part}' names no slices.", "Example: --slices 0,4,8 or --slices 0-40:4"
            ) from error
    return tuple(sorted(found))


def _annotation(labels: str, slices: str, axis: str) -> Annotation:
    from medcontext.data.case import Annotation

    try:
        values = tuple(int(value) for value in labels.split(",")) if labels.strip() else None
    except ValueError as error:
        raise InputError(f"'{labels}' is not a list of label values.", "Example: --annotated 1,2") from error
    if not slices.strip():
        return Annotation(labels=values)
    return Annotation(labels=values, region="slices", slices=parse_slices(slices), axis=axis)  # type: ignore[arg-type]


def _named(names: list[str]) -> LabelSet | None:
    from medcontext.labels import LabelSet

    table: dict[int, str] = {}
    for entry in names:
        value, equals, name = entry.partition("=")
        if not equals or not value.strip().isdigit() or not name.strip():
            raise InputError(f"'{entry}' is not of the form value=name.", "Example: --names 1=anterior")
        table[int(value)] = name.strip()
    return LabelSet.from_names(table) if table else None


def _open_or_create(folder: Path, labels: LabelSet | None, channels: list[str], images: int) -> CaseStore:
    from medcontext.data.store import CaseStore
    from medcontext.labels import LabelSet

    if (folder / "dataset.json").exists():
        return CaseStore.open(folder)
    if folder.is_file():
        raise InputError(f"{folder} is a file, not a folder.", "The data set comes first, then the scan.")
    if not channels:
        raise InputError(
            f"{folder} is a new data set: its channels need names.",
            f"Add {' '.join(['--channel T1=MRI', '--channel T2=MRI'][:images])} (or --channel CT).",
        )
    pairs = [
        (name.strip(), (modality or name).strip())
        for name, _, modality in (c.partition("=") for c in channels)
    ]
    return CaseStore.create(folder, labels or LabelSet(), pairs)


def _summary(store: CaseStore) -> dict[str, int]:
    return {
        "training": sum(case.trainable for case in store.cases),
        "held_out_or_test": sum(case.held_out or case.split == "test" for case in store.cases),
        "without_label": sum(case.label is None and case.split != "test" for case in store.cases),
    }
