"""The plans of an nnU-Net, read strictly: what is not known here could change what is computed, and is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from medcontext.config import StrictModel, read_data
from medcontext.errors import InputError

MAXIMUM_BYTES = 64 * 2**20
"""Plans take some kilobytes, fingerprints of ten thousand cases some megabytes."""

MOST_VOXELS = 512**3
"""Of a patch: four times what nnU-Net's largest published plans take."""

_MOST_CHANNELS = 64
_FINITE = Field(allow_inf_nan=False)

Side = Annotated[int, Field(ge=1, le=8192)]
Millimetres = Annotated[float, Field(gt=0, lt=1e5)]
Number = Annotated[float, _FINITE]


class _Read(StrictModel):
    """Entries that are not needed are passed over."""

    model_config = ConfigDict(extra="ignore")


class Resampling(StrictModel):
    """Arguments of nnU-Net's function of resampling."""

    is_seg: Literal[False] = False
    order: Literal[1, 3] = 3
    """Spline order."""
    order_z: Literal[0] = 0
    """Along the coarse axis: nearest."""
    force_separate_z: Literal[False] | None = False
    """None: whether there is a coarse axis depends on each image. False: never."""
    separate_z_anisotropy_threshold: Annotated[float, Field(ge=3, le=3)] = 3


class Architecture(_Read):
    """The network."""

    network_class_name: str
    arch_kwargs: dict[str, Any]


class Configuration(_Read):
    """What one entry of ``configurations`` says after its parents were followed."""

    preprocessor_name: Literal["DefaultPreprocessor"] = "DefaultPreprocessor"
    patch_size: Annotated[list[Side], Field(min_length=2, max_length=3)]
    """Voxels, along the network's axes."""
    spacing: Annotated[list[Millimetres], Field(min_length=2, max_length=3)]
    """Millimetres, likewise."""
    normalization_schemes: Annotated[list[str], Field(min_length=1, max_length=_MOST_CHANNELS)]
    """Name of a class for each channel."""
    use_mask_for_norm: Annotated[list[bool], Field(min_length=1, max_length=_MOST_CHANNELS)]
    """Whether only voxels that are not zero are looked at."""
    resampling_fn_data: Literal["resample_data_or_seg_to_shape"]
    resampling_fn_data_kwargs: Resampling
    resampling_fn_probabilities: Literal["resample_data_or_seg_to_shape"]
    resampling_fn_probabilities_kwargs: Resampling
    previous_stage: str | None = None
    """Of a cascade: whose segmentation is an input."""
    architecture: Architecture
    """The network; see :class:`OldNetwork` for plans that do not have it."""


class OldNetwork(_Read):
    """How plans before nnU-Net 2.4 describe the network."""

    patch_size: list[Any]
    UNet_class_name: str
    UNet_base_num_features: Annotated[int, Field(ge=1, le=4096)]
    unet_max_num_features: Annotated[int, Field(ge=1, le=4096)]
    n_conv_per_stage_encoder: Annotated[list[int], Field(max_length=32)]
    n_conv_per_stage_decoder: Annotated[list[int], Field(max_length=32)]
    pool_op_kernel_sizes: list[Any]
    conv_kernel_sizes: list[Any]


class Intensities(_Read):
    """Statistics of a channel inside the structures of the training cases."""

    mean: Number
    std: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    percentile_00_5: Number
    percentile_99_5: Number


class Plans(_Read):
    """``plans.json``."""

    dataset_name: Annotated[str, Field(max_length=200)] = "nnU-Net"
    plans_name: str = ""
    original_median_spacing_after_transp: Annotated[list[Millimetres], Field(min_length=3, max_length=3)]
    image_reader_writer: str = "SimpleITKIO"
    transpose_forward: tuple[int, int, int] = (0, 1, 2)
    configurations: dict[str, dict[str, Any]]
    label_manager: Literal["LabelManager"] = "LabelManager"
    foreground_intensity_properties_per_channel: dict[str, Any] | None = None
    foreground_intensity_properties_by_modality: dict[str, Any] | None = None

    def intensities(self, channel: int, source: str) -> Intensities:
        """Statistics of a channel.

        Raises:
            InputError: the plans do not say them.
        """
        every = self.foreground_intensity_properties_per_channel
        if every is None:
            every = self.foreground_intensity_properties_by_modality or {}
        return Intensities.parse(every.get(str(channel)), f"{source}, intensities of channel {channel},")


class Dataset(_Read):
    """``dataset.json``."""

    channel_names: dict[str, str] | None = None
    modality: dict[str, str] | None = None
    """Its name before it was ``channel_names``."""
    labels: dict[str, Any]
    regions_class_order: Any = None
    licence: str | None = None
    license: str | None = None
    image_orientation: str | None = None
    """Orientation that all training images had, such as LPS. nnU-Net passes it over; exports of ours say it, and
    anybody can write it there."""
    name: str | None = None

    def channels(self, source: str) -> list[str]:
        """Names of the channels, in order.

        Raises:
            InputError: they are not numbered 0, 1, ...
        """
        names = self.channel_names or self.modality or {}
        if not names or sorted(names) != sorted(str(number) for number in range(len(names))):
            raise InputError(
                f"The channels of {source} are not numbered 0, 1, ...: {', '.join(names) or 'none'}."
            )
        return [names[str(number)] for number in range(len(names))]


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: the file is missing, too large, or holds something else.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if size > MAXIMUM_BYTES:
        raise InputError(f"{path} takes {size >> 20} MB; at most {MAXIMUM_BYTES >> 20} MB are read.")
    data = read_data(path)
    if not isinstance(data, dict):
        raise InputError(f"{path} holds no object.")
    return data


def read_configuration(plans: Plans, name: str, source: Path) -> Configuration:
    """One configuration, with what it inherits.

    Raises:
        InputError: there is none of that name, it is a cascade, or says something that is not known here.
    """
    entry = _resolved(plans.configurations, name, source)
    if entry.get("previous_stage"):
        raise InputError(
            f"The configuration '{name}' of {source} is the second network of a cascade, which also needs the "
            f"segmentation of '{entry['previous_stage']}'; cascades are not supported.",
            "Choose 3d_fullres, 3d_lowres or 2d with --configuration.",
        )
    told = f"The configuration '{name}' of {source}"
    if entry.get("architecture") is None:
        entry["architecture"] = _completed(entry, told)
    found = Configuration.parse(entry, told)
    _check(found, name, source)
    return found


def _resolved(configurations: Mapping[str, dict[str, Any]], name: str, source: Path) -> dict[str, Any]:
    """An entry over those it inherits from, its own word last."""
    chain: list[str] = []
    entry: dict[str, Any] = {}
    wanted: Any = name
    while wanted is not None:
        if not isinstance(wanted, str) or wanted not in configurations:
            known = ", ".join(list(configurations)[:8])
            raise InputError(f"{source} describes no configuration '{wanted!s:.80}'.", f"There is {known}.")
        if wanted in chain:
            raise InputError(f"The configurations of {source} inherit from each other: {', '.join(chain)}.")
        chain.append(wanted)
        entry = configurations[wanted] | entry
        wanted = configurations[wanted].get("inherits_from")
    return entry


def _completed(entry: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The network of plans that were written before nnU-Net 2.4, as nnU-Net itself completes them."""
    old = OldNetwork.parse(entry, source)
    dims, stages = len(old.patch_size), len(old.n_conv_per_stage_encoder)
    plain = old.UNet_class_name == "PlainConvUNet"
    first, most = old.UNet_base_num_features, old.unet_max_num_features
    arguments = {
        "n_stages": stages,
        "features_per_stage": [min(first * 2**stage, most) for stage in range(stages)],
        "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
        "kernel_sizes": old.conv_kernel_sizes,
        "strides": old.pool_op_kernel_sizes,
        "n_conv_per_stage" if plain else "n_blocks_per_stage": old.n_conv_per_stage_encoder,
        "n_conv_per_stage_decoder": old.n_conv_per_stage_decoder,
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": "torch.nn.LeakyReLU",
    }
    return {"network_class_name": old.UNet_class_name, "arch_kwargs": arguments}


def _check(found: Configuration, name: str, source: Path) -> None:
    """What the entries must be beside each other."""
    voxels = 1
    for side in found.patch_size:
        voxels *= side
    if voxels > MOST_VOXELS:
        raise InputError(
            f"The patch of '{name}' in {source} has {voxels} voxels; at most {MOST_VOXELS} are possible."
        )
    same = (
        (found.patch_size, found.spacing, "patch_size and spacing"),
        (
            found.normalization_schemes,
            found.use_mask_for_norm,
            "normalization_schemes and use_mask_for_norm",
        ),
    )
    for one, other, what in same:
        if len(one) != len(other):
            raise InputError(f"{what} of '{name}' in {source} have {len(one)} and {len(other)} entries.")
    data, back = found.resampling_fn_data_kwargs, found.resampling_fn_probabilities_kwargs
    if back.order != 1 or back.force_separate_z != data.force_separate_z:
        raise InputError(
            f"'{name}' of {source} brings probabilities back otherwise than linearly, or with another coarse axis "
            "than images; that is not known here."
        )
