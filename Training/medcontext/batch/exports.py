"""What a case becomes: labelmap, segmentation, DICOM SEG, surfaces and certainty map, each whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import medcontext
from medcontext.batch.case import BatchCase
from medcontext.batch.surfaces import file_names, label_surfaces, require_surfaces, write_surface
from medcontext.batch_ledger import Layout
from medcontext.card_schema import ModelCard
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io.write import write_labelmap, write_volume
from medcontext.resample import resample_to_grid

LABELMAP, SEGMENTATION, DICOM = "nii.gz", "seg.nrrd", "dicom-seg"
SURFACES = ("stl", "obj")
FORMATS = (LABELMAP, SEGMENTATION, DICOM, *SURFACES)
CERTAINTY = "certainty"
"""Key of the certainty map among the outputs of a case."""
_SOFTWARE = f"medcontext {medcontext.__version__}"

Outputs = dict[str, list[Path]]
"""Format, or ``certainty`` -> files."""


def check_formats(formats: Iterable[str]) -> None:
    """Make sure that every format can be written, before anything is computed.

    Raises:
        InputError: there is no such format, or a package for it is missing; the hint says how to install it.
    """
    from medcontext.io.dicom_seg import require_highdicom

    wanted = list(formats)
    for name in wanted:
        if name not in FORMATS:
            raise InputError(f"There is no format '{name}'.", f"Allowed: {', '.join(FORMATS)}.")
    if DICOM in wanted:
        require_highdicom()
    if any(name in SURFACES for name in wanted):
        require_surfaces()


def without_dicom_seg(cases: Iterable[BatchCase], formats: Iterable[str]) -> list[BatchCase]:
    """The cases that cannot have a DICOM SEG although one is wanted: they do not come from DICOM."""
    return [case for case in cases if not case.is_dicom] if DICOM in formats else []


def targets(
    layout: Layout, case: BatchCase, card: ModelCard, formats: Iterable[str], certainty: bool
) -> Outputs:
    """Every file that a case may get; a label without voxels gets no surface.

    Args:
        certainty: whether a certainty map is written.
    """
    found: Outputs = {}
    for name in formats:
        if name in (LABELMAP, SEGMENTATION):
            found[name] = [layout.segmentation(case.id, name)]
        elif name == DICOM:
            found[name] = [layout.dicom(case.id)] if case.is_dicom else []
        else:
            found[name] = list(_surface_files(layout, case, card, name).values())
    if certainty:
        found[CERTAINTY] = [layout.certainty(case.id)]
    return found


def write_outputs(
    layout: Layout,
    case: BatchCase,
    labelmap: Volume,
    certainty: Volume | None,
    card: ModelCard,
    model_sha: str,
    formats: Sequence[str],
    native: Geometry | None,
    reporter: Reporter,
) -> Outputs:
    """Write all files of a case. Existing ones are replaced, and removed where the new result has none.

    A DICOM SEG that would be empty is left out with a warning; so is one that the scan cannot have (it is no DICOM,
    lacks identifiers), as long as the case has another output.

    Args:
        layout: where files lie.
        case: the case.
        labelmap: ``(1, K, J, I)`` of uint8.
        certainty: map to write (0..255, 255 is sure), or None.
        card: of the model.
        model_sha: hash of its weights, recorded in files that have room for it.
        formats: of :data:`FORMATS`.
        native: the planes of the series where ``labelmap`` lies on another grid, as after a tilted gantry.
        reporter: told what was left out; a request to stop is not looked at, so that a case is whole.

    Returns:
        The files written, by format; ``certainty`` for the map.

    Raises:
        InputError: the place cannot be written, or nothing that was wanted can be had.
        ResourceError: the disk is full; no file is left half written.
    """
    possible = targets(layout, case, card, formats, certainty is not None)
    written: Outputs = {name: [] for name in possible}
    if LABELMAP in formats:
        write_labelmap(possible[LABELMAP][0], labelmap)
        written[LABELMAP] = possible[LABELMAP]
    if SEGMENTATION in formats:
        _write_segmentation(possible[SEGMENTATION][0], labelmap, card, model_sha)
        written[SEGMENTATION] = possible[SEGMENTATION]
    if certainty is not None:
        write_volume(possible[CERTAINTY][0], certainty)
        written[CERTAINTY] = possible[CERTAINTY]
    for name, path in _write_surfaces(layout, case, labelmap, card, formats):
        written[name].append(path)
    if DICOM in formats:
        alone = len(possible) == 1
        written[DICOM] = _write_dicom(layout, case, labelmap, card, model_sha, native, reporter, alone)
    for name, paths in possible.items():
        for path in set(paths) - set(written[name]):  # of an earlier result, which is no longer true
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
    return written


def _write_segmentation(path: Path, labelmap: Volume, card: ModelCard, model_sha: str) -> None:
    from medcontext.io.segmentation import write_segmentation

    facts = {"model": f"{card.id} {card.version}", "model sha256": model_sha, "software": _SOFTWARE}
    write_segmentation(path, labelmap, card.label_set, facts)


def _surface_files(layout: Layout, case: BatchCase, card: ModelCard, form: str) -> dict[int, Path]:
    """Label value -> file of its surface."""
    names = file_names(card.label_set)
    return {value: layout.surface(case.id, name, form) for value, name in names.items()}


def _write_surfaces(
    layout: Layout, case: BatchCase, labelmap: Volume, card: ModelCard, formats: Sequence[str]
) -> Iterator[tuple[str, Path]]:
    wanted = [name for name in formats if name in SURFACES]
    if not wanted:
        return
    files = {name: _surface_files(layout, case, card, name) for name in wanted}
    for label, surface in label_surfaces(labelmap, card.label_set):
        for name in wanted:
            write_surface(files[name][label.value], surface)
            yield name, files[name][label.value]


def _write_dicom(
    layout: Layout,
    case: BatchCase,
    labelmap: Volume,
    card: ModelCard,
    model_sha: str,
    native: Geometry | None,
    reporter: Reporter,
    alone: bool,
) -> list[Path]:
    """Write the DICOM SEG, or say why there is none; raised where it is the only output and the scan is to blame."""
    from medcontext.io.dicom_codes import Algorithm
    from medcontext.io.dicom_seg import encode_dicom_seg

    if not labelmap.array.any():
        reporter.warning("No DICOM SEG was written: nothing was found, and DICOM has no empty segmentation.")
        return []
    facts = {"model sha256": model_sha, "software": _SOFTWARE}
    try:
        if not case.is_dicom:
            raise InputError(
                "The scan is no DICOM series, which a DICOM SEG must refer to.", "Add --format nii.gz."
            )
        on_planes = labelmap if native is None else resample_to_grid(labelmap, native, order=0)
        algorithm = Algorithm(card.title, card.version, facts)
        encoded = encode_dicom_seg(on_planes, card.label_set, case.series, algorithm, uneven=True)
    except InputError as error:
        if alone:
            raise
        reporter.warning(f"No DICOM SEG was written. {error.message}")
        return []
    path = layout.dicom(case.id)
    encoded.save(path)
    return [path]
