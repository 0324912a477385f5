"""From images to labelmaps: one scan, a DICOM folder, or a folder full of scans."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import medcontext
from medcontext.card_schema import ModelCard
from medcontext.cards import resolve
from medcontext.errors import CancelledError, InputError, MedContextError
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.io import ImageSource, read_image, write_labelmap, write_segmentation, write_volume
from medcontext.io.atomic import check_folder
from medcontext.labels import LabelSet
from medcontext.library import LoadedModel, check_segments, read_card
from medcontext.voxel_counts import voxel_counts
from medcontext.workflows.inputs import find_sources
from medcontext.workflows.roi import box_of, check_roi

if TYPE_CHECKING:
    from medcontext.inference.predictor import Prediction, Predictor

FORMATS = ("nii.gz", "nrrd", "mha", "seg.nrrd")
Certainty = Literal["none", "entropy", "masked"]

_UNFORESEEN = (OSError, RuntimeError, ValueError, MemoryError)
"""What reading or segmenting one damaged image may raise; it must not end a run over a thousand others."""


@dataclass(frozen=True)
class SegmentResult:
    """What became of one image.

    Attributes:
        case: its name.
        files: files written, by what they hold: a format, ``certainty``, or ``probability <label>``.
        volumes_ml: millilitres of each label.
        seconds: wall time of each stage.
        error: why it failed, or None.
    """

    case: str
    files: Mapping[str, Path] = field(default_factory=dict)
    volumes_ml: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    error: MedContextError | None = None

    @property
    def ok(self) -> bool:
        """Whether the image was segmented."""
        return self.error is None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        data: dict[str, Any] = {"case": self.case, "status": "done" if self.ok else "failed"}
        if self.error is not None:
            return data | {"message": self.error.message, "hint": self.error.hint}
        return data | {
            "files": {name: str(path.absolute()) for name, path in self.files.items()},
            "volumes_ml": {name: round(value, 4) for name, value in self.volumes_ml.items()},
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }


def segment(
    inputs: Path | str | Sequence[Path | str],
    model: str | Path,
    output: Path,
    *,
    channels: Mapping[str, Path] | None = None,
    roi: str | Path | None = None,
    formats: Sequence[str] = (),
    certainty: Certainty = "none",
    probabilities: Sequence[str] = (),
    overwrite: bool = False,
    device: str = "auto",
    precision: str = "auto",
    reporter: Reporter | None = None,
) -> list[SegmentResult]:
    """Segment images and write ``output/<name>.nii.gz`` on the grid of each.

    Args:
        inputs: image files, folders that hold one DICOM series, folders of images; empty with ``channels``.
        model: library id or folder.
        output: folder for the results.
        channels: one file for each input channel of the model, by the channel's name; they are one case.
        roi: region of interest, see :func:`medcontext.workflows.roi.box_of`.
        formats: further formats: ``nrrd``, ``mha``, ``seg.nrrd``.
        certainty: also write ``<name>.certainty.nii.gz`` (0..255, 255 is sure).
        probabilities: names of labels whose probability is written to ``<name>.probability.<label>.nii.gz``.
        overwrite: whether files of an earlier run may be replaced.
        device: ``auto``, ``cuda``, ``cuda:1``, ``mps`` or ``cpu``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        reporter: told of progress and warnings.

    Returns:
        One result for each image; where there are several, one that failed carries its error.

    Raises:
        InputError: model, options or inputs cannot be used, or the only image cannot.
        CancelledError: someone asked to stop; finished images are kept.
        ResourceError: the only image needs more memory or disk space than there is.
    """
    reporter = reporter or Reporter()
    card = read_card(resolve(model))
    check_segments(card)
    wanted = _wanted(card, Path(output), roi, formats, certainty, probabilities, overwrite)
    given = [inputs] if isinstance(inputs, str | Path) else inputs
    sources = find_sources(given, channels or {}, card, reporter)
    alone = len(sources) == 1
    if alone:
        _check_targets(wanted.targets(sources[0].id), sources[0], overwrite)
    # Only now: a wrong path should not cost the seconds that torch takes to load.
    from medcontext.workflows.predictor import make_predictor

    predictor, loaded = make_predictor(model, device, precision, reporter)
    job = _Job(predictor, loaded, wanted)
    wanted.output.mkdir(parents=True, exist_ok=True)
    results = []
    for index, source in enumerate(sources):
        reporter.check_cancelled()
        if not alone:
            reporter.progress("scans", index / len(sources))
        results.append(_attempt(job, source, reporter, alone))
    if not alone:
        reporter.progress("scans", 1)
    return results


def _wanted(
    card: ModelCard,
    output: Path,
    roi: str | Path | None,
    formats: Sequence[str],
    certainty: Certainty,
    probabilities: Sequence[str],
    overwrite: bool,
) -> _Wanted:
    """What a run is to write; arguments of :func:`segment` that cannot be followed are refused."""
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise InputError(f"There is no format '{unknown[0]}'.", f"Allowed: {', '.join(FORMATS)}.")
    if roi is not None:
        check_roi(roi)
    check_folder(output)
    return _Wanted(
        output=output,
        roi=roi,
        formats=("nii.gz", *(name for name in dict.fromkeys(formats) if name != "nii.gz")),
        certainty=certainty,
        probabilities={name: card.label_set.named(name).value for name in probabilities},
        overwrite=overwrite,
    )


@dataclass(frozen=True)
class _Wanted:
    """What is to be written of each image, and how."""

    output: Path
    roi: str | Path | None
    formats: tuple[str, ...]
    certainty: Certainty
    probabilities: dict[str, int]
    overwrite: bool

    def targets(self, case: str) -> dict[str, Path]:
        """The files a case will give."""
        files = {form: self.output / f"{case}.{form}" for form in self.formats}
        if self.certainty != "none":
            files["certainty"] = self.output / f"{case}.certainty.nii.gz"
        for name in self.probabilities:
            files[f"probability {name}"] = self.output / f"{case}.probability.{_file_part(name)}.nii.gz"
        return files


@dataclass(frozen=True)
class _Job:
    """What is the same for all images of a run."""

    predictor: Predictor
    model: LoadedModel
    wanted: _Wanted


def _attempt(job: _Job, source: ImageSource, reporter: Reporter, alone: bool) -> SegmentResult:
    """Segment one image; its failure is raised where it is the only one, else reported."""
    reporter.case = source.id
    began = time.monotonic()
    try:
        result = _segment_one(job, source, reporter)
        reporter.emit("case", status="done", seconds=round(time.monotonic() - began, 2))
    except CancelledError:
        raise
    except MedContextError as error:
        result = SegmentResult(source.id, error=error)
    except _UNFORESEEN as error:
        if alone:
            raise
        logging.getLogger(__name__).exception("Segmenting %s failed", source.id)
        result = SegmentResult(source.id, error=MedContextError(f"{type(error).__name__}: {error}"))
    finally:
        reporter.case = None
    if result.error is not None:
        if alone:
            raise result.error
        reporter.emit(
            "case", case=source.id, status="failed", message=result.error.message, hint=result.error.hint
        )
    return result


def _segment_one(job: _Job, source: ImageSource, reporter: Reporter) -> SegmentResult:
    from medcontext.inference.checks import check_contrast

    wanted = job.wanted
    targets = wanted.targets(source.id)
    _check_targets(targets, source, wanted.overwrite)
    began = time.perf_counter()
    reporter.progress("read", 0)
    image = read_image(source.paths, reporter=reporter)
    reporter.progress("read", 1)
    check_contrast(image, job.model.card)
    read = time.perf_counter()
    scratch = Path(tempfile.mkdtemp(prefix=".medcontext-", dir=wanted.output))
    try:
        prediction = job.predictor.predict(
            image,
            box=None if wanted.roi is None else box_of(wanted.roi, image.geometry, reporter),
            probabilities_of=list(wanted.probabilities.values()),
            certainty=wanted.certainty,
            reporter=reporter,
            scratch=scratch,
        )
        done = time.perf_counter()
        reporter.progress("write", 0)
        _write(job, targets, prediction, image)
        reporter.progress("write", 1)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    volumes = volumes_ml(prediction.labelmap, job.model.card.label_set)
    if not any(volumes.values()):
        reporter.warning("No structure was found in this image.")
    seconds = {"read": read - began, **prediction.seconds, "write": time.perf_counter() - done}
    return SegmentResult(source.id, targets, volumes, seconds)


def _check_targets(targets: Mapping[str, Path], source: ImageSource, overwrite: bool) -> None:
    """Never write over an image that is read, nor, unasked, over a result somebody may have corrected."""
    inputs = {path.resolve() for path in source.paths}
    for path in targets.values():
        if path.resolve() in inputs:
            raise InputError(
                f"The result would replace the image {path} itself.", "Choose another output folder."
            )
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists already.", "Choose another output folder, or add --overwrite.")


def _write(job: _Job, targets: Mapping[str, Path], prediction: Prediction, image: Volume) -> None:
    card = job.model.card
    for name, path in targets.items():
        if name == "seg.nrrd":
            software = f"medcontext {medcontext.__version__}"
            facts = {
                "model": f"{card.id} {card.version}",
                "model sha256": job.model.sha256,
                "software": software,
            }
            write_segmentation(path, prediction.labelmap, card.label_set, facts)
        elif name == "certainty" and prediction.certainty is not None:
            write_volume(path, prediction.certainty)
        elif name.startswith("probability "):
            value = job.wanted.probabilities[name.removeprefix("probability ")]
            array = prediction.probabilities[value].astype(np.float32)
            write_volume(path, Volume(array[None], image.geometry))
        else:
            write_labelmap(path, prediction.labelmap)


def volumes_ml(labelmap: Volume, labels: LabelSet) -> dict[str, float]:
    """Millilitres of each label of a labelmap."""
    counts = voxel_counts(labelmap.array)
    return {label.name: float(counts[label.value]) * labelmap.geometry.voxel_ml for label in labels}


def _file_part(name: str) -> str:
    """A label's name as part of a file name on every system."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
