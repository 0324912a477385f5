"""The reader's door: one call for any image, one for any labelmap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume, describe
from medcontext.io.dicom import load_series
from medcontext.io.dicom_folder import choose_series, has_text_name, looks_like_dicom, printable, scan_folder
from medcontext.io.itk import Loaded, load_itk, reading
from medcontext.io.names import FORMATS, format_of
from medcontext.io.nifti import load_nifti
from medcontext.io.segmentation import read_segmentation
from medcontext.resample import join_channels

_SAME_GRID_SHARE = 0.05
"""A label's grid is its image's when no corner is off by more than this share of a voxel: programs round
headers to two or three digits."""
_WHOLE = 1e-3
"""Labels stored as float, or through a slope such as 0.99999997, are off by less than this."""


def read_volume(path: Path, reporter: Reporter | None = None, series: str | None = None) -> Volume:
    """Read one image as float32 ``(C, K, J, I)``.

    Args:
        path: ``.nii``, ``.nii.gz``, ``.nrrd``, ``.nhdr``, ``.mha``, ``.mhd``, a folder with a DICOM series,
            or one of the files of a DICOM series, which stands for all of it.
        reporter: told about what is odd but usable, such as a tilted gantry or uneven slices.
        series: number, description or UID of the series where a folder holds several.

    Raises:
        InputError: the file is missing, empty, damaged, 2D, in another format, or holds NaN or infinity; or a
            folder holds no series or several. One sentence says which.
    """
    reporter = reporter or Reporter()
    loaded = _load(path, reporter, series)
    for remark in loaded.remarks:
        reporter.warning(remark)
    array = loaded.volume.array.astype(np.float32, copy=False)
    check_finite(array, str(path))
    return Volume(array, loaded.volume.geometry)


def check_finite(array: np.ndarray, name: str) -> None:
    """Raise InputError where voxels of the image called ``name`` are NaN or infinite."""
    if not (np.isfinite(array.min()) and np.isfinite(array.max())):
        bad = int(array.size - np.count_nonzero(np.isfinite(array)))
        raise InputError(
            f"{name} holds {bad} voxels that are not finite numbers (NaN or infinity).",
            "Replace them, for example by the background value, and try again.",
        )


def read_image(paths: Sequence[Path], reporter: Reporter | None = None) -> Volume:
    """Read the channels of one image, one file (or DICOM series) each or several in one.

    Channels on another grid are resampled linearly to the grid of the first, which the reporter is told;
    outside of them lies their smallest value.

    Raises:
        InputError: as :func:`read_volume`, no file is given, or the images do not overlap.
    """
    if not paths:
        raise InputError("No image was given; one file per channel is needed.")
    reporter = reporter or Reporter()
    return join_channels(((str(path), read_volume(Path(path), reporter)) for path in paths), reporter)


def read_labelmap(path: Path, like: Geometry | None = None) -> Volume:
    """Read a labelmap as uint8 ``(1, K, J, I)``; whole numbers stored as float are accepted.

    Args:
        path: as for :func:`read_volume`, or a ``.seg.nrrd``.
        like: the image's grid. A ``.seg.nrrd``, which 3D Slicer crops to what was painted, is padded to it;
            any other labelmap must have it, up to rounding of a twentieth of a voxel.

    Returns:
        The labelmap, on exactly ``like`` where that is given.

    Raises:
        InputError: as :func:`read_volume`; a value is not a whole number from 0 to 255; there are several
            channels; or the grids differ.
    """
    if path.name.lower().endswith(".seg.nrrd"):
        labelmap, _ = read_segmentation(path)
        return labelmap if like is None else _fitted(labelmap, like, path)
    stored = _load(path, Reporter(), None).volume
    if stored.channels != 1:
        raise InputError(
            f"{path} has {stored.channels} channels; a labelmap has one.", "Give one file per case."
        )
    labelmap = Volume(_as_labels(stored.array, str(path)), stored.geometry)
    return labelmap if like is None else _on_grid(labelmap, like, str(path))


def fit_labelmap(volume: Volume, like: Geometry, name: str) -> Volume:
    """A labelmap in memory as uint8, on exactly the grid ``like``.

    Raises:
        InputError: as :func:`read_labelmap`; ``name`` (such as "the label") stands for the path.
    """
    subject = name[:1].upper() + name[1:]
    if volume.channels != 1:
        raise InputError(f"{subject} has {volume.channels} channels; a labelmap has one.")
    return _on_grid(Volume(_as_labels(volume.array, subject), volume.geometry), like, name)


def _load(path: Path, reporter: Reporter, series: str | None) -> Loaded:
    if not has_text_name(path):
        raise InputError(
            f"The name {printable(path)} is not UTF-8 text and cannot be read.", "Rename files and folders."
        )
    with reading(path):
        if path.is_dir():
            return Loaded(_load_folder(path, reporter, series))
        kind = format_of(path)
        if kind == "nifti":
            return load_nifti(path)
        if kind in ("nrrd", "mha"):
            return load_itk(path)
        if looks_like_dicom(path):
            return Loaded(_load_series_of(path, reporter))
    raise InputError(f"{path} is not an image that can be read; allowed are {FORMATS}.", "Convert it first.")


def _load_folder(path: Path, reporter: Reporter, series: str | None) -> Volume:
    scan = scan_folder(path, reporter)
    scan.check()
    return load_series(choose_series(scan.series, path, series, reporter), reporter)


def _load_series_of(path: Path, reporter: Reporter) -> Volume:
    """The DICOM series to which one file belongs."""
    scan = scan_folder(path.parent, reporter)
    scan.check()
    for series in scan.series:
        if any(image.path == path for image in series.files):
            if series.slices < 2:
                raise InputError(
                    f"{path} is a single 2D image; a volume is needed.", "Choose a CT or MR series."
                )
            return load_series(series, reporter)
    raise InputError(
        f"{path} holds no image that can be read.", "Export it again, or choose a CT or MR series."
    )


def _as_labels(array: np.ndarray, path: str) -> np.ndarray:
    low, high = float(array.min()), float(array.max())
    if not (low >= -_WHOLE and high <= 255 + _WHOLE):
        raise InputError(
            f"{path} holds values from {low:.6g} to {high:.6g}; labels are whole numbers from 0 to 255.",
            "Renumber the labels.",
        )
    if array.dtype.kind in "iub":
        return array.astype(np.uint8, copy=False)
    labels = np.rint(array)
    off = np.abs(array - labels) > _WHOLE
    if off.any():
        raise InputError(
            f"{path} holds fractions such as {float(array[off][0]):.4g}; labels are whole numbers.",
            "Give a labelmap, not a probability map or an image.",
        )
    return labels.astype(np.uint8)


def _on_grid(labelmap: Volume, like: Geometry, path: str) -> Volume:
    if not labelmap.geometry.same_grid(like, _SAME_GRID_SHARE * min(like.spacing)):
        raise InputError(
            f"The grid of {path} is not that of its image: {describe(labelmap.geometry)} "
            f"instead of {describe(like)}.",
            "Export both from the same program, or resample the labelmap to the image.",
        )
    return Volume(labelmap.array, like)


def _fitted(labelmap: Volume, like: Geometry, path: Path) -> Volume:
    """A cropped segmentation on the whole image's grid, where voxels coincide."""
    start = np.rint(labelmap.geometry.lps_to_index(like.origin)).astype(int)
    whole = labelmap.crop((int(start[0]), int(start[1]), int(start[2])), like.shape)
    if np.count_nonzero(whole.array) != np.count_nonzero(labelmap.array):
        raise InputError(
            f"{path} has labelled voxels outside of its image: {describe(labelmap.geometry)} "
            f"on an image of {describe(like)}.",
            "Check that they belong together.",
        )
    return _on_grid(whole, like, str(path))
