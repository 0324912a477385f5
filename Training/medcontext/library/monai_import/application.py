"""What a network of a bundle takes and how it is moved over an image, as a card says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medcontext.card_schema import InferenceSpec, InputRange, InputSpec, Postprocess
from medcontext.errors import InputError
from medcontext.library.monai_import.config import Part
from medcontext.library.monai_import.definition import Definition
from medcontext.library.monai_import.preprocessing import Preprocessing
from medcontext.plan import STORED, Channel, ResamplePlan, Size, Spacing

LARGEST_WINDOW = 512
"""Voxels a side: more fits no memory."""


def form_of(metadata: Mapping[str, Any], side: str, name: str) -> Mapping[str, Any]:
    """What the metadata say of an input or output (``inputs``, ``image``); empty where they say nothing."""
    found: Any = metadata
    for key in ("network_data_format", side, name):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def window_of(inferer: Part | None, metadata: Mapping[str, Any], definition: Definition) -> Size:
    """Voxels that the network sees at once, of the inferer or else of the metadata.

    Raises:
        InputError: it is said nowhere, is absurd, or does not fit the network.
    """
    from medcontext import networks

    size = inferer.get("roi_size") if inferer is not None else None
    if size is None:
        size = form_of(metadata, "inputs", "image").get("spatial_shape")
    sizes = [size] * 3 if isinstance(size, int) else size
    if not isinstance(sizes, list) or len(sizes) != 3:
        raise InputError(f"The bundle does not say how many voxels its network sees at once ({size}).")
    if not all(isinstance(n, int) and 0 < n <= LARGEST_WINDOW for n in sizes):
        raise InputError(
            f"A window of {sizes} voxels cannot be used: 1 to {LARGEST_WINDOW} a side are allowed."
        )
    k, j, i = sizes
    networks.check_patch(definition.network.name, definition.network.kwargs, (k, j, i))
    return k, j, i


def input_spec(
    before: Preprocessing,
    spacing: Spacing,
    metadata: Mapping[str, Any],
    window: Size,
    orientation: str | None,
) -> InputSpec:
    """What the network takes.

    MONAI's arrays are ``(C, i, j, k)``: our ``(C, K, J, I)`` of the code backwards, or of the axes turned round where
    the bundle does not turn images.

    Args:
        before: what the bundle does to images.
        spacing: mm along the axes of the network.
        metadata: content of ``metadata.json``.
        window: voxels the network sees at once.
        orientation: code of the training images that a person gave, for bundles that do not turn images.

    Raises:
        InputError: a person gave one, and the bundle turns images itself; or the grey values cannot be reproduced.
    """
    if before.axcodes is not None and orientation not in (None, before.axcodes):
        raise InputError(
            f"The bundle turns images to {before.axcodes} itself, not to {orientation}.",
            "Import it without an orientation.",
        )
    if before.axcodes is None and orientation in (None, STORED):
        before.notes.append("The bundle takes images as they lie in their file, whatever their orientation.")
    image = form_of(metadata, "inputs", "image")
    modality, names = str(image.get("modality") or "unknown"), image.get("channel_def")
    named = names if isinstance(names, Mapping) else {}
    return InputSpec(
        channels=[
            Channel(
                name=str(named.get(str(index)) or f"image {index + 1}"),
                modality={"MR": "MRI"}.get(modality, modality),
                intensity=intensity,
            )
            for index, intensity in enumerate(before.intensities)
        ],
        spacing=spacing,
        orientation=before.axcodes[::-1] if before.axcodes is not None else orientation or STORED,
        transpose=(0, 1, 2) if before.axcodes is not None else (2, 1, 0),
        patch_size=window,
        range=InputRange(spacing=(spacing, spacing)),
    )


def inference_spec(
    inferer: Part | None, resample: ResamplePlan, postprocess: Postprocess
) -> tuple[InferenceSpec, list[str]]:
    """How the network is moved over an image, and sentences on what the bundle does otherwise.

    Raises:
        InputError: the bundle moves it in a way that is not known here.
    """
    inference = InferenceSpec(resample=resample, postprocess=postprocess, predictor="student")
    if inferer is None or inferer.target == "SimpleInferer":
        return inference, ["The bundle looks at an image at once; here windows overlap by half."]
    if inferer.target not in ("SlidingWindowInferer", "SlidingWindowInfererAdapt"):
        raise InputError(
            f"{inferer.file}: the inferer {inferer.target or 'without a name'} is not known here."
        )
    overlap, mode = inferer.get("overlap", 0.25), inferer.get("mode", "constant")
    overlap = max(overlap) if isinstance(overlap, list) and overlap else overlap
    if not isinstance(overlap, int | float) or not 0 <= overlap < 1:
        raise InputError(f"{inferer.file}: windows cannot overlap by {overlap}.")
    notes = []
    if mode != "gaussian":
        notes.append(
            "The middle of a window counts more than its border; in the bundle all of it counts alike."
        )
    return inference.model_copy(update={"overlap": float(overlap)}), notes
