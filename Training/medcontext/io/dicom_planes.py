"""The planes of a DICOM series, from its headers, and a labelmap brought onto them without resampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.io.slices import Arrangement, arrange

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

FIT_VOXELS = 0.1
"""A labelmap lies on the planes when no corner is off by more than this share of a voxel (headers are rounded)."""

_PARALLEL = 1e-3
"""Directions of parallel planes differ by less than this."""
_NEEDED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
)
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)


@dataclass(frozen=True)
class SourcePlanes:
    """The series that a segmentation belongs to.

    Attributes:
        images: headers, one for each plane from the first place to the last, or one that holds all planes.
        geometry: the grid of the planes; sheared where the gantry was tilted. Of uneven planes the even grid onto
            which reading interpolates them.
        order: place of each plane of ``images`` among the planes.
        title: how a person would name the series.
        nearest: of uneven planes the slice of ``geometry`` next to each place; None where planes are its slices.
    """

    images: tuple[Dataset, ...]
    geometry: Geometry
    order: np.ndarray
    title: str
    nearest: np.ndarray | None = None


def read_planes(files: Sequence[Path], uneven: bool = False) -> SourcePlanes:
    """Read the headers of one series.

    Args:
        files: one for each plane, or one that holds all of them.
        uneven: whether planes may have uneven gaps.

    Raises:
        InputError: a file cannot be read, identifiers or places are missing, the files are of several series, or
            the planes are not parallel, evenly spaced (unless ``uneven``) and one to a place.
    """
    if not files:
        raise InputError("No DICOM file of the scan was given.", "Give the files of its series.")
    images = [_read_header(Path(file)) for file in files]
    title = _title(images)
    _check_identifiers(images, title)
    if len(images) == 1 and int(images[0].get("NumberOfFrames", 1) or 1) > 1:
        frames = [_frame_plane(images[0], number) for number in range(int(images[0].NumberOfFrames))]
    else:
        frames = [_plane(image, image, image) for image in images]
    if any(frame is None for frame in frames):
        raise InputError(f"{title} does not say where its slices lie.", "Choose the series of the CT or MR.")
    arranged = _arranged([frame for frame in frames if frame is not None], title, uneven)
    count, order = len(frames), arranged.order
    even = count if arranged.places is None else len(arranged.places)
    geometry = Geometry((even, int(images[0].Rows), int(images[0].Columns)), arranged.affine)
    nearest = None
    if arranged.places is not None:
        nearest = np.rint(np.interp(np.arange(count), arranged.places, np.arange(even))).astype(int)
    _state_spacing(images, geometry, nearest is None)
    if len(images) > 1:
        images = [images[number] for number in order]
        return SourcePlanes(tuple(images), geometry, np.arange(count), title, nearest)
    places = np.empty(count, int)
    places[order] = np.arange(count)
    return SourcePlanes(tuple(images), geometry, places, title, nearest)


def _read_header(path: Path) -> Any:
    import pydicom

    try:
        image = pydicom.dcmread(path, stop_before_pixels=True)
    except (OSError, pydicom.errors.InvalidDicomError) as error:
        raise InputError(f"{path} cannot be read as DICOM.", "Check that the scan is still there.") from error
    for keyword in _MAY_BE_EMPTY:
        if keyword not in image:
            setattr(image, keyword, None)
    for keyword in ("SOPClassUID", "SOPInstanceUID"):  # stated twice in a file, and once is enough
        if not image.get(keyword) and image.file_meta.get(f"MediaStorage{keyword}"):
            setattr(image, keyword, image.file_meta[f"MediaStorage{keyword}"].value)
    return image


def _title(images: Sequence[Any]) -> str:
    first = images[0]
    name = str(first.get("SeriesDescription", "") or first.get("SeriesNumber", "") or "unnamed")
    return f"The series '{name}' ({first.get('Modality', '') or 'unknown modality'}, {len(images)} files)"


def _check_identifiers(images: Sequence[Any], title: str) -> None:
    missing = sorted({key for image in images for key in _NEEDED if not image.get(key)})
    if missing:
        raise InputError(
            f"{title} lacks what a DICOM segmentation must refer to: {', '.join(missing)}.",
            "Export the scan again with its identifiers, or save the segmentation as .seg.nrrd.",
        )
    for key in ("SeriesInstanceUID", "FrameOfReferenceUID", "Rows", "Columns"):
        if len({image.get(key) for image in images}) > 1:
            raise InputError(f"The DICOM files are not of one series: they differ in {key}.")


Plane = tuple[np.ndarray, np.ndarray, tuple[float, float]]
"""Position of the first pixel in LPS mm, ``(2, 3)`` directions of i and j, spacing in mm along i and j."""


def _plane(position: Any, orientation: Any, measures: Any) -> Plane | None:
    values = (
        position.get("ImagePositionPatient"),
        orientation.get("ImageOrientationPatient"),
        measures.get("PixelSpacing"),
    )
    if not all(values):
        return None
    place, axes, spacing = (np.array(value, float) for value in values)
    return place, axes.reshape(2, 3), (float(spacing[1]), float(spacing[0]))


def _frame_plane(image: Any, number: int) -> Plane | None:
    """The plane of one frame of an enhanced CT or MR, from its own or the shared functional groups."""
    own = (image.get("PerFrameFunctionalGroupsSequence") or [])[number : number + 1]
    groups = [*own, *(image.get("SharedFunctionalGroupsSequence") or [])]

    def group(keyword: str) -> Any:
        return next((entry.get(keyword)[0] for entry in groups if entry.get(keyword)), {})

    return _plane(
        group("PlanePositionSequence"), group("PlaneOrientationSequence"), group("PixelMeasuresSequence")
    )


def arrange_frames(path: Path, name: str) -> Arrangement | None:
    """How the frames of a file that holds all slices become a volume; None where it does not place each frame.

    GDCM and ITK take frames for evenly spaced, in order and not sheared, whatever their places are.

    Args:
        path: the file.
        name: what to call it in messages.

    Raises:
        InputError: pydicom is not installed, the file cannot be read, frames differ in direction or have a scale
            each, or they do not form a volume.
    """
    try:
        image = _read_header(path)
    except ImportError as error:
        raise InputError(
            f"{name} holds all slices in one file; reading their places needs the package pydicom.",
            "Install it with: pip install 'medcontext[dicom]'.",
        ) from error
    count = int(image.get("NumberOfFrames", 1) or 1)
    planes = [_frame_plane(image, number) for number in range(count)]
    placed = [plane for plane in planes if plane is not None]
    if not placed:
        return None
    _, axes, spacing = placed[0]
    if len(placed) < count or any(np.abs(plane[1] - axes).max() > _PARALLEL for plane in placed):
        raise InputError(f"{name} has slices that are not parallel or have no place.", "Export it again.")
    if len({_scale(frame) for frame in image.get("PerFrameFunctionalGroupsSequence") or []}) > 1:
        raise InputError(
            f"{name} scales the grey values of each slice in its own way.", "Export one file for each slice."
        )
    return arrange(np.array([plane[0] for plane in placed]), axes, spacing, name)


def _scale(frame: Any) -> tuple[str, str]:
    values = (frame.get("PixelValueTransformationSequence") or [{}])[0]
    return str(values.get("RescaleSlope")), str(values.get("RescaleIntercept"))


def _arranged(frames: Sequence[Plane], title: str, uneven: bool) -> Arrangement:
    """How the planes lie."""
    if len(frames) < 2:
        raise InputError(
            f"{title} is a single image.", "A DICOM segmentation needs a scan of several slices."
        )
    _, axes, spacing = frames[0]
    if any(np.abs(frame[1] - axes).max() > _PARALLEL for frame in frames):
        raise InputError(f"{title} has slices that are not parallel.", "Save as .seg.nrrd instead.")
    arranged = arrange(np.array([frame[0] for frame in frames]), axes, spacing, title)
    if arranged.places is not None and not uneven:
        raise InputError(
            f"{title} has unevenly spaced slices, on which the segmentation does not lie.",
            "Save as .seg.nrrd instead.",
        )
    return arranged


def _state_spacing(images: Sequence[Any], geometry: Geometry, even: bool) -> None:
    """Put the true distance of the planes into the headers: many scans state none, or the slice thickness.

    Uneven planes have no such distance; each says its place.
    """
    i, j, k = geometry.affine[:3, :3].T
    normal = np.cross(i, j)
    distance = float(abs(k @ normal) / np.linalg.norm(normal))
    for image in images:
        groups = [
            *(image.get("SharedFunctionalGroupsSequence") or []),
            *(image.get("PerFrameFunctionalGroupsSequence") or []),
        ]
        measures = [group.PixelMeasuresSequence[0] for group in groups if group.get("PixelMeasuresSequence")]
        for target in measures or [image]:
            if even:
                target.SpacingBetweenSlices = round(distance, 6)
            elif "SpacingBetweenSlices" in target:
                del target.SpacingBetweenSlices
            if not target.get("SliceThickness"):
                target.SliceThickness = round(distance, 6)


def on_planes(labelmap: Volume, planes: SourcePlanes) -> np.ndarray:
    """The labelmap on the planes, ``(C, K, J, I)``: axes reordered, flipped, cropped and padded.

    Uneven planes take the nearest slice of a labelmap on their even grid.

    Raises:
        InputError: its voxels are not those of the planes, or something is marked outside of them.
    """
    to_label = np.linalg.inv(labelmap.geometry.affine) @ planes.geometry.affine
    exact = np.round(to_label)
    sizes = np.array(planes.geometry.shape[::-1])
    corners = np.array([[*(np.array(corner) * (sizes - 1)), 1] for corner in np.ndindex(2, 2, 2)])
    permutes = bool((np.abs(exact[:3, :3]).sum(0) == 1).all() and (np.abs(exact[:3, :3]).sum(1) == 1).all())
    if not permutes or np.abs(corners @ (to_label - exact).T).max() > FIT_VOXELS:
        raise InputError(
            f"{planes.title} has other voxels than the segmentation, as after tilting or resampling.",
            "Segment the scan as it was loaded from DICOM, or save as .seg.nrrd instead.",
        )
    axes = [int(np.flatnonzero(exact[:3, column])[0]) for column in range(3)]  # label axis of plane i, j, k
    forward = [exact[axis, column] > 0 for column, axis in enumerate(axes)]
    moved = labelmap.permute((2 - axes[2], 2 - axes[1], 2 - axes[0]))
    moved = moved.flip(tuple(2 - column for column in range(3) if not forward[column]))
    first = np.round(moved.geometry.lps_to_index(planes.geometry.origin)).astype(int)
    fitted = moved.crop((int(first[0]), int(first[1]), int(first[2])), planes.geometry.shape)
    if np.count_nonzero(fitted.array) != np.count_nonzero(moved.array):
        raise InputError(
            f"{planes.title} does not reach as far as the segmentation.",
            "Give all files of the scan that was segmented.",
        )
    return fitted.array if planes.nearest is None else fitted.array[:, planes.nearest]
