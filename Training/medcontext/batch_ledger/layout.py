"""Where the files of a batch lie below its output folder; the form is stable and described in docs/batch.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from medcontext.errors import InputError

LEDGERS = "ledger*.jsonl"


@dataclass(frozen=True)
class Layout:
    """The places in one output folder. Only names: nothing is made or looked at.

    Attributes:
        root: the output folder. Names of cases must be fit for file names, as :class:`BatchCase` has them.
    """

    root: Path

    @property
    def run(self) -> Path:
        """Model, options, execution plan and software of the run."""
        return self.root / "batch.json"

    @property
    def sources(self) -> Path:
        """The paths of each case's input files; kept apart from what is handed on."""
        return self.root / "sources.json"

    @property
    def table(self) -> Path:
        """One row for each case, for spreadsheets."""
        return self.root / "ledger.csv"

    @property
    def report(self) -> Path:
        """The page a person skims."""
        return self.root / "report.html"

    @property
    def reviews(self) -> Path:
        """What people said of the results, appended."""
        return self.root / "reviews.jsonl"

    def ledger(self, shard: tuple[int, int] | None = None) -> Path:
        """The ledger; of shard ``(index, count)`` its own, so that machines do not share a file."""
        name = "ledger.jsonl" if shard is None else f"ledger.{shard[0]}-of-{shard[1]}.jsonl"
        return self.root / name

    def ledgers(self) -> list[Path]:
        """The ledgers that are there, of all shards, by name.

        Raises:
            InputError: the folder cannot be read.
        """
        try:
            return sorted(self.root.glob(LEDGERS))
        except OSError as error:
            reason = error.strerror or error
            raise InputError(
                f"{self.root} cannot be read: {reason}.", "Check that its drive is connected."
            ) from error

    def thumbnail(self, case: str) -> Path:
        """The small picture of a case in the report."""
        return self.root / "report" / f"{case}.png"

    def segmentation(self, case: str, form: str) -> Path:
        """The result as a file of form ``nii.gz`` (on the grid of the image) or ``seg.nrrd``."""
        return self.root / "segmentations" / f"{case}.{form}"

    def dicom(self, case: str) -> Path:
        """The result as DICOM SEG (``dicom-seg``)."""
        return self.root / "dicom" / f"{case}.dcm"

    def surface(self, case: str, label: str, form: str) -> Path:
        """The surface of one label as ``stl`` or ``obj``; the label's name must be fit for a file name."""
        return self.surfaces(case) / f"{label}.{form}"

    def surfaces(self, case: str) -> Path:
        """The folder of all surfaces of a case."""
        return self.root / "surfaces" / case

    def certainty(self, case: str) -> Path:
        """The certainty map, 0..255."""
        return self.root / "certainty" / f"{case}.nii.gz"

    def scene(self, case: str) -> Path:
        """Scan and segmentation as a scene of 3D Slicer."""
        return self.root / "scenes" / f"{case}.mrb"

    def corrected(self, case: str) -> Path:
        """The segmentation as a person corrected it; no run ever writes there."""
        return self.root / "corrected" / f"{case}.seg.nrrd"

    def relative(self, path: Path) -> str:
        """The path as rows and reviews hold it: below the output folder, with forward slashes.

        Raises:
            InputError: it lies elsewhere.
        """
        try:
            return path.absolute().relative_to(self.root.absolute()).as_posix()
        except ValueError as error:
            raise InputError(f"{path} does not lie in {self.root}.") from error

    def absolute(self, relative: str) -> Path:
        """The place a row or a review speaks of.

        Raises:
            InputError: it leads out of the output folder.
        """
        inside = PurePosixPath(relative)
        # Rows may come from elsewhere; "C:" and backslashes would lead out on Windows only.
        if not inside.parts or inside.is_absolute() or ".." in inside.parts or set(":\\") & set(relative):
            raise InputError(f"'{relative}' is no place below {self.root}.")
        return self.root / inside
