"""The two configuration files of a MONAI bundle, made from a model card.

MONAI arrays are ``(C, x, y, z)`` with an affine to RAS. Asking its ``Orientation`` for our code backwards
("SPL" for "LPS") gives exactly our ``(C, K, J, I)``, so that patch sizes and spacings stand as they are.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

from medcontext.card_schema import InputSpec, ModelCard
from medcontext.library.monai_extras import KEY, Extras
from medcontext.plan import STORED, Channel, Intensity

Config = dict[str, Any]

_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
_SPACING_TOLERANCE = 0.01
"""Images within 1 % of the model's spacing are not resampled, as in our own preprocessing."""

_MODALITY = {"MRI": "MR", "CT": "CT"}


def metadata(card: ModelCard) -> Config:
    """``configs/metadata.json``: what the model is, and the form of the network's input and output."""
    versions = {name: _version(name) for name in ("monai", "torch", "numpy")}
    modality = card.input.channels[0].modality
    return {
        "schema": _SCHEMA,
        "version": card.version,
        "changelog": {card.version: "exported from a MedContext model folder"},
        "monai_version": versions["monai"],
        "pytorch_version": versions["torch"].partition("+")[0],
        "numpy_version": versions["numpy"],
        "required_packages_version": {
            name: _version(name, oldest) for name, oldest in required_packages(card)
        },
        "optional_packages_version": {
            "pytorch-ignite": _version("pytorch-ignite", "0.4.11"),
            "fire": _version("fire", "0.5.0"),
        },
        "name": card.id,
        "task": card.title,
        "description": f"{card.title}: {', '.join(label.name for label in card.label_set)}.",
        "authors": "see docs/README.md",
        "copyright": f"licence of the weights: {card.license}",
        "data_source": "see docs/README.md",
        "data_type": "nibabel",
        "image_classes": ", ".join(f"{c.name} ({c.modality})" for c in card.input.channels),
        "label_classes": ", ".join(f"{label.value}: {label.name}" for label in card.label_set),
        "pred_classes": ", ".join(f"{index}: {name}" for index, name in enumerate(_classes(card))),
        "eval_metrics": card.training.metrics,
        "intended_use": "Research. It is no medical device.",
        "references": [],
        "labels": card.label_set.to_json(),
        KEY: Extras.of(card).model_dump(mode="json"),
        "network_data_format": {
            "inputs": {"image": _input_format(card, _MODALITY.get(modality, modality))},
            "outputs": {"pred": _output_format(card)},
        },
    }


def inference(card: ModelCard, network: Config | str, *, cpu_only: bool = False) -> Config:
    """``configs/inference.json``: every image of ``dataset_dir`` to a labelmap in ``output_dir``.

    ``run`` needs MONAI and nibabel only; ``evaluator`` is there for programs that drive bundles through
    pytorch-ignite, and is not built otherwise.

    Args:
        card: the model.
        network: ``network_def``: a component, or an expression that loads TorchScript.
        cpu_only: whether the network can run on the CPU only.
    """
    best = "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')"
    load = "$@network.load_state_dict(torch.load(@checkpoint, map_location=@device, weights_only=True))"
    return {
        "imports": ["$import glob", "$import os", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$os.path.join(@bundle_root, 'images')",
        "output_dir": "$os.path.join(@bundle_root, 'eval')",
        "checkpoint": "$os.path.join(@bundle_root, 'models', 'model.pt')",
        "device": "$torch.device('cpu')" if cpu_only else best,
        "datalist": _datalist(len(card.input.channels)),
        "network_def": network,
        "network": "$@network_def.to(@device)",
        "load_weights": load if isinstance(network, dict) else "$None",
        **_components(card),
        "predict": "$torch.no_grad()(lambda image: @inferer(image[None].to(@device), @network)[0])",
        "run": [
            "@load_weights",
            "$@network.eval()",
            "$[@postprocessing({**item, 'pred': @predict(item['image'])}) for item in @dataset]",
        ],
    }


def _components(card: ModelCard) -> Config:
    """The parts of the workflow that MONAI's programs look for by name."""
    items = "$[{'image': image} for image in @datalist]"
    return {
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(card)},
        "dataset": {"_target_": "Dataset", "data": items, "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": list(card.input.patch_size),
            "sw_batch_size": 1,
            "overlap": card.inference.overlap,
            "mode": "gaussian",
            "sigma_scale": 0.125,
        },
        "postprocessing": {"_target_": "Compose", "transforms": _postprocessing(card)},
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "_requires_": "@load_weights",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
    }


def required_packages(card: ModelCard) -> list[tuple[str, str]]:
    """Packages beside MONAI and the oldest version that will do where none is installed here."""
    components = [("scikit-image", "0.22.0")] if card.inference.postprocess.largest_component else []
    return [("nibabel", "5.2.0"), *components]


def _version(package: str, otherwise: str = "") -> str:
    """The version installed here, which the bundle is known to work with."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return otherwise


def _classes(card: ModelCard) -> list[str]:
    return ["background", *(label.name for label in card.label_set)]


def _input_format(card: ModelCard, modality: str) -> Config:
    scaled = all(channel.intensity.kind == "rescale" for channel in card.input.channels)
    return {
        "type": "image",
        "format": "hounsfield" if modality == "CT" else "magnitude",
        "modality": modality,
        "num_channels": len(card.input.channels),
        "spatial_shape": list(card.input.patch_size),
        "dtype": "float32",
        "value_range": [0, 1] if scaled else [],
        "is_patch_data": True,
        "channel_def": {str(index): channel.name for index, channel in enumerate(card.input.channels)},
    }


def _output_format(card: ModelCard) -> Config:
    return {
        "type": "image",
        "format": "segmentation",
        "num_channels": card.classes,
        "spatial_shape": list(card.input.patch_size),
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
        "channel_def": {str(index): name for index, name in enumerate(_classes(card))},
    }


def _datalist(channels: int) -> str:
    """One file a case, or ``case_0000.nii.gz``, ``case_0001.nii.gz``, ... with several channels."""
    if channels == 1:
        return "$sorted(glob.glob(os.path.join(@dataset_dir, '*.nii.gz')))"
    first = "sorted(glob.glob(os.path.join(@dataset_dir, '*_0000.nii.gz')))"
    others = f"[path[:-11] + f'{{channel:04d}}.nii.gz' for channel in range({channels})]"
    return f"$[{others} for path in {first}]"


def _preprocessing(card: ModelCard) -> list[Config]:
    low = [spacing * (1 - _SPACING_TOLERANCE) for spacing in card.input.spacing]
    high = [spacing * (1 + _SPACING_TOLERANCE) for spacing in card.input.spacing]
    return [
        {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
        {"_target_": "EnsureTyped", "keys": "image", "dtype": "$torch.float32"},
        *_orientation(card.input),
        *_intensity(card.input.channels),
        {
            "_target_": "Spacingd",
            "keys": "image",
            "pixdim": list(card.input.spacing),
            "min_pixdim": low,
            "max_pixdim": high,
            "mode": 3 if card.inference.resample.order == 3 else "bilinear",
            # Outer voxel faces coincide, as in our resampling; MONAI's default keeps the first centre.
            "scale_extent": True,
            "align_corners": True,
        },
    ]


def _orientation(spec: InputSpec) -> list[Config]:
    """MONAI's arrays are (i, j, k): what stays as it is stored lies there as the axes of ours turned round."""
    if spec.orientation == STORED:
        return []
    codes = spec.orientation[::-1]
    return [
        {
            "_target_": "Orientationd",
            "keys": "image",
            "axcodes": "".join(codes[axis] for axis in spec.transpose),
            "labels": None,
        }
    ]


def _intensity(channels: list[Channel]) -> list[Config]:
    if all(channel.intensity == channels[0].intensity for channel in channels):
        return _normalise("image", channels[0].intensity)
    keys = [f"image_{index}" for index in range(len(channels))]
    postfixes = [str(index) for index in range(len(channels))]
    split = {
        "_target_": "SplitDimd",
        "keys": "image",
        "dim": 0,
        "keepdim": True,
        "output_postfixes": postfixes,
    }
    steps = [step for key, c in zip(keys, channels, strict=True) for step in _normalise(key, c.intensity)]
    return [
        split,
        *steps,
        {"_target_": "ConcatItemsd", "keys": keys, "name": "image", "dim": 0},
        {"_target_": "DeleteItemsd", "keys": keys},
    ]


def _normalise(key: str, intensity: Intensity) -> list[Config]:
    low, high = intensity.percentiles
    if intensity.kind == "zscore":
        clip = {"_target_": "ClipIntensityPercentilesd", "keys": key, "lower": low, "upper": high}
        scale = {"_target_": "NormalizeIntensityd", "keys": key, "channel_wise": True}
        scale |= {"nonzero": True} if intensity.within_nonzero else {}
        return [scale] if (low, high) == (0, 100) else [{**clip, "channel_wise": True}, scale]
    if intensity.kind == "rescale":
        return [
            {"_target_": "ScaleIntensityRangePercentilesd", "keys": key, "lower": low, "upper": high}
            | {"b_min": 0.0, "b_max": 1.0, "clip": True, "channel_wise": True}
        ]
    if intensity.kind == "ct":
        limits = {
            "a_min": intensity.low,
            "a_max": intensity.high,
            "b_min": intensity.low,
            "b_max": intensity.high,
        }
        return [
            {"_target_": "ScaleIntensityRanged", "keys": key, **limits, "clip": True},
            {
                "_target_": "NormalizeIntensityd",
                "keys": key,
                "subtrahend": intensity.mean,
                "divisor": intensity.std,
            },
        ]
    return []


def _postprocessing(card: ModelCard) -> list[Config]:
    values = [0, *card.label_set.values]
    steps: list[Config] = [
        # Logits go back to the image's grid before the largest is taken: borders stay smooth.
        {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": False,
            "to_tensor": True,
        },
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
    ]
    if values != list(range(len(values))):
        steps.append(
            {
                "_target_": "MapLabelValued",
                "keys": "pred",
                "orig_labels": list(range(len(values))),
                "target_labels": values,
                "dtype": "$torch.uint8",
            }
        )
    if card.inference.postprocess.largest_component:
        kept = list(card.inference.postprocess.largest_component)
        steps.append(
            {"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": kept}
            | {"independent": True, "is_onehot": False, "connectivity": 3}
        )
    save = {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "output_postfix": "seg"}
    # Nothing is resampled any more; with False MONAI 1.6.1 fails on images that are not axial.
    return [
        *steps,
        {**save, "separate_folder": False, "resample": True, "mode": "nearest", "output_dtype": "uint8"},
    ]
