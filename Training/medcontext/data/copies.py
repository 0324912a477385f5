"""Finding out that an image is in a data set already, also where nobody recorded what its voxels are."""

from __future__ import annotations

from pathlib import Path

from medcontext.data.hashing import remembered
from medcontext.data.index_file import Record, image_names, read_data_set, records
from medcontext.data.reading import UPRIGHT, read_grid, upright_hash
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.home import home
from medcontext.io import read_image
from medcontext.io.itk import reading
from medcontext.io.names import format_of
from medcontext.io.nifti import nifti_sizes


def copies_of(
    folder: Path, image: Volume, upright: str, replaced: str | None, reporter: Reporter, stage: str
) -> frozenset[str]:
    """Ids of the labelled, test and held-out cases whose files hold this very image, whatever their axes.

    Only files whose header has the same size are read, once; what was found is remembered until they change.
    A scan without a label is told by its place alone: a second copy of it does no harm.

    Args:
        folder: the store.
        image: all channels.
        upright: its hash, see :func:`medcontext.data.reading.upright_hash`.
        replaced: id of a case that may hold it, or None.
        reporter: told of the progress; asked whether to stop.
        stage: name of the progress.

    Raises:
        InputError: the store cannot be read.
        CancelledError: someone asked to stop.
    """
    data, ids = read_data_set(folder)
    free = set(ids["unlabelled"])
    entries = [
        (case_id, entry)
        for case_id, entry in records(data, ids)
        if case_id != replaced and (case_id not in free or entry.get("held_out"))
    ]
    found = set()
    for number, (case_id, entry) in enumerate(entries):
        reporter.check_cancelled()
        reporter.progress(stage, number / len(entries))
        if _holds(folder, entry, image, upright):
            found.add(case_id)
    return frozenset(found)


def _holds(folder: Path, entry: Record, image: Volume, upright: str) -> bool:
    files = [folder / name for name in image_names(entry)]
    recorded = entry.get("voxels") or ""

    def compute() -> str:
        if recorded and read_grid(files).orientation == UPRIGHT:
            return str(recorded)
        return upright_hash(read_image(files))

    try:
        sizes = _sizes(files[0])
        if sizes is not None and sizes != sorted(image.shape):
            return False
        return remembered(files, home() / "cache" / "upright", compute) == upright
    except InputError:
        return False  # what cannot be read cannot be learnt from either


def _sizes(path: Path) -> list[int] | None:
    """Number of voxels along the axes, smallest first; None for DICOM, where every file of a series tells a part."""
    kind = None if path.is_dir() else format_of(path)
    if kind == "nifti":  # thousands of headers are looked at: this is twenty times as fast as ITK
        with reading(path):
            return sorted(nifti_sizes(path)[:3])
    return None if kind is None else sorted(read_grid([path]).shape)
