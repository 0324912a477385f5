"""MONAI's preprocessing in our words: orientation, spacing, and what happens to the grey values of each channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from medcontext.errors import InputError
from medcontext.library.monai_import.config import Part
from medcontext.library.monai_import.grey_values import GreyValues
from medcontext.plan import Intensity, ResamplePlan, Spacing

UNKNOWN_SPACING: Spacing = (1.0, 1.0, 1.0)
"""mm; of bundles that take images at whatever spacing they come."""

_NO_CHANGE = (
    "LoadImage", "EnsureChannelFirst", "AddChannel", "AsChannelFirst", "EnsureType", "ToTensor", "CastToType",
    "ToDevice", "DeleteItems", "SelectItems", "Identity", "DataStats",
)  # fmt: skip
"""What changes the form of an image and not what it shows."""

_LEFT_OUT = {
    "CropForeground": "the image is looked at as a whole",
    "SpatialPad": "windows are padded where the image is smaller",
    "DivisiblePad": "windows are padded where the image is smaller",
    "BorderPad": "windows are padded where the image is smaller",
}
"""What may change the result a little, and why it is not needed."""


@dataclass
class Preprocessing:
    """What a bundle does to an image before its network sees it. Axes are those of its arrays.

    Attributes:
        axcodes: code of its array axes, such as ``RAS``; None where images stay as they are stored.
        pixdim: mm; None where they are not resampled.
        order: of the interpolation.
        channels: of each channel the grey values; empty until the number of channels is known.
        notes: sentences on what is not the same here.
    """

    axcodes: str | None = None
    pixdim: list[float] | None = None
    order: int = 1
    channels: list[GreyValues] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def intensities(self) -> list[Intensity]:
        """Normalisation of each channel.

        Raises:
            InputError: MedContext has no such normalisation.
        """
        return [channel.intensity() for channel in self.channels]

    def grid(self) -> tuple[Spacing, ResamplePlan]:
        """Spacing in mm along the axes of the network, and how it is reached.

        Raises:
            InputError: several axes, but not all, keep the spacing of the image.
        """
        if self.pixdim is None:
            self.notes.append(
                "The bundle does not resample and does not say at which spacing it was trained: 1 mm was taken."
            )
            return UNKNOWN_SPACING, ResamplePlan()
        kept = [axis for axis, size in enumerate(self.pixdim) if not size > 0]
        if len(kept) > 1:
            raise InputError(
                f"A spacing of {self.pixdim} mm, which keeps several axes as they are, is not known here."
            )
        known = [size for size in self.pixdim if size > 0]
        k, j, i = (size if size > 0 else sum(known) / len(known) for size in self.pixdim)
        plan = ResamplePlan(order=3 if self.order == 3 else 1, kept_axis=kept[0] if kept else None)
        return (k, j, i), plan


class _Reader:
    """Goes through the transforms of a bundle and keeps what they mean."""

    def __init__(self, channels: int) -> None:
        self.result = Preprocessing(channels=[GreyValues() for _ in range(channels)])
        self._keys: dict[str, list[int]] = {}
        """Channels of the network that each item of the bundle holds."""

    def read(self, transforms: Part) -> Preprocessing:
        """What the transforms mean together.

        Raises:
            InputError: one cannot be read as data, or changes the image in a way that MedContext has not.
        """
        for transform in transforms.items():
            if transform.disabled:
                continue
            if transform.target == "Compose":
                inner = transform.entry("transforms")
                self.read(inner) if inner is not None else None
            else:
                self._one(transform)
        return self.result

    def _one(self, transform: Part) -> None:
        kind = plain_transform(transform.target, _ALL)
        if kind == "LoadImage":
            self._load(transform)
        if kind in _NO_CHANGE or not self._channels_of(transform):
            return
        if kind in _LEFT_OUT:
            self.result.notes.append(f"{kind} was left out: {_LEFT_OUT[kind]}.")
        elif kind in _STEPS:
            _STEPS[kind](self, transform)
        else:
            raise InputError(
                f"{transform.file}: what {kind or 'this'} does to images is not known here ('{transform.key}').",
                f"Known: {', '.join(_ALL)}.",
            )

    def _load(self, transform: Part) -> None:
        keys = [key for key in _keys(transform) if key not in ("label", "pred")]
        every = list(range(len(self.result.channels)))
        if len(keys) > 1 and len(keys) == len(every):
            self._keys = {key: [channel] for channel, key in enumerate(keys)}
        elif keys:
            self._keys = {keys[0]: every}

    def _channels_of(self, transform: Part) -> list[int]:
        """Channels that a transform works on; all of them where it says no keys."""
        if not self._keys:
            self._keys = {"image": list(range(len(self.result.channels)))}
        keys = _keys(transform)
        if not keys:
            return list(range(len(self.result.channels)))
        return [channel for key in keys for channel in self._keys.get(key, [])]

    def orientation(self, transform: Part) -> None:
        code = transform.get("axcodes")
        if not isinstance(code, str) or len(code) != 3:
            raise InputError(f"{transform.file}: an orientation of {code or 'no letters'} is not known here.")
        if self.result.pixdim is not None:
            raise InputError(f"{transform.file}: Orientation after Spacing is not known here.")
        self.result.axcodes = code.upper()

    def spacing(self, transform: Part) -> None:
        pixdim, mode = transform.get("pixdim"), transform.get("mode", "bilinear")
        sizes = [pixdim] * 3 if isinstance(pixdim, int | float) else list(pixdim or [])
        mode = mode[0] if isinstance(mode, list) and mode else mode
        if len(sizes) != 3 or not all(isinstance(size, int | float) and size < 1000 for size in sizes):
            raise InputError(f"{transform.file}: a spacing of {pixdim} is not known here.")
        if mode not in _MODES:
            raise InputError(
                f"{transform.file}: Spacing with mode {mode} is not known here.", "Known: bilinear, 3."
            )
        self.result.pixdim, self.result.order = [float(size) for size in sizes], _MODES[mode]
        if not transform.get("scale_extent", False):
            self.result.notes.append(
                "Resampling keeps the outer faces of the image, in the bundle the centre of its first voxel: borders "
                "differ by less than a voxel."
            )

    def grey(self, transform: Part) -> None:
        kind = plain_transform(transform.target, _ALL)
        channels = self._channels_of(transform)
        if self.result.pixdim is not None:
            self._note(
                "Grey values are changed before the image is resampled; the bundle changes them afterwards."
            )
        joint = kind in (
            "NormalizeIntensity",
            "ScaleIntensity",
            "ScaleIntensityRangePercentiles",
            "ClipIntensityPercentiles",
        )
        if (
            joint
            and len(channels) > 1
            and transform.get("subtrahend") is None
            and not transform.get("channel_wise", False)
        ):
            raise InputError(
                f"{transform.file}: {kind} takes one statistic of {len(channels)} channels together.",
                "Only transforms that are channel_wise can be imported.",
            )
        for channel in channels:
            for note in self.result.channels[channel].apply(kind, transform):
                self._note(note)

    def split(self, transform: Part) -> None:
        """``SplitDimd``: the channels of one item become items of their own."""
        (key,) = _keys(transform)[:1] or ["image"]
        channels = self._keys.get(key, [])
        names = transform.get("output_postfixes") or [str(index) for index in range(len(channels))]
        self._keys |= {f"{key}_{name}": [channel] for name, channel in zip(names, channels, strict=False)}

    def join(self, transform: Part) -> None:
        """``ConcatItemsd``: items become one, and their order is that of the network's channels."""
        name, keys = transform.get("name"), _keys(transform)
        order = [channel for key in keys for channel in self._keys.get(key, [])]
        self._keys[str(name)] = list(range(len(order)))
        if sorted(order) == list(range(len(self.result.channels))):
            self.result.channels = [self.result.channels[channel] for channel in order]

    def _note(self, sentence: str) -> None:
        if sentence not in self.result.notes:
            self.result.notes.append(sentence)


_MODES = {"bilinear": 1, "linear": 1, "trilinear": 1, 1: 1, 3: 3}

_STEPS: dict[str, Callable[[_Reader, Part], None]] = {
    "Orientation": _Reader.orientation,
    "Spacing": _Reader.spacing,
    "SplitDim": _Reader.split,
    "ConcatItems": _Reader.join,
    **dict.fromkeys(GreyValues.KNOWN, _Reader.grey),
}


_ALL = (*_NO_CHANGE, *_LEFT_OUT, *_STEPS)


def read_preprocessing(transforms: Part | None, channels: int) -> Preprocessing:
    """What a bundle does to images of some channels.

    Raises:
        InputError: it cannot be read as data, or is not known here.
    """
    reader = _Reader(channels)
    if transforms is None:
        reader.result.notes.append("The bundle says nothing of preprocessing: images are taken as they are.")
        return reader.result
    return reader.read(transforms)


def plain_transform(name: str, known: Iterable[str]) -> str:
    """A transform by its known name, without the ending for dictionaries: ``Spacing`` for ``Spacingd``.

    The name itself where none is known.
    """
    return next((base for base in known if name in (base, f"{base}d", f"{base}D", f"{base}Dict")), name)


def _keys(transform: Part) -> list[str]:
    keys: Any = transform.get("keys")
    return [str(key) for key in keys] if isinstance(keys, list) else [str(keys)] if keys else []
