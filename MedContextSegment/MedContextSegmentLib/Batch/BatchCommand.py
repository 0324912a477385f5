"""The command that a batch is: what Slicer starts, and what a person can type instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MedContextSegmentLib.Learn.Command import AUTO, argumentsOf, commandOf, deviceArguments, optionOf

BATCH = "batch"
OVERWRITE = "--overwrite"
NIFTI, SEG_NRRD, DICOM_SEG, STL, OBJ = "nii.gz", "seg.nrrd", "dicom-seg", "stl", "obj"
FORMATS = (NIFTI, SEG_NRRD, DICOM_SEG, STL, OBJ)


@dataclass(frozen=True)
class BatchRequest:
    """What to segment, with what, and what each scan becomes.

    Attributes:
        input: a folder, a list of cases (.csv, .json), one file, or a pattern.
        output: folder for all results.
        model: ``id@version`` of the model.
        formats: of :data:`FORMATS`.
        certaintyMap: whether a map of certainty is written for each scan.
        keepIdentifiers: whether names of patients may enter file names and reports.
        device: where to compute.
        precision: number format of the network's arithmetic.
        overwrite: whether finished cases are done again, and files replaced that the batch did not write.
    """

    input: str
    output: Path
    model: str
    formats: tuple[str, ...] = (NIFTI,)
    certaintyMap: bool = False
    keepIdentifiers: bool = False
    device: str = AUTO
    precision: str = AUTO
    overwrite: bool = False

    def arguments(self) -> list[str]:
        """The arguments after ``medcontext``, without ``--json``."""
        place = str(Path(self.input).expanduser().absolute())
        arguments = [BATCH, place, "-m", self.model, "-o", str(self.output)]
        for name in self.formats:
            arguments += ["--format", name]
        if self.certaintyMap:
            arguments.append("--certainty-map")
        if self.keepIdentifiers:
            arguments.append("--keep-identifiers")
        arguments += deviceArguments(self.device, self.precision)
        if self.overwrite:
            arguments.append(OVERWRITE)
        return arguments

    def command(self, python: str) -> list[str]:
        """The program and all its arguments.

        Args:
            python: the Python that has the package.
        """
        return commandOf(python, self.arguments())


@dataclass(frozen=True)
class BatchTask:
    """What the command of a job says that it does.

    Attributes:
        arguments: what follows ``medcontext``.
        output: folder of the results.
    """

    arguments: tuple[str, ...] = ()
    output: Path = Path()


def batchOf(record: Mapping[str, Any]) -> BatchTask | None:
    """What a job does, given what ``job.json`` holds; None where it is no batch."""
    command = record.get("command")
    arguments = argumentsOf(command) if isinstance(command, list) else []
    output = optionOf(arguments, "-o", "--output")
    if not arguments or arguments[0] != BATCH or not output:
        return None
    return BatchTask(tuple(arguments), Path(str(record.get("working_folder", ""))) / output)
