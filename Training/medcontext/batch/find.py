"""Finding the cases of a run: in folders, by globs, as files, or named by a manifest."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from medcontext.batch.case import BatchCase, Skipped
from medcontext.batch.dicom_cases import blamed, left_out, series_case, series_names
from medcontext.batch.dicom_series import search_series
from medcontext.batch.identifiers import Names, private_strings
from medcontext.batch.image_cases import Named, image_cases
from medcontext.batch.manifest import is_manifest
from medcontext.batch.manifest_cases import manifest_cases
from medcontext.batch.sources import settle
from medcontext.batch.walk import SEGMENTATION, Placed, Walk, absolute, identity
from medcontext.batch_ledger import Layout
from medcontext.card_schema import ModelCard
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.io.dicom_folder import dicom_files, has_text_name, printable
from medcontext.io.names import FORMATS

_GLOB = set("*?[")


def find_cases(
    inputs: Sequence[Path | str],
    card: ModelCard,
    *,
    output: Path,
    keep_identifiers: bool,
    reporter: Reporter,
    overwrite: bool = False,
) -> tuple[list[BatchCase], list[Skipped]]:
    """The cases that the inputs hold, each with the id that it has in the output folder, and what is no case.

    Ids are written into ``sources.json``: who is called what is settled once, for all runs into that folder.

    Args:
        inputs: folders (searched with all folders below), globs (``**`` for any folders), image files, files of
            DICOM series (each stands for its series), or one manifest (``.csv``, ``.tsv``, ``.json``).
        card: the model; with several channels, files NAME_0000, NAME_0001 in one folder are one case.
        output: folder of the results, which is not searched; made where it is missing.
        keep_identifiers: whether cases are named after patient, study and series as DICOM headers have them;
            else they get pseudonyms, and what must not be told is listed with each case.
        reporter: told what does not count; asked whether to stop.
        overwrite: whether an id that a manifest gives may be taken from another scan.

    Raises:
        InputError: nothing was given or found, an input does not exist, results would lie among the images, the
            manifest is broken, or gives a scan the id of another; or the output folder cannot be written. A file of
            a manifest that is missing is the trouble of its case.
        ResourceError: the disk is full.
        CancelledError: the reporter said so.
    """
    if not inputs:
        raise InputError("No input was given.", f"Name a folder, files or a manifest; allowed are {FORMATS}.")
    places = _expanded(inputs, output, reporter)
    if any(is_manifest(place) for place in places):
        if len(places) > 1:
            raise InputError("A manifest was given beside other inputs.", "Give the manifest alone.")
        named = manifest_cases(places[0], card, output, keep_identifiers, reporter)
        skipped: list[Skipped] = []
    else:
        for place in places:
            _check_apart(place, output)
        named, skipped = _search(places, card, output, keep_identifiers, reporter)
    if not named:
        raise _nothing(inputs, skipped)
    return settle(Layout(output), inputs, named, skipped, reporter, overwrite)


def _expanded(inputs: Iterable[Path | str], output: Path, reporter: Reporter) -> list[Path]:
    """The files and folders that are meant, absolute, each once; folders first."""
    found: dict[Path, None] = {}
    for given in inputs:
        path = absolute(Path(given))
        if identity(path) is not None:
            found[path] = None
        elif _GLOB & set(str(given)):
            found |= dict.fromkeys(_matching(str(given), output, reporter))
        else:
            raise InputError(f"{printable(str(given))} does not exist.", "Check the path.")
    return sorted(found, key=lambda path: not path.is_dir())


def _matching(pattern: str, output: Path, reporter: Reporter) -> list[Path]:
    """What a pattern means, each once: a loop of links gives one file dozens of names."""
    found: dict[tuple[str, str], Path] = {}
    for match in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - Path.glob takes no absolute patterns
        reporter.check_cancelled()
        path = absolute(Path(match))
        real = (os.path.realpath(path.parent), path.name)
        found[real] = min(path, found.get(real, path), key=lambda path: (len(path.parts), path))
    matches = [found[real] for real in sorted(found)]
    results = absolute(output)
    matches = [match for match in matches if match != results and results not in match.parents]
    if len(matches) > 1:  # tables beside images were not meant to name them
        matches = [match for match in matches if not is_manifest(match)]
    if not matches:
        raise InputError(f"Nothing matches {pattern}.", "Check the pattern; ** stands for any folders.")
    return matches


def _check_apart(place: Path, output: Path) -> None:
    """Refuse to write results among the images: the next run would take them for cases."""
    results = Layout(output)
    kept = {
        "": results.root, "segmentations": results.segmentation("x", "nii.gz").parent,
        "dicom": results.dicom("x").parent, "corrected": results.corrected("x").parent,
        "certainty": results.certainty("x").parent,
    }  # fmt: skip
    for name, folder in kept.items():
        if place.is_dir() and os.path.realpath(folder) == os.path.realpath(place):
            among = f"in its folder '{name}'" if name else "there"
            raise InputError(
                f"{place} cannot be the input of results that are written {among}.",
                "Choose another output folder; it may lie inside the input folder.",
            )


def _search(
    places: Sequence[Path], card: ModelCard, output: Path, keep_identifiers: bool, reporter: Reporter
) -> tuple[list[Named], list[Skipped]]:
    walk = Walk(output, reporter)
    skipped = []
    for place in places:
        if place.is_dir():
            walk.search(place)
        elif place.name.lower().endswith(SEGMENTATION):
            skipped.append(Skipped(place.name, "It is a segmentation, not an image.", (place,)))
        else:
            walk.add_file(place, place.parent)
    tree = walk.tree
    # Then names of folders, and what stands behind the dot of REPORT.DOE_JANE, may be those of patients.
    private = not keep_identifiers and (bool(tree.dicom) or not all(map(_has_text, tree.skipped)))
    if tree.others:
        endings = ", ".join(f"{ending} {count}" for ending, count in tree.others.most_common(5))
        told = "" if private else f" ({endings})"
        reporter.info(f"Files that are no images and do not count: {tree.others.total()}{told}.")
    given = {place for place in places if not place.is_dir()}
    modalities = [channel.modality for channel in card.input.channels]
    dicom, unread = _dicom(tree.dicom, given, modalities, keep_identifiers, reporter)
    skipped += tree.skipped
    if private:
        skipped = [replace(entry, place=f"place {number}") for number, entry in enumerate(skipped, start=1)]
    lost = [_lost(entry, private) for entry in (*skipped, *unread) if entry.lost]
    skipped = [entry for entry in (*skipped, *unread) if not entry.lost]
    return image_cases(tree.images, len(card.input.channels)) + dicom + lost, skipped


def _lost(entry: Skipped, private: bool) -> Named:
    """The case that fails for a place where scans may be that could not be looked at."""
    folder = entry.files[0].parent
    case = BatchCase(
        "",
        entry.files[:1],
        series=() if entry.files[0].is_dir() else entry.files,
        private=private_strings((), (), (*entry.files[:1], folder), folder) if private else (),
        trouble=entry.reason,
    )
    return Named(Names((entry.place,), str(entry.files[0])), case)


def _has_text(entry: Skipped) -> bool:
    return all(map(has_text_name, entry.files))


def _dicom(
    placed: Sequence[Placed],
    given: set[Path],
    modalities: Sequence[str],
    keep_identifiers: bool,
    reporter: Reporter,
) -> tuple[list[Named], list[Skipped]]:
    """The cases among DICOM files, and what is none; a file that was given stands for its series."""
    roots = {entry.path: entry.root for entry in placed}
    beside = {path.parent for path in roots if path in given}
    files = sorted({*roots, *(file for folder in beside for file in _readable(folder))})
    search = search_series(files, reporter)
    series = tuple(s for s in search.series if any(file in roots for file in (*s.files, *s.copies)))
    search = replace(
        search, series=series, without_picture=tuple(p for p in search.without_picture if p in roots)
    )
    damaged, others = blamed(search)
    named = [
        Named(
            series_names(scan, keep_identifiers),
            series_case(scan, roots.get(scan.files[0]), keep_identifiers, damaged.get(scan, ()), modalities),
        )
        for scan in search.series
        if not scan.reason
    ]
    folders = {path.parent: root for path, root in roots.items()}
    unread = left_out(search, [path for path in others if path in roots], folders, keep_identifiers)
    return named, unread


def _readable(folder: Path) -> list[Path]:
    """The DICOM files directly in a folder; none where one of them, or the folder, may not be read."""
    try:
        return dicom_files(folder)
    except OSError:
        return []


def _nothing(inputs: Sequence[Path | str], skipped: Sequence[Skipped]) -> InputError:
    more = "" if len(inputs) == 1 else f" and {len(inputs) - 1} more"
    first = (
        f" {len(skipped)} were left out; the first, {skipped[0].place}: {skipped[0].reason}"
        if skipped
        else ""
    )
    return InputError(f"{inputs[0]}{more}: no image was found.{first}", f"Allowed are {FORMATS}.")
