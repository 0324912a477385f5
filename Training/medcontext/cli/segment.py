"""``medcontext segment``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from medcontext.cli.console import session
from medcontext.cli.options import Device, Json, Model, Precision, PrecisionName, assignments
from medcontext.errors import SomeCasesFailedError


class Certainty(StrEnum):
    """Where a certainty map comes from; entropy finds wrong voxels better (docs/methods/medcontext.md)."""

    NONE = "none"
    ENTROPY = "entropy"
    MASKED = "masked"


class Format(StrEnum):
    """File formats of labelmaps."""

    NIFTI = "nii.gz"
    NRRD = "nrrd"
    MHA = "mha"
    SEGMENTATION = "seg.nrrd"


def segment(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGE...",
            help="Images: NIfTI, NRRD or MHA files, folders with a DICOM series, or folders full of images.",
            show_default=False,
        ),
    ] = None,
    *,
    model: Model,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results; made if missing.")],
    channel: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="For models with several inputs: --channel FLAIR=a.nii.gz --channel T1c=b.nii.gz.",
            show_default=False,
        ),
    ] = None,
    roi: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|BOX",
            help="Look only here: a label file (its bounding box), a Slicer ROI (.mrk.json), "
            "or voxels k0:k1,j0:j1,i0:i1 counted from 0.",
            show_default=False,
        ),
    ] = None,
    formats: Annotated[
        list[Format] | None,
        typer.Option("--format", help="Further formats beside nii.gz; seg.nrrd carries names and colours."),
    ] = None,
    certainty: Annotated[
        Certainty, typer.Option(help="Also write a map of how sure the model is, voxel by voxel.")
    ] = Certainty.NONE,
    probability: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="Also write the probability of this label.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results of an earlier run.")
    ] = False,
    device: Device = "auto",
    precision: Precision = PrecisionName.AUTO,
    as_json: Json = False,
) -> None:
    """Segment images with a trained model.

    Each image gives OUTPUT/<name>.nii.gz on exactly its own grid. An image that fails stops no other.
    """
    with session(as_json, gentle=True) as console:
        from medcontext.workflows.segment import segment as run

        results = run(
            inputs or [],
            model,
            output,
            channels={name: Path(file) for name, file in assignments(channel or [], "--channel").items()},
            roi=roi,
            formats=[form.value for form in formats or []],
            certainty=certainty.value,
            probabilities=probability or [],
            overwrite=overwrite,
            device=device,
            precision=precision.value,
            reporter=console.reporter,
        )
        done = [result for result in results if result.ok]
        if done:
            names = list(done[0].volumes_ml)
            rows = [(result.case, *(result.volumes_ml[name] for name in names)) for result in done]
            console.table(["Case", *(f"{name} (ml)" for name in names)], rows)
            console.say(f"Results are in {output.absolute()}")
        console.result(cases=[result.to_json() for result in results], output=str(output.absolute()))
        failed = [result.case for result in results if not result.ok]
        if failed:
            raise SomeCasesFailedError(f"{len(failed)} of {len(results)} images failed; see above.")
