"""DICOM SEG: a segmentation as part of the patient's study, coded, coloured, on the planes of its scan."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import medcontext
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.io.atomic import replacing
from medcontext.io.dicom_codes import MAKER, Algorithm, describe_segment, short_text
from medcontext.io.dicom_planes import on_planes, read_planes
from medcontext.labels import IGNORE, Label, LabelSet
from medcontext.voxel_counts import voxel_counts

if TYPE_CHECKING:
    from highdicom.seg import Segmentation, SegmentDescription

_UTF8 = "ISO_IR 192"


@dataclass(frozen=True)
class WrittenSegments:
    """What a DICOM SEG holds.

    Attributes:
        file: the file.
        written: names of its segments, in order.
        empty: names of labels without a voxel, which were left out.
    """

    file: Path
    written: tuple[str, ...]
    empty: tuple[str, ...]


@dataclass(frozen=True)
class EncodedSegments:
    """A DICOM SEG in memory.

    Attributes:
        dataset: the file's content.
        written: names of its segments, in order.
        empty: names of labels without a voxel, which were left out.
    """

    dataset: Segmentation
    written: tuple[str, ...]
    empty: tuple[str, ...]

    def save(self, path: Path) -> WrittenSegments:
        """Write the file, which replaces an older one when it is complete.

        Raises:
            InputError: the name does not end in ``.dcm``, or the place cannot be written.
            ResourceError: the disk is full; an older file is untouched.
        """
        _check_name(path)
        with replacing(path) as temporary:
            self.dataset.save_as(temporary)
        return WrittenSegments(path, self.written, self.empty)


def write_dicom_seg(
    path: Path,
    labelmap: Volume,
    labels: LabelSet,
    sources: Sequence[Path],
    algorithm: Algorithm,
    *,
    by_hand: frozenset[int] = frozenset(),
    series_description: str = "",
    series_number: int = 900,
    reporter: Reporter | None = None,
) -> WrittenSegments:
    """Write a binary DICOM SEG that belongs to the study of its scan; see :func:`encode_dicom_seg`.

    Args:
        path: ends in ``.dcm``; an existing file is replaced.

    Raises:
        CancelledError: the reporter said so; nothing was written.
        InputError: as :func:`encode_dicom_seg`, or the place cannot be written.
        ResourceError: the disk is full; an older file is untouched.
    """
    reporter = reporter or Reporter()
    _check_name(path)
    encoded = encode_dicom_seg(
        labelmap,
        labels,
        sources,
        algorithm,
        by_hand=by_hand,
        series_description=series_description,
        series_number=series_number,
        reporter=reporter,
    )
    reporter.check_cancelled()
    reporter.progress("writing", 0.0)
    return encoded.save(path)


def encode_dicom_seg(
    labelmap: Volume,
    labels: LabelSet,
    sources: Sequence[Path],
    algorithm: Algorithm,
    *,
    by_hand: frozenset[int] = frozenset(),
    uneven: bool = False,
    series_description: str = "",
    series_number: int = 900,
    reporter: Reporter | None = None,
) -> EncodedSegments:
    """Make a binary DICOM SEG that belongs to the study of its scan.

    Patient and study are those of the scan. Labels become segments numbered from 1 in their order; those without
    a voxel are left out; a label without terminology is coded as tissue.

    Args:
        labelmap: whole numbers; several channels may overlap. Its voxels are those of the scan: axes in any order
            and direction, and it may be a part of the scan.
        labels: what its values mean; a value means the same in each channel.
        sources: the DICOM files of the scan: one for each slice, or one that holds all of them.
        algorithm: what made the segments.
        by_hand: values of labels that a person made.
        uneven: whether slices may have uneven gaps; each then takes the nearest slice of a labelmap on the even
            grid onto which reading interpolates them. Few programs show such a file in 3D.
        series_description: of the new series; the model's name when empty.
        series_number: of the new series.
        reporter: asked between the steps whether to stop.

    Raises:
        CancelledError: the reporter said so.
        InputError: highdicom is not installed, the labelmap does not lie on the scan, a value has no label,
            nothing is marked, or the scan lacks what the file must refer to.
    """
    require_highdicom()
    reporter = reporter or Reporter()
    reporter.progress("reading DICOM headers", 0.0)
    planes = read_planes(sources, uneven)
    reporter.check_cancelled()
    array, kept = _renumbered(on_planes(_checked(labelmap), planes), labels)
    descriptions = [
        describe_segment(number, label, None if label.value in by_hand else algorithm)
        for number, label in enumerate(kept, start=1)
    ]
    array = array[:, planes.order]
    reporter.check_cancelled()
    reporter.progress("encoding", 0.0)
    segmentation = _build(
        _layers(array, len(kept)),
        planes.images,
        descriptions,
        short_text(series_description or algorithm.name),
        series_number,
    )
    empty = tuple(label.name for label in labels if label not in kept)
    return EncodedSegments(segmentation, tuple(label.name for label in kept), empty)


def _check_name(path: Path) -> None:
    if path.suffix.lower() != ".dcm":
        raise InputError(f"{path} does not end in .dcm.", "Choose a name that does.")


def require_highdicom() -> None:
    """Raise InputError, which says how to install it, where highdicom is missing."""
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise InputError(
            "DICOM SEG needs the package highdicom, which is not installed.",
            "Install it with: pip install 'medcontext[dicom]'.",
        ) from error


def _checked(labelmap: Volume) -> Volume:
    array = labelmap.array
    if array.dtype.kind not in "iub" or (array.size and (int(array.min()) < 0 or int(array.max()) > IGNORE)):
        raise InputError(f"A segmentation needs whole numbers from 0 to {IGNORE}, not {array.dtype}.")
    return Volume(array.astype(np.uint8, copy=False), labelmap.geometry)


def _renumbered(array: np.ndarray, labels: LabelSet) -> tuple[np.ndarray, list[Label]]:
    """The array with segment numbers from 1 instead of values, and the labels that it holds."""
    present = set(np.flatnonzero(voxel_counts(array)).tolist())
    unknown = sorted(present - {0, IGNORE, *labels.values})
    if unknown:
        raise InputError(
            f"The labelmap holds values without a label: {unknown}; known are {list(labels.values)}."
        )
    kept = [label for label in labels if label.value in present]
    if not kept:
        raise InputError("There is nothing to export: all segments are empty.", "Segment the scan first.")
    numbers = np.zeros(IGNORE + 1, np.uint8)
    for number, label in enumerate(kept, start=1):
        numbers[label.value] = number
    return numbers[array], kept


def _layers(array: np.ndarray, count: int) -> np.ndarray:
    """``(K, J, I)`` of segment numbers, or ``(K, J, I, segments)`` of 0 and 1 where there are several layers."""
    if len(array) == 1:
        return np.ascontiguousarray(array[0])
    stacked = np.zeros((*array.shape[1:], count), np.uint8)
    for number in range(1, count + 1):
        stacked[..., number - 1] = (array == number).any(axis=0)
    return stacked


def _build(
    pixels: np.ndarray,
    images: Sequence[Any],
    descriptions: Sequence[SegmentDescription],
    series_description: str,
    series_number: int,
) -> Segmentation:
    from highdicom.seg import Segmentation, SegmentationTypeValues
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    with warnings.catch_warnings():
        # Anonymous patients are named in one word, and so is this program.
        warnings.filterwarnings("ignore", message=".*intended person name")
        segmentation = Segmentation(
            source_images=images,
            pixel_array=pixels,
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=descriptions,
            # From random numbers: a prefix would need to be registered.
            series_instance_uid=generate_uid(prefix=None),
            series_number=series_number,
            sop_instance_uid=generate_uid(prefix=None),
            instance_number=1,
            manufacturer=MAKER,
            manufacturer_model_name=MAKER,
            software_versions=medcontext.__version__,
            device_serial_number="1",
            content_label=MAKER.upper(),
            content_description=series_description,
            content_creator_name=MAKER,
            series_description=series_description,
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
    # Names of labels may hold any letter; what came from the scan is text by now and written anew.
    segmentation.SpecificCharacterSet = _UTF8
    return segmentation
