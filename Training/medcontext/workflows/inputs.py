"""Which images a person means: files, DICOM folders, folders of images, or one file for each channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from medcontext.cards import resolve
from medcontext.errors import InputError
from medcontext.io import ImageSource, find_images
from medcontext.library import read_card


def find_sources(
    inputs: Sequence[Path | str], channels: Mapping[str, Path], model: str | Path
) -> list[ImageSource]:
    """The images to segment; each has a name of its own.

    Raises:
        InputError: nothing was given, a file is missing, two images share a name, or channels do not fit.
    """
    if channels:
        if inputs:
            raise InputError(
                "Images and --channel cannot be mixed.", "Give each channel of one case by --channel."
            )
        return [_channel_source(channels, model)]
    if not inputs:
        raise InputError("No image was given.", "Name image files, a DICOM folder, or a folder of images.")
    sources: list[ImageSource] = []
    for given in map(Path, inputs):
        if not given.exists():
            raise InputError(f"{given} does not exist.")
        found = find_images(given) if given.is_dir() else [image_source(given)]
        if not found:
            raise InputError(
                f"{given} holds no image.", "Allowed: NIfTI, NRRD and MHA files and DICOM series."
            )
        sources += found
    by_name: dict[str, ImageSource] = {}
    for source in sources:
        other = by_name.setdefault(source.id, source)
        if other is not source:
            raise InputError(
                f"{other.paths[0]} and {source.paths[0]} would both become '{source.id}'.",
                "Segment them in two runs with two output folders, or rename one.",
            )
    return sources


def _channel_source(channels: Mapping[str, Path], model: str | Path) -> ImageSource:
    """One case from one file a channel, in the order of the model."""
    names = [channel.name for channel in read_card(resolve(model)).input.channels]
    given = {name.casefold(): Path(path) for name, path in channels.items()}
    if sorted(given) != sorted(name.casefold() for name in names):
        raise InputError(
            f"Channels {', '.join(channels)} were given; the model needs {', '.join(names)}.",
            "Name each of them once: --channel NAME=FILE.",
        )
    paths = [given[name.casefold()] for name in names]
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist.")
    return ImageSource(image_source(paths[0]).id, paths)
