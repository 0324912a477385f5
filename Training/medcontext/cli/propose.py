"""``medcontext propose``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medcontext.cli.console import Console, session
from medcontext.cli.options import COMPUTING, Device, Json, Seed
from medcontext.errors import InputError

if TYPE_CHECKING:
    from medcontext.workflows.propose import ProposeResult

SHOWN = 12
"""Regions in the table; all of them are in regions.json."""


class ProposalName(StrEnum):
    """Ways to find regions."""

    S3NET = "s3net"
    SUPERPIXELS = "superpixels"


class PresetName(StrEnum):
    """Saved settings of s3net."""

    DEFAULT = "default"
    SCAN = "scan"
    REPO = "repo"


class ForegroundName(StrEnum):
    """Rules that choose a region without knowing the truth."""

    LARGEST = "largest"
    CONTRAST = "contrast"
    NONE = "none"


def propose(
    image: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE",
            help="A picture (PNG, JPEG, TIFF, BMP, GIF, WebP) or a volume (NIfTI, NRRD, MHA, a DICOM folder).",
        ),
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results; made if missing.")],
    plane: Annotated[
        str | None,
        typer.Option(
            "--slice",
            metavar="AXIS:NUMBER",
            help="Slice of a volume: axial:40 (or coronal, sagittal), or k:40 (or j, i) along an axis of the file; "
            "counted from 0.",
            show_default=False,
        ),
    ] = None,
    roi: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|BOX",
            help="Look only here: a label file (its bounding box), a Slicer ROI (.mrk.json), "
            "or voxels k0:k1,j0:j1,i0:i1 counted from 0 (of a picture j0:j1,i0:i1).",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        ProposalName,
        typer.Option(
            help="s3net: a network learns from this image alone; superpixels: quick, by colour alone."
        ),
    ] = ProposalName.S3NET,
    preset: Annotated[
        PresetName | None,
        typer.Option(
            help="Saved settings of s3net: default is for pictures in colour, scan for all else; repo is what its "
            "authors published. By default what suits the image.",
            show_default=False,
        ),
    ] = None,
    clusters: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=64,
            help="Kinds of what is shown to tell apart, such as lesion and skin. By default 2 in pictures in colour, "
            "6 in scans (4 by superpixels).",
            show_default=False,
        ),
    ] = None,
    foreground: Annotated[
        ForegroundName | None,
        typer.Option(
            help="Region to take for the foreground: the largest that does not touch the border, the one that differs "
            "most from what surrounds it, or none.",
            show_default="largest",
        ),
    ] = None,
    region: Annotated[
        list[int] | None,
        typer.Option(
            "--region",
            metavar="NUMBER",
            min=1,
            help="Take this region for the foreground, by its number in the table and in picture.png of an earlier "
            "run with the same seed and options; repeat it to join several.",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            metavar="POINT",
            help="A point in the foreground: row,column of a picture or slice, or k,j,i, counted from 0; repeat it. "
            "It is counted in the order of the file, as `deepest` in regions.json; picture.png may be mirrored "
            "against it.",
            show_default=False,
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(help="Mask or labelmap of the whole image to score against.", show_default=False),
    ] = None,
    truth_label: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="NUMBER",
            help="Score against this label of --truth; else all its labels are taken as one.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting of s3net, such as size=256; repeat it.",
            rich_help_panel=COMPUTING,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results of an earlier run.")
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Find regions in one image, without a model and without labels.

    Writes OUTPUT/regions.nii.gz (of a picture regions.png), regions.json with the numbers of each region, the
    foreground, and picture.png to look at.
    """
    with session(as_json, gentle=True) as console:
        from medcontext.workflows.proposal import ProposalOptions
        from medcontext.workflows.propose import ProposeRequest
        from medcontext.workflows.propose import propose as run

        if method is ProposalName.SUPERPIXELS and (settings or preset):
            raise InputError(
                "--preset and --set belong to the method s3net, not to superpixels.", "Leave them out."
            )
        options = ProposalOptions(
            method=method.value,
            preset=preset and preset.value,
            changes=settings or (),
            seed=seed,
            clusters=clusters,
            device=device,
        )
        request = ProposeRequest(
            image,
            output,
            slice=plane,
            roi=roi,
            options=options,
            foreground=None if foreground is None else foreground.value,
            seeds=at or [],
            numbers=region or [],
            truth=truth,
            truth_label=truth_label,
            overwrite=overwrite,
        )
        result = run(request, console.reporter)
        _tell(console, result)
        console.result(**result.to_json())


def _tell(console: Console, result: ProposeResult) -> None:
    """The result for people."""
    from medcontext.workflows.propose_files import number_of, region_rows

    looked, proposal = result.looked, result.looked.proposal
    heading, *rows = region_rows(looked)
    console.table(heading, rows[:SHOWN])
    if len(rows) > SHOWN:
        console.say(f"and {number_of(len(rows) - SHOWN, 'smaller one')}.")
    learnt = f" after {number_of(proposal.iterations, 'iteration')}" if proposal.iterations else ""
    console.say(f"{number_of(len(rows), 'region')}{learnt}, in {proposal.seconds:.1f} s.")
    if looked.foreground is not None:
        console.say(f"Foreground: {looked.foreground.why}")
    if looked.scores:
        scores = [(name, value) for name, value in looked.scores.items() if isinstance(value, float)]
        console.table(["Score", "Value"], scores)
    console.say(f"Results are in {result.files['facts'].parent.absolute()}")
