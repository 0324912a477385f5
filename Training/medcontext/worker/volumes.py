"""Input arrays as volumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from medcontext.card_schema import ModelCard
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.inference.checks import check_contrast
from medcontext.resample import join_channels
from medcontext.worker.arrays import open_volume
from medcontext.worker.requests import VolumeSpec


def open_image(channels: Sequence[VolumeSpec], card: ModelCard, reporter: Reporter) -> Volume:
    """The image that the channels of a request make up, ``(C, K, J, I)`` on the grid of the first.

    A single channel stays in its file, mapped into memory.

    Args:
        channels: one for each input channel of the model, in its order.
        card: the model.
        reporter: told which channels were resampled.

    Raises:
        InputError: the number of channels differs, or a channel cannot be opened, is no
            volume, or has one value everywhere.
    """
    names = [channel.name for channel in card.input.channels]
    if len(channels) != len(names):
        raise InputError(
            f"{len(channels)} channel(s) were given; the model '{card.title}' needs {len(names)}: "
            f"{', '.join(names)}.",
            "Give one volume for each channel.",
        )

    def opened() -> Iterator[tuple[str, Volume]]:
        for name, spec in zip(names, channels, strict=True):
            reporter.check_cancelled()
            yield f"Channel {name}", open_volume(spec)

    image = join_channels(opened(), reporter)
    check_contrast(image, card)
    return image
