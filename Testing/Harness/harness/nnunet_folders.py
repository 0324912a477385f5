"""Small folders as nnU-Net v2 leaves them after a training: its files, its names, networks of its own library."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

DATASET = "Dataset004_Hippocampus"
LABELS: dict[str, Any] = {"background": 0, "Anterior": 1, "Posterior": 2}
REGIONS: dict[str, Any] = {"background": 0, "whole": [1, 2], "Posterior": 2}
"""Every voxel of the hippocampus, and which of them are its back."""

Architecture = Literal["plain", "residual"]
_CLASSES = {"plain": "PlainConvUNet", "residual": "ResidualEncoderUNet"}
_RESAMPLING = "resample_data_or_seg_to_shape"


def dataset_json(
    labels: Mapping[str, Any] = LABELS, channels: Sequence[str] = ("MRI",), **more: Any
) -> dict[str, Any]:
    """``dataset.json``; region-based where ``regions_class_order`` is given."""
    return {
        "channel_names": {str(number): name for number, name in enumerate(channels)},
        "labels": dict(labels),
        "numTraining": 3,
        "file_ending": ".nii.gz",
        "name": "Hippocampus",
        "licence": "CC-BY-SA 4.0",
        "reference": "https://medicaldecathlon.com",
    } | more


def architecture(kind: Architecture = "plain", dims: int = 3) -> dict[str, Any]:
    """The entry ``architecture`` of a configuration: three stages, of which the last halves only in plane."""
    blocks = "n_conv_per_stage" if kind == "plain" else "n_blocks_per_stage"
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{_CLASSES[kind]}",
        "arch_kwargs": {
            "n_stages": 3,
            "features_per_stage": [4, 8, 8],
            "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
            "kernel_sizes": [[1, 3, 3][-dims:], [3] * dims, [3] * dims],
            "strides": [[1] * dims, [2] * dims, [1, 2, 2][-dims:]],
            blocks: [2, 2, 2] if kind == "plain" else [1, 2, 2],
            "n_conv_per_stage_decoder": [2, 1] if kind == "plain" else [1, 1],
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def configuration(
    kind: Architecture = "plain", dims: int = 3, channels: int = 1, **changes: Any
) -> dict[str, Any]:
    """One entry of ``configurations`` of ``plans.json``."""
    resampling = {"is_seg": False, "order_z": 0, "force_separate_z": None}
    return {
        "data_identifier": f"nnUNetPlans_{dims}d",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [8, 16, 16][-dims:],
        "median_image_size_in_voxels": [36.0, 50.0, 35.0][-dims:],
        "spacing": [1.5, 1.0, 1.0][-dims:],
        "normalization_schemes": ["ZScoreNormalization"] * channels,
        "use_mask_for_norm": [False] * channels,
        "resampling_fn_data": _RESAMPLING,
        "resampling_fn_seg": _RESAMPLING,
        "resampling_fn_data_kwargs": resampling | {"order": 3},
        "resampling_fn_seg_kwargs": resampling | {"is_seg": True, "order": 1},
        "resampling_fn_probabilities": _RESAMPLING,
        "resampling_fn_probabilities_kwargs": resampling | {"order": 1},
        "batch_dice": False,
        "architecture": architecture(kind, dims),
    } | changes


def plans_json(
    configurations: Mapping[str, Any] | None = None, channels: int = 1, **changes: Any
) -> dict[str, Any]:
    """``plans.json``."""
    intensities = {"max": 900.0, "mean": 300.0, "median": 310.0, "min": 0.0, "std": 90.0}
    intensities |= {"percentile_00_5": 60.0, "percentile_99_5": 700.0}
    return {
        "dataset_name": DATASET,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [1.5, 1.0, 1.0],
        "original_median_shape_after_transp": [24, 50, 35],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": dict(configurations or {"3d_fullres": configuration(channels=channels)}),
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(n): dict(intensities) for n in range(channels)},
    } | changes


def old_plans(plans: Mapping[str, Any]) -> dict[str, Any]:
    """The same plans as nnU-Net wrote them before 2.4: no architecture but its numbers, which plain U-Nets have."""
    old = deepcopy(dict(plans))
    for entry in old["configurations"].values():
        found = entry.pop("architecture")["arch_kwargs"]
        entry |= {
            "UNet_class_name": "PlainConvUNet",
            "UNet_base_num_features": 4,
            "unet_max_num_features": 8,
            "n_conv_per_stage_encoder": found["n_conv_per_stage"],
            "n_conv_per_stage_decoder": found["n_conv_per_stage_decoder"],
            "num_pool_per_axis": [1, 2, 2],
            "pool_op_kernel_sizes": found["strides"],
            "conv_kernel_sizes": found["kernel_sizes"],
        }
    return old


def network(entry: Mapping[str, Any], channels: int, outputs: int, seed: int = 0) -> torch.nn.Module:
    """The network of a configuration, from the library that nnU-Net builds it with; random weights."""
    from dynamic_network_architectures.architectures import unet

    found = deepcopy(entry["architecture"]["arch_kwargs"])
    dims = 2 if found["conv_op"].endswith("2d") else 3
    norm = found["norm_op"].rpartition(".")[2]
    found |= {
        "conv_op": getattr(torch.nn, f"Conv{dims}d"),
        "norm_op": getattr(torch.nn, norm),
        "nonlin": torch.nn.LeakyReLU,
    }
    build = getattr(unet, entry["architecture"]["network_class_name"].rpartition(".")[2])
    torch.manual_seed(seed)
    built: torch.nn.Module = build(channels, num_classes=outputs, deep_supervision=True, **found)
    return built.eval()


def checkpoint(
    weights: Mapping[str, torch.Tensor],
    plans: Mapping[str, Any],
    dataset: Mapping[str, Any],
    name: str = "3d_fullres",
    fold: int | str = 0,
    **changes: Any,
) -> dict[str, Any]:
    """What ``checkpoint_final.pth`` holds, numbers of numpy among it."""
    dims = len(plans["configurations"][name].get("patch_size", (0, 0, 0)))
    return {
        "network_weights": dict(weights),
        "optimizer_state": {
            "state": {0: {"momentum_buffer": torch.zeros(2)}},
            "param_groups": [{"lr": 1e-2}],
        },
        "grad_scaler_state": None,
        "logging": {
            "mean_fg_dice": [np.float32(0.5), np.float64(0.7)],
            "dice_per_class_or_region": [[np.float64(0.6), np.float64(0.8)]],
            "epoch_start_timestamps": [1.0, 2.0],
        },
        "_best_ema": np.float64(0.7),
        "current_epoch": 1000,
        "init_args": {
            "plans": plans,
            "configuration": name,
            "fold": fold,
            "dataset_json": dataset,
            "device": torch.device("cpu"),
        },
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": tuple(range(dims)),
    } | changes


def nnunet_folder(
    root: Path,
    plans: Mapping[str, Any] | None = None,
    dataset: Mapping[str, Any] | None = None,
    *,
    name: str = "3d_fullres",
    folds: Sequence[int | str] = (0,),
    trainer: str = "nnUNetTrainer",
    written: Mapping[str, Any] | None = None,
    outputs: int | None = None,
    **changes: Any,
) -> Path:
    """Write ``ROOT/Dataset.../TRAINER__nnUNetPlans__CONFIGURATION`` and what lies in it.

    Args:
        root: the results folder.
        plans: see :func:`plans_json`.
        dataset: see :func:`dataset_json`.
        name: the configuration that was trained.
        folds: which were trained; each has weights of its own.
        trainer: what trained it.
        written: what stands in ``plans.json`` where that is not ``plans``, such as :func:`old_plans` of them.
        outputs: channels that the network puts out, where labels and regions do not say it.
        changes: entries of the checkpoints.

    Returns:
        The trainer's folder.
    """
    plans, dataset = plans or plans_json(), dataset or dataset_json()
    folder = root / DATASET / f"{trainer}__nnUNetPlans__{name}"
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(written or plans), encoding="utf-8")
    (folder / "dataset.json").write_text(json.dumps(dataset), encoding="utf-8")
    (folder / "dataset_fingerprint.json").write_text("{}", encoding="utf-8")
    regions = "regions_class_order" in dataset
    outputs = outputs or len([value for value in dataset["labels"].values() if value or not regions])
    entry = plans["configurations"][name]
    for number, fold in enumerate(folds):
        built = network(entry, len(dataset["channel_names"]), outputs, seed=number)
        place = folder / f"fold_{fold}"
        (place / "validation").mkdir(parents=True)
        data = checkpoint(built.state_dict(), plans, dataset, name, fold, trainer_name=trainer, **changes)
        torch.save(data, place / "checkpoint_final.pth")
        summary = {
            "foreground_mean": {"Dice": 0.8 + number / 10},
            "mean": {"1": {"Dice": 0.85}, "2": {"Dice": 0.75}},
        }
        (place / "validation" / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder


def exported(root: Path, target: Path) -> Path:
    """The zip that ``nnUNetv2_export_model_to_zip`` makes of a results folder."""
    files = sorted(file for file in root.rglob("*") if file.is_file())  # before the zip is one of them
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.relative_to(root))
    return target
