"""Which images a person means (files, DICOM folders, folders of images, a file for each channel), and whether a model
can segment any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from medcontext.card_schema import ModelCard
from medcontext.data.reading import shortened
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.io import FORMATS, ImageSource, case_id, find_images

NAMED = 20
"""Of more paths that are missing only the first are named."""


def find_sources(
    inputs: Sequence[Path | str], channels: Mapping[str, Path], card: ModelCard, reporter: Reporter
) -> list[ImageSource]:
    """The images to segment; each has a name of its own.

    Args:
        inputs: files, DICOM folders, folders of images.
        channels: instead of inputs, one file for each channel of the model, by the channel's name.
        card: the model; with several channels, files NAME_0000, NAME_0001 in a folder belong together.
        reporter: told what was left out.

    Raises:
        InputError: nothing was given, a file is missing, two images share a name, or channels do not fit.
    """
    if channels:
        if inputs:
            raise InputError(
                "Images and --channel cannot be mixed.", "Give each channel of one case by --channel."
            )
        return [_one_case(channels, card)]
    if not inputs:
        raise InputError("No image was given.", f"Name a file or a folder; allowed are {FORMATS}.")
    _check_existence([Path(given) for given in inputs])
    sources: list[ImageSource] = []
    for given in map(Path, inputs):
        if given.is_dir():
            sources += find_images(given, len(card.input.channels), reporter)
        else:
            sources.append(ImageSource(case_id(given), (given,)))
    by_name: dict[str, ImageSource] = {}
    for source in sources:
        other = by_name.setdefault(source.id.casefold(), source)
        if other is not source:
            raise InputError(
                f"{other.paths[0]} and {source.paths[0]} would both become '{source.id}'.",
                "Segment them in two runs with two output folders, or rename one.",
            )
    return sources


def _one_case(channels: Mapping[str, Path], card: ModelCard) -> ImageSource:
    """One case from one file a channel, in the order of the model."""
    names = [channel.name for channel in card.input.channels]
    given = {name.casefold(): Path(path) for name, path in channels.items()}
    if sorted(given) != sorted(name.casefold() for name in names):
        raise InputError(
            f"Channels {', '.join(channels)} were given; the model needs {', '.join(names)}.",
            "Name each of them once: --channel NAME=FILE.",
        )
    paths = tuple(given[name.casefold()] for name in names)
    _check_existence(paths)
    return ImageSource(case_id(paths[0]), paths)


def _check_existence(paths: Sequence[Path]) -> None:
    """Name every path that is missing: who corrects one wants to know of the others."""
    missing = [path for path in paths if not path.exists()]
    if len(missing) == 1:
        raise InputError(f"{missing[0]} does not exist.", "Check the path.")
    if missing:
        raise InputError(
            f"{len(missing)} of {len(paths)} paths do not exist: {shortened(missing, NAMED)}.",
            "Check these paths; nothing was done.",
        )
