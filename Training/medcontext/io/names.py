"""File names: which format they mean, which case they belong to, and which images a folder holds."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from medcontext.errors import InputError
from medcontext.events import Reporter

FORMATS = "NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd) and DICOM (a folder or a file)"
_ENDINGS = {
    ".nii.gz": "nifti", ".nii": "nifti", ".seg.nrrd": "nrrd", ".nrrd": "nrrd", ".nhdr": "nrrd",
    ".mha": "mha", ".mhd": "mha",
}  # fmt: skip
LABEL_FOLDERS = frozenset({"labels", "labelstr", "labelsts", "labelsval", "masks", "segmentations"})
"""Names, in small letters, of folders that keep labelmaps beside the images they belong to."""
_CHANNEL = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True)
class ImageSource:
    """One image to work on: an id that is fit for a file name, and one path per channel."""

    id: str
    paths: tuple[Path, ...]


def format_of(path: Path) -> str | None:
    """``"nifti"``, ``"nrrd"`` or ``"mha"`` by the ending, else None."""
    return next((kind for ending, kind in _ENDINGS.items() if path.name.lower().endswith(ending)), None)


def case_id(path: Path) -> str:
    """The name without folder and ending, as far as file names allow it: ``a/b c.nii.gz`` is ``b_c``."""
    name = path.name
    ending = next((e for e in _ENDINGS if name.lower().endswith(e)), ".dcm" if path.suffix == ".dcm" else "")
    return safe_name(name[: len(name) - len(ending)])


def safe_name(name: str) -> str:
    """Letters, digits and ``_ . + -`` of a text, anything else as ``_``; ``case`` where nothing is left."""
    return re.sub(r"[^\w.+-]+", "_", name).strip("_.") or "case"


def find_images(folder: Path, channels: int = 1, reporter: Reporter | None = None) -> list[ImageSource]:
    """The images in a folder, by name: files directly in it, and DICOM series in it or in any folder below.

    Args:
        folder: where to look. Hidden files and ``.seg.nrrd`` do not count.
        channels: with more than 1, files ``NAME_0000``, ``NAME_0001``, ... are the channels of one image.
        reporter: told what was left out.

    Raises:
        InputError: the folder does not exist or holds no image.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", "Choose a folder of images.")
    sources = files_in(folder, channels)
    for where, below, _ in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        sources += series_in(Path(where), folder, reporter or Reporter())
    if not sources:
        raise InputError(f"{folder} holds no image that can be read.", f"Allowed are {FORMATS}.")
    return unique(sources)


def files_in(folder: Path, channels: int = 1) -> list[ImageSource]:
    """The image files directly in a folder; as for :func:`find_images`."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    images = [p for p in files if format_of(p) and not p.name.lower().endswith(".seg.nrrd")]
    return _grouped(images) if channels > 1 else [ImageSource(case_id(p), (p,)) for p in images]


def series_in(place: Path, root: Path, reporter: Reporter) -> list[ImageSource]:
    """The DICOM series directly in a folder, named by where it lies below ``root``.

    Each is the folder, where that holds it alone, else one of its files, which stands for all of it.
    """
    from medcontext.io.dicom_folder import scan_folder

    found = [series for series in scan_folder(place, reporter).series if series.slices > 1]
    name = safe_name("_".join(place.relative_to(root).parts) or place.resolve().name)
    if len(found) == 1:
        return [ImageSource(name, (place,))]
    labels = [safe_name(f"{s.files[0].number} {s.files[0].description}") for s in found]
    return [
        ImageSource(f"{name}_{label}", (series.files[0].path,))
        for label, series in zip(labels, found, strict=True)
    ]


def sources_of(
    paths: Sequence[Path], channels: int = 1, reporter: Reporter | None = None
) -> tuple[list[ImageSource], list[tuple[Path, str]]]:
    """The images that some files and folders hold, and why others hold none.

    Args:
        paths: image files, files of DICOM series, or folders as for :func:`find_images`; in a folder without
            images the folders below are looked through.
        channels: as for :func:`find_images`.
        reporter: asked whether to stop.

    Returns:
        The images, with ids that are unique among them; and path and reason of what was left out.
    """
    reporter = reporter or Reporter()
    sources: list[ImageSource] = []
    left_out: list[tuple[Path, str]] = []
    files = []
    for path in paths:
        reporter.check_cancelled()
        reason = _no_image(path)
        if path.is_dir():
            try:
                sources += _below(path, channels, reporter)
            except InputError as error:
                left_out.append((path, error.message))
            except OSError as error:
                left_out.append((path, f"{path} cannot be read: {error.strerror or error}."))
        elif reason:
            left_out.append((path, reason))
        else:
            files.append(path)
    sources += _grouped(files) if channels > 1 else [ImageSource(case_id(p), (p,)) for p in files]
    return unique(sources), left_out


def _no_image(path: Path) -> str:
    """Why a file cannot be an image; empty where it may be one."""
    from medcontext.io.dicom_folder import looks_like_dicom

    if not path.exists():
        return f"{path} does not exist."
    if path.name.lower().endswith(".seg.nrrd"):
        return f"{path} is a segmentation, not an image."
    if path.is_dir() or format_of(path) or looks_like_dicom(path):
        return ""
    return f"{path} is not an image that can be read; allowed are {FORMATS}."


def _below(folder: Path, channels: int, reporter: Reporter) -> list[ImageSource]:
    """The images in a folder or, where there is none, in those below that are not named as folders of labels."""
    try:
        return find_images(folder, channels, reporter)
    except InputError:
        sources = []
        for below in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
            if below.name.casefold() in LABEL_FOLDERS:
                continue
            with suppress(InputError):
                sources += _below(below, channels, reporter)
        if not sources:
            raise
        return sources


def _grouped(images: list[Path]) -> list[ImageSource]:
    groups: dict[str, list[Path]] = {}
    for path in images:
        match = _CHANNEL.fullmatch(case_id(path))
        groups.setdefault(match[1] if match else case_id(path), []).append(path)
    return [ImageSource(name, tuple(paths)) for name, paths in groups.items()]


def unique(sources: list[ImageSource]) -> list[ImageSource]:
    """Number ids that occur more than once, such as ``a.nii.gz`` beside ``a.nrrd``."""
    taken: set[str] = set()
    result = []
    for source in sources:
        name, number = source.id, 2
        while name.casefold() in taken:
            name, number = f"{source.id}_{number}", number + 1
        taken.add(name.casefold())
        result.append(ImageSource(name, source.paths))
    return result
