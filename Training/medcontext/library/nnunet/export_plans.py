"""What an nnU-Net folder says about a model of ours: ``plans.json`` and ``dataset.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medcontext.card_schema import ModelCard
from medcontext.errors import InputError
from medcontext.inference.labelling import ScoreMeaning
from medcontext.library.nnunet.labels import BACKGROUND, IGNORE
from medcontext.plan import STORED, Channel, ResamplePlan

if TYPE_CHECKING:
    from medcontext.networks.nnunet import NNUNetOptions

TRAINER, PLANS_NAME = "nnUNetTrainer", "nnUNetPlans"
REORIENTED = "RAS"
"""To this orientation, and to no other, one of nnU-Net's readers turns images."""

_UNETS = "dynamic_network_architectures.architectures.unet."
_BLOCKS = "dynamic_network_architectures.building_blocks.residual."
_CLASSES = {"plain": "PlainConvUNet", "residual_encoder": "ResidualEncoderUNet"}
_NORMS = {
    "instance": "torch.nn.modules.instancenorm.InstanceNorm",
    "batch": "torch.nn.modules.batchnorm.BatchNorm",
}
_ACTIVATIONS = {"leaky_relu": "torch.nn.LeakyReLU", "relu": "torch.nn.ReLU"}
_SCHEMES = {
    "zscore": "ZScoreNormalization",
    "ct": "CTNormalization",
    "rescale": "RescaleTo01Normalization",
    "none": "NoNormalization",
}
_RESAMPLING = "resample_data_or_seg_to_shape"
_UNKNOWN = {
    "max": 0.0,
    "mean": 0.0,
    "median": 0.0,
    "min": 0.0,
    "percentile_00_5": 0.0,
    "percentile_99_5": 0.0,
    "std": 1.0,
}
"""Statistics of a channel that is not normalised by those of the data set; nnU-Net wants them all the same."""


def configuration_name(card: ModelCard) -> str:
    """What the configuration is called."""
    return "2d" if card.input.dims == 2 else "3d_fullres"


def plans(card: ModelCard, options: NNUNetOptions) -> dict[str, Any]:
    """``plans.json``: preprocessing and network.

    Args:
        card: the model.
        options: of the network that goes into the checkpoints.
    """
    spec = card.input
    forward = list(spec.transpose)
    return {
        "dataset_name": f"Dataset001_{card.id}",
        "plans_name": PLANS_NAME,
        "original_median_spacing_after_transp": list(spec.spacing),
        "original_median_shape_after_transp": list(spec.patch_size),
        "image_reader_writer": reader(card),
        "transpose_forward": forward,
        "transpose_backward": [forward.index(axis) for axis in range(3)],
        "configurations": {configuration_name(card): _configuration(card, options)},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            str(index): _statistics(channel) for index, channel in enumerate(spec.channels)
        },
    }


def reader(card: ModelCard) -> str:
    """The class by which nnU-Net reads images."""
    return "NibabelIOWithReorient" if card.input.orientation == REORIENTED else "SimpleITKIO"


def _configuration(card: ModelCard, options: NNUNetOptions) -> dict[str, Any]:
    axes = slice(3 - card.input.dims, 3)
    resample = card.inference.resample
    separate = {"order_z": 0, "force_separate_z": force_separate_z(resample)}
    channels = card.input.channels
    return {
        "data_identifier": f"{PLANS_NAME}_{configuration_name(card)}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(card.input.patch_size)[axes],
        "median_image_size_in_voxels": [float(side) for side in card.input.patch_size][axes],
        "spacing": list(card.input.spacing)[axes],
        "normalization_schemes": [_SCHEMES[channel.intensity.kind] for channel in channels],
        "use_mask_for_norm": [channel.intensity.within_nonzero for channel in channels],
        "resampling_fn_data": _RESAMPLING,
        "resampling_fn_data_kwargs": {"is_seg": False, "order": resample.order, **separate},
        "resampling_fn_seg": _RESAMPLING,
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, **separate},
        "resampling_fn_probabilities": _RESAMPLING,
        "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, **separate},
        "architecture": _architecture(options),
        "batch_dice": True,
    }


def force_separate_z(resample: ResamplePlan) -> bool | None:
    """None where nnU-Net looks for a coarse axis in each image, False where there is never one."""
    return None if resample.coarse_axis == "of_image" or resample.separate_z is not None else False


def _statistics(channel: Channel) -> dict[str, float]:
    intensity = channel.intensity
    if intensity.kind != "ct":
        return _UNKNOWN
    low, high = intensity.low or 0.0, intensity.high or 0.0
    mean, std = intensity.mean or 0.0, intensity.std or 1.0
    return {
        "max": high,
        "mean": mean,
        "median": mean,
        "min": low,
        "percentile_00_5": low,
        "percentile_99_5": high,
        "std": std,
    }


def _architecture(options: NNUNetOptions) -> dict[str, Any]:
    dims = options.dims
    axes = slice(3 - dims, 3)
    leaky = options.nonlinearity == "leaky_relu"
    arguments: dict[str, Any] = {
        "n_stages": len(options.features_per_stage),
        "features_per_stage": list(options.features_per_stage),
        "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
        "kernel_sizes": [list(kernel)[axes] for kernel in options.kernel_sizes],
        "strides": [list(stride)[axes] for stride in options.strides],
        "n_conv_per_stage_decoder": list(options.n_conv_per_stage_decoder),
        "conv_bias": options.conv_bias,
        "norm_op": None if options.norm == "none" else f"{_NORMS[options.norm]}{dims}d",
        "norm_op_kwargs": {"eps": options.norm_eps, "affine": options.norm_affine},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": _ACTIVATIONS[options.nonlinearity],
        "nonlin_kwargs": {"inplace": True} | ({"negative_slope": options.negative_slope} if leaky else {}),
    }
    if options.dropout:
        kind = f"Dropout{dims}d" if options.dropout_channels else "Dropout"
        arguments |= {"dropout_op": f"torch.nn.{kind}", "dropout_op_kwargs": {"p": options.dropout}}
    arguments |= _encoder(options)
    imported = ["conv_op", "norm_op", "dropout_op", "nonlin", *(["block"] if "block" in arguments else [])]
    return {
        "network_class_name": f"{_UNETS}{_CLASSES[options.architecture]}",
        "arch_kwargs": arguments,
        "_kw_requires_import": imported,
    }


def _encoder(options: NNUNetOptions) -> dict[str, Any]:
    """What only one of the two architectures takes."""
    if options.architecture == "plain":
        first = {"nonlin_first": True} if options.nonlinearity_first else {}
        return {"n_conv_per_stage": list(options.n_conv_per_stage or ()), **first}
    arguments: dict[str, Any] = {"n_blocks_per_stage": list(options.n_blocks_per_stage or ())}
    if options.stem_channels is not None:
        arguments["stem_channels"] = options.stem_channels
    if options.bottleneck_channels is not None:
        arguments |= {
            "block": f"{_BLOCKS}BottleneckD",
            "bottleneck_channels": list(options.bottleneck_channels),
        }
    return arguments


def dataset(card: ModelCard) -> dict[str, Any]:
    """``dataset.json``: channels and labels.

    Raises:
        InputError: the outputs are not what nnU-Net's can be.
    """
    labels: dict[str, Any] = {BACKGROUND: 0}
    extra: dict[str, Any] = {}
    if card.activation == "softmax":
        labels |= {_free(label.name, labels): n for n, label in enumerate(card.label_set, start=1)}
    else:
        regions = card.regions or [[value] for value in card.label_set.values]
        order = [int(value) for value in ScoreMeaning(card).lookup[1:]]
        _check_regions(card, regions)
        for region, value in zip(regions, order, strict=True):
            labels[_free(_name(card, value), labels)] = region
        extra = {"regions_class_order": order}
    if card.input.orientation != STORED:
        extra["image_orientation"] = card.input.orientation
    return {
        "name": card.title,
        "description": f"{card.title}: {', '.join(label.name for label in card.label_set)}.",
        "channel_names": {str(index): channel.name for index, channel in enumerate(card.input.channels)},
        "labels": labels,
        **extra,
        "numTraining": card.training.shots,
        "file_ending": ".nii.gz",
        "licence": card.license,
    }


def _check_regions(card: ModelCard, regions: list[list[int]]) -> None:
    if all(len(region) == 1 for region in regions):
        raise InputError(
            f"Model '{card.id}' judges each structure by itself; nnU-Net does so only where one unites several.",
            "Only models whose labels exclude each other, or of which one unites several, can become one of nnU-Net.",
        )


def _name(card: ModelCard, value: int) -> str:
    return next((label.name for label in card.label_set if label.value == value), f"region {value}")


def _free(name: str, taken: dict[str, Any]) -> str:
    """A name that means nothing special to nnU-Net and is not taken yet."""
    name = f"{name} (structure)" if name in (BACKGROUND, IGNORE) else name
    return name if name not in taken else _free(f"{name} 2", taken)
