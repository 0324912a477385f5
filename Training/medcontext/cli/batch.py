"""``medcontext batch``."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medcontext.cli.console import Console, session
from medcontext.cli.options import COMPUTING, Device, Json, Model, Precision, PrecisionName
from medcontext.cli.segment import Certainty
from medcontext.errors import InputError, SomeCasesFailedError

if TYPE_CHECKING:
    from medcontext.batch.run import BatchSummary

FAILURES_SHOWN = 5
MACHINES = "Several machines"
AGAIN = "A run that was stopped"


class BatchFormat(StrEnum):
    """What a case can become."""

    NIFTI = "nii.gz"
    SEGMENTATION = "seg.nrrd"
    DICOM_SEG = "dicom-seg"
    STL = "stl"
    OBJ = "obj"


class Odd(StrEnum):
    """What becomes of series with a tilted gantry or uneven gaps."""

    RESAMPLE = "resample"
    REFUSE = "refuse"


def batch(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Folders (searched with all below them), a pattern in quotes such as 'scans/*_t1.nii.gz', "
            "a manifest (.csv, .json), or files: NIfTI, NRRD, MHA, DICOM.",
            show_default=False,
        ),
    ],
    *,
    model: Model,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for all results; made if missing.")],
    formats: Annotated[
        list[BatchFormat] | None,
        typer.Option(
            "--format", help="What each case becomes; give it several times.", show_default="nii.gz"
        ),
    ] = None,
    certainty: Annotated[
        Certainty, typer.Option(help="How sure the model is, one number a case for the order of review.")
    ] = Certainty.ENTROPY,
    certainty_map: Annotated[
        bool, typer.Option("--certainty-map", help="Also write it voxel by voxel.")
    ] = False,
    odd: Annotated[
        Odd,
        typer.Option(help="DICOM with a tilted gantry or uneven gaps: resample with a warning, or refuse."),
    ] = Odd.RESAMPLE,
    keep_identifiers: Annotated[
        bool,
        typer.Option(
            "--keep-identifiers",
            help="Let names of patients and DICOM folders into file names and the ledger.",
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Do finished cases again and replace files that this batch did not write; says so first.",
            rich_help_panel=AGAIN,
        ),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Recognise finished cases by the contents of their files, not by size and time.",
            rich_help_panel=AGAIN,
        ),
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="Do so many unfinished cases at most.", show_default="all", rich_help_panel=AGAIN
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Only part I of N of the cases; all parts share the output folder.",
            show_default=False,
            rich_help_panel=MACHINES,
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="local:N processes, tcp://SCHEDULER:8786, or slurm:CONFIG.yaml (docs/batch.md).",
            show_default=False,
            rich_help_panel=MACHINES,
        ),
    ] = None,
    memory_limit: Annotated[
        float | None,
        typer.Option(
            metavar="GB",
            min=0.1,
            help="Main memory that cases may take together.",
            show_default="a share of what is free",
            rich_help_panel=COMPUTING,
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            metavar="BATCH.JSON",
            help="Compute exactly as the run that wrote this batch.json, for results that are equal to the bit.",
            show_default="measured on the first case",
            rich_help_panel=COMPUTING,
        ),
    ] = None,
    device: Device = "auto",
    precision: Precision = PrecisionName.AUTO,
    as_json: Json = False,
) -> None:
    """Segment thousands of scans without a window; the same command again finishes what is left.

    OUTPUT gets the results, ledger.csv (one row a case) and report.html (pictures, outliers first). A case that
    fails stops no other.
    """
    with session(as_json, gentle=True) as console:
        if certainty_map and certainty is Certainty.NONE:
            raise InputError(
                "--certainty none makes no map, which --certainty-map asks for.",
                "Leave out one of them; maps come from --certainty entropy or masked.",
            )
        from medcontext.batch.options import BatchOptions
        from medcontext.batch.record import plan_in
        from medcontext.batch.run import run_batch
        from medcontext.batch.shard import parse_shard

        chosen = {
            "model": model,
            "formats": [form.value for form in formats or [BatchFormat.NIFTI]],
            "certainty": certainty.value,
            "certainty_map": certainty_map,
            "odd": odd.value,
            "keep_identifiers": keep_identifiers,
            "overwrite": overwrite,
            "verify": verify,
            "limit": limit,
            "shard": None if shard is None else parse_shard(shard),
            "cluster": cluster,
            "memory_limit_gb": memory_limit,
            "device": device,
            "precision": precision.value,
            "plan": None if plan is None else plan_in(plan),
        }
        options = BatchOptions.parse(chosen, "The command")
        began = time.time()
        summary = run_batch(inputs, output, options, console.reporter, console.control)
        _tell(console, summary, output, _failures(output, options.shard_name, began))


def _tell(console: Console, summary: BatchSummary, output: Path, failures: list[tuple[str, str]]) -> None:
    """The end of a run: counts, what failed and why, where the results are."""
    if failures:
        console.table(["Failed", "Why"], failures[:FAILURES_SHOWN])
        if len(failures) > FAILURES_SHOWN:
            console.say(f"... and {len(failures) - FAILURES_SHOWN} more: column 'error' of ledger.csv.")
    console.say(_counts(summary))
    if summary.left:
        console.say(f"Left to do: {summary.left}; the same command goes on with them.")
    console.say(f"Results: {output.absolute()}")
    console.say(f"Ledger: {summary.ledger}")
    console.say(f"Report: {summary.report}")
    console.result(
        output=str(output.absolute()),
        done=summary.done,
        reused=summary.reused,
        failed=summary.failed,
        skipped=summary.skipped,
        left=summary.left,
        seconds=round(summary.seconds, 2),
        ledger=str(summary.ledger),
        report=str(summary.report),
    )
    if summary.failed:
        raise SomeCasesFailedError(
            f"{summary.failed} of {summary.done + summary.reused + summary.failed} cases failed.",
            "The same command tries them again.",
        )


def _failures(output: Path, shard: str, since: float) -> list[tuple[str, str]]:
    """Name and reason of the cases that failed in this run, by name."""
    from medcontext.batch_ledger import FAILED, read_rows

    rows = [
        row
        for row in read_rows(output).values()
        if row["state"] == FAILED and row.get("shard", "") == shard and row.get("time", 0) >= since
    ]
    return sorted((row["case"], str((row.get("error") or {}).get("message", ""))) for row in rows)


def _counts(summary: BatchSummary) -> str:
    parts = [f"{summary.done} segmented"]
    for count, words in (
        (summary.reused, "finished before"),
        (summary.failed, "failed"),
        (summary.skipped, "left out (no scans)"),
    ):
        if count:
            parts.append(f"{count} {words}")
    minutes, seconds = divmod(round(summary.seconds), 60)
    return f"{', '.join(parts)} in {f'{minutes} min ' if minutes else ''}{seconds} s."
