"""From an image file to files of regions: a picture, a slice of a volume, or a region of interest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Triple, Volume
from medcontext.io import FORMATS, read_image, read_labelmap
from medcontext.io.atomic import check_folder, removed
from medcontext.io.dicom_folder import looks_like_dicom
from medcontext.io.names import format_of
from medcontext.io.pictures import PICTURE_FORMATS, is_picture, read_mask, read_picture
from medcontext.labels import IGNORE
from medcontext.workflows.proposal import (
    ProposalOptions,
    check_seed,
    propose_regions,
    settings,
)
from medcontext.workflows.proposal_scores import scores_of
from medcontext.workflows.propose_files import Foreground, Looked, write_results
from medcontext.workflows.roi import Box, box_of, check_roi
from medcontext.workflows.slice_choice import cut, extent, place_of, plane_of
from medcontext.workflows.working_copy import is_plane

if TYPE_CHECKING:
    from medcontext.regions.choosing import Rule

Wish = Literal["largest", "contrast", "none"]

FACTS = "regions.json"

WHICH = "Give one slice, such as --slice axial:40, or a region (--roi)."
_NUMBERS = re.compile(r"\s*\d+(\s*,\s*\d+){1,2}\s*")
_FLAT_BOX = re.compile(r"[^,]*:[^,]*,[^,]*:[^,]*")


@dataclass(frozen=True)
class ProposeRequest:
    """What is asked for.

    Attributes:
        image: a picture (PNG, JPEG, TIFF, BMP, GIF, WebP) or a volume (NIfTI, NRRD, MHA, DICOM).
        output: folder of the results.
        slice: of a volume, see :func:`medcontext.workflows.slice_choice.plane_of`; or None.
        roi: see :func:`medcontext.workflows.roi.box_of`; of a picture also ``j0:j1,i0:i1``; or None.
        options: how regions are looked for.
        foreground: the rule that chooses the foreground, instead of seeds or numbers; when None of the three is given
            ``largest``.
        seeds: points in the foreground, ``row,column`` of a picture or slice or ``k,j,i`` of a volume, from 0.
        numbers: of the regions that are the foreground, as an earlier run with the same options gave them.
        truth: labels to score against: a mask of a picture, a labelmap of a volume; or None.
        truth_label: the one of its labels that counts; when None all together.
        overwrite: whether files of an earlier run may be replaced.
    """

    image: Path
    output: Path
    slice: str | None = None
    roi: str | Path | None = None
    options: ProposalOptions = field(default_factory=ProposalOptions)
    foreground: Wish | None = None
    seeds: Sequence[str] = ()
    numbers: Sequence[int] = ()
    truth: Path | None = None
    truth_label: int | None = None
    overwrite: bool = False

    @property
    def is_picture(self) -> bool:
        """Whether the image is a picture and so are the results."""
        return is_picture(self.image)

    def targets(self) -> dict[str, Path]:
        """The files that are written, by what they hold."""
        ending = "png" if self.is_picture else "nii.gz"
        files = {"regions": self.output / f"regions.{ending}"}
        if self.rule is not None:
            files["foreground"] = self.output / f"foreground.{ending}"
        return files | {"facts": self.output / FACTS, "picture": self.output / "picture.png"}

    @property
    def rule(self) -> Rule | None:
        """How the foreground is chosen."""
        if self.seeds:
            return "seeds"
        if self.numbers:
            return "numbers"
        return None if self.foreground == "none" else self.foreground or "largest"

    @property
    def inputs(self) -> set[Path]:
        """The files that are read, which must neither be replaced nor removed."""
        given = (self.image, self.roi, self.truth)
        return {Path(path).resolve() for path in given if path is not None}

    def leftovers(self) -> list[Path]:
        """Files of a foreground of an earlier run in the same folder that this run does not replace."""
        if not (self.output / FACTS).exists():
            return []
        kept = {path.resolve() for path in self.targets().values()} | self.inputs
        names = [self.output / f"foreground.{ending}" for ending in ("png", "nii.gz")]
        return [path for path in names if path.exists() and path.resolve() not in kept]


@dataclass(frozen=True)
class ProposeResult:
    """Files written, by what they hold, what was found, and what ``regions.json`` says."""

    files: dict[str, Path]
    looked: Looked
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"files": {name: str(path.absolute()) for name, path in self.files.items()}, **self.facts}


def propose(request: ProposeRequest, reporter: Reporter | None = None) -> ProposeResult:
    """Propose regions of an image and write them, with their numbers and a picture.

    Raises:
        InputError: the image, the part of it, an option or the place of the results cannot be used.
        CancelledError: someone asked to stop; nothing was written.
        ResourceError: memory or disk space ran out.
    """
    reporter = reporter or Reporter()
    settings(request.options)
    _check_choices(request)
    _check_files(request)
    reporter.progress("read", 0)
    image = _read(request, reporter)
    box, place = _part(request, image.geometry, reporter)
    part = cut(image, box)
    seeds = [_seed(text, box, image.shape) for text in request.seeds]
    truth = None if request.truth is None else _truth(request, image.geometry, box, reporter)
    reporter.progress("read", 1)
    proposal = propose_regions(part, request.options, reporter)
    foreground = None
    if request.rule is not None:
        mask, why = proposal.foreground(request.rule, seeds, request.numbers)
        foreground = Foreground(request.rule, why, mask)
    scores = {} if truth is None else scores_of(proposal, foreground, truth)
    looked = Looked(
        request.image, image.geometry, box, place, part, request.options, proposal, foreground, scores
    )
    files, leftovers = request.targets(), request.leftovers()
    facts = write_results(files, looked, reporter)
    for path in leftovers:
        removed(path)
    return ProposeResult(files, looked, facts)


def _check_choices(request: ProposeRequest) -> None:
    """One way to choose the foreground, and no label of nothing."""
    if sum(map(bool, (request.foreground, request.seeds, request.numbers))) > 1:
        raise InputError(
            "--foreground, --at and --region are three ways to choose the foreground.", "Give one of them."
        )
    if request.truth_label is not None and request.truth is None:
        raise InputError("--truth-label chooses a label of --truth, which is not given.", "Give both.")


def _check_files(request: ProposeRequest) -> None:
    """Never write over the image that is read nor, unasked, over results somebody may have corrected."""
    if not (request.is_picture or request.image.is_dir() or format_of(request.image)):
        _check_dicom(request.image)
    if request.is_picture and request.slice is not None:
        raise InputError("A picture has no slices to choose from.", "Leave out --slice.")
    if request.roi is not None and not _FLAT_BOX.fullmatch(str(request.roi)):
        check_roi(request.roi)
    check_folder(request.output)
    for path in request.targets().values():
        if path.resolve() in request.inputs:
            raise InputError(
                f"The result would replace the file {path} itself.", "Choose another output folder."
            )
        if path.exists() and not request.overwrite:
            raise InputError(f"{path} exists already.", "Choose another output folder, or add --overwrite.")


def _check_dicom(path: Path) -> None:
    """A file without a known ending must be one of a DICOM series."""
    if path.is_file() and not looks_like_dicom(path):
        raise InputError(
            f"{path} is not an image that can be read; allowed are pictures ({PICTURE_FORMATS}), {FORMATS}.",
            "Convert it first.",
        )


def _read(request: ProposeRequest, reporter: Reporter) -> Volume:
    if request.is_picture:
        return read_picture(request.image, reporter, as_stored=True)
    return read_image([request.image], reporter)


def _part(request: ProposeRequest, geometry: Geometry, reporter: Reporter) -> tuple[Box, str]:
    """The index ranges of what is to be looked at, and what people call it."""
    plane = None if request.slice is None else plane_of(request.slice, geometry)
    box = None
    if request.roi is not None:
        flat = is_plane(geometry.shape) and _FLAT_BOX.fullmatch(str(request.roi))
        box = box_of(f"0:1,{request.roi}" if flat else request.roi, geometry, reporter)
    part = extent(geometry.shape, plane, box, WHICH)
    return part, place_of(part, geometry.shape, plane)


def _seed(text: str, box: Box, shape: Triple) -> Triple:
    """A seed as the index ``(k, j, i)`` in the part that is looked at.

    Raises:
        InputError: it is no two or three numbers, or lies outside of the image or of that part.
    """
    if not _NUMBERS.fullmatch(text):
        raise InputError(
            f"'{text}' is no point.",
            "Allowed: row,column of a picture or slice, or k,j,i of a volume, from 0.",
        )
    numbers = [int(number) for number in text.split(",")]
    flat = [axis for axis, part in enumerate(box) if part.stop - part.start == 1]
    if len(numbers) == 2:
        if not flat:
            raise InputError(f"The point '{text}' has two numbers; in a volume it needs three: k,j,i.")
        numbers.insert(flat[0], box[flat[0]].start)
    seed = check_seed((numbers[0], numbers[1], numbers[2]), shape)
    if not all(part.start <= index < part.stop for index, part in zip(seed, box, strict=True)):
        inside = ", ".join(f"{part.start}:{part.stop}" for part in box)
        raise InputError(
            f"The seed {seed} lies outside of what is looked at, the voxels (k, j, i) in {inside}.",
            "Give a point inside, counted from 0 in the whole image.",
        )
    k, j, i = (index - part.start for index, part in zip(seed, box, strict=True))
    return k, j, i


def _truth(request: ProposeRequest, like: Geometry, box: Box, reporter: Reporter) -> np.ndarray:
    """uint8 ``(K, J, I)`` of the part that is looked at: labels, 0 where there is none or nobody looked."""
    path = Path(str(request.truth))
    labels = read_mask(path, reporter, like) if is_picture(path) else read_labelmap(path, like)
    found = cut(labels, box).array[0]
    found = np.where(found == IGNORE, 0, found)
    if not found.any():
        raise InputError(
            f"{path} marks nothing in what is looked at, so there is nothing to score against.",
            "Give another slice or region, or leave out --truth.",
        )
    return _chosen(found, request, reporter)


def _chosen(labels: np.ndarray, request: ProposeRequest, reporter: Reporter) -> np.ndarray:
    """The label that counts, or all of them."""
    values = np.unique(labels[labels > 0]).tolist()
    if request.truth_label is None:
        if len(values) > 1:
            reporter.warning(f"{len(values)} labels are taken as one. --truth-label scores one of them.")
        return labels
    if request.truth_label not in values:
        raise InputError(
            f"{request.truth} has no label {request.truth_label} in what is looked at.",
            f"It has {', '.join(map(str, values))} there.",
        )
    return np.where(labels == request.truth_label, labels, 0)
