"""How the images of a published nnFormer were prepared: the plans of its nnU-Net (version 1) beside the weights.

Its trainer writes ``NAME.model`` with the weights and ``NAME.model.pkl`` with the plans. The pickle is read as data.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medcontext.card_schema import InferenceSpec, InputRange, InputSpec
from medcontext.errors import InputError
from medcontext.library.checkpoint_file import BROKEN, NumberType, number, refusal
from medcontext.library.harmless_pickle import Bag, Call, read_pickle
from medcontext.plan import STORED, Channel, Intensity, ResamplePlan, Size, Spacing

MAXIMUM_BYTES = 64 * 2**20
"""Plans of a thousand cases have a few MB."""

_OVERLAP = 0.5


@dataclass(frozen=True)
class Plans:
    """What a network was fed with. Per-axis values are in its order.

    Attributes:
        patch: voxels that it sees at once.
        spacing: mm.
        channels: of the image, with their normalisation.
        transpose: axes of the image as it is stored, in that order.
        prepared: whether this is known, and images are cut and resampled as nnU-Net does.
        labels: label values; None where they are not known.
        notes: sentences on what was assumed.
    """

    patch: Size
    spacing: Spacing
    channels: tuple[Channel, ...]
    transpose: Size = (0, 1, 2)
    prepared: bool = True
    labels: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def unknown(cls, patch: Size, in_channels: int) -> Plans:
        """What is assumed where no plans are beside the weights."""
        channels = tuple(Channel(name=f"image {n + 1}", modality="unknown") for n in range(in_channels))
        return cls(patch, (1.0, 1.0, 1.0), channels, prepared=False, notes=(_UNKNOWN,))

    def input(self, in_channels: int) -> InputSpec:
        """As a card says it.

        Raises:
            InputError: the plans are of another number of channels.
        """
        if len(self.channels) != in_channels:
            raise InputError(
                f"Its plans are of {len(self.channels)} image channels, and it takes {in_channels}."
            )
        return InputSpec(
            channels=list(self.channels),
            spacing=self.spacing,
            orientation=STORED,
            transpose=self.transpose,
            crop_to_nonzero=self.prepared,
            patch_size=self.patch,
            range=InputRange(spacing=(self.spacing, self.spacing)),
        )

    @property
    def inference(self) -> InferenceSpec:
        """How the network is applied: as nnU-Net does, mirrored along every axis, where that is known."""
        if not self.prepared:
            return InferenceSpec(predictor="student")
        resample = ResamplePlan(order=3, coarse_axis="of_image")
        return InferenceSpec(
            overlap=_OVERLAP, window_weight="nnunet", resample=resample, flips=[0, 1, 2], predictor="student"
        )


_UNKNOWN = (
    "The plans (the file ending in .model.pkl beside the weights) are missing: how images were prepared is not known. "
    "1 mm and a z-score were taken; results will be poor until it is trained further."
)


def read_plans(weights: Path) -> Plans | None:
    """The plans beside a file of weights; None where there are none.

    Raises:
        InputError: they are damaged, hold more than data, or say something that is not known here. Nothing in them is
            executed.
    """
    path = next(
        (
            p
            for p in (weights.with_name(f"{weights.name}.pkl"), weights.with_name("plans.pkl"))
            if p.is_file()
        ),
        None,
    )
    if path is None:
        return None
    if path.stat().st_size > MAXIMUM_BYTES:
        raise InputError(f"{path} holds no plans: it has {path.stat().st_size / 2**20:.0f} MB.")
    try:
        data = read_pickle(path.read_bytes(), _KNOWN)
        plans = data.get("plans", data)
        return _plans(plans)
    except BROKEN as error:
        if isinstance(error, pickle.UnpicklingError):
            raise refusal(path, error) from error
        raise InputError(f"{path} holds no plans that are known here: {error}.") from error


def _plans(plans: Mapping[str, Any]) -> Plans:
    """The plans of the finest stage.

    Raises:
        KeyError, TypeError, ValueError: they are no such plans.
    """
    stages = plans["plans_per_stage"]
    stage = stages[max(stages)]
    names, schemes, masks = plans["modalities"], plans["normalization_schemes"], plans["use_mask_for_norm"]
    statistics = (plans.get("dataset_properties") or {}).get("intensityproperties")
    channels = tuple(
        Channel(
            name=str(names[n]),
            modality=str(names[n]),
            intensity=_intensity(schemes[n], masks[n], statistics, n),
        )
        for n in range(int(plans["num_modalities"]))
    )
    return Plans(
        patch=_three(stage["patch_size"], int),
        spacing=_three(stage["current_spacing"], float),
        channels=channels,
        transpose=_three(plans.get("transpose_forward", (0, 1, 2)), int),
        labels=tuple(int(value) for value in _list(plans["all_classes"])),
    )


def _intensity(scheme: str, masked: bool, statistics: Any, channel: int) -> Intensity:
    if scheme == "CT":
        facts = statistics[channel]
        low, high = float(facts["percentile_00_5"]), float(facts["percentile_99_5"])
        return Intensity(kind="ct", low=low, high=high, mean=float(facts["mean"]), std=float(facts["sd"]))
    if scheme == "nonCT":
        return Intensity(kind="zscore", percentiles=(0, 100), within_nonzero=bool(masked))
    raise ValueError(f"the normalisation {scheme} is not known")


def _list(values: Any) -> Sequence[Any]:
    return values.values() if isinstance(values, _Array) else list(values)


def _three(values: Any, kind: type) -> Any:
    a, b, c = (kind(value) for value in _list(values))
    return a, b, c


class _Array(Bag):
    """Stands for an array of numpy."""

    def __setstate__(self, state: Any) -> None:
        _, self._shape, self._kind, _, self._data = state

    def values(self) -> list[Any]:
        """Its numbers, in a row."""
        if not isinstance(self._kind, NumberType) or not isinstance(self._data, bytes):
            raise TypeError("an array of something else than numbers")
        return np.frombuffer(self._data, np.dtype(self._kind.code)).tolist()


def _known() -> dict[str, Any]:
    """What plans name beside plain data."""
    known: dict[str, Any] = {
        "numpy.dtype": NumberType,
        "numpy.ndarray": Bag,
        "collections.OrderedDict": Call(dict),
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        known |= {f"{module}.scalar": Call(number), f"{module}._reconstruct": Call(lambda *_: _Array())}
    return known | {"_codecs.encode": Call(lambda text, *_: str(text).encode("latin1"))}


_KNOWN = _known()
