"""The other side of ``nnunet.py``: nnU-Net itself trains tiny models and segments with them.

Runs in an environment of its own, made by ``make_environment.sh``, and writes to ``--work``:

    raw/ preprocessed/ results/   nnU-Net's three folders
    predicted/MODEL/CASE.nii.gz   what nnUNetPredictor says of the test images
    reference.json                seconds, versions and settings

The networks are an eighth as wide as nnU-Net's own, and are trained for minutes instead of a day: what is compared is
what two programs make of the same weights, not how good the weights are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

WIDTH = 8
"""Features of the first stage; nnU-Net has 32 and more."""


HIPPOCAMPUS = {"background": 0, "Anterior": 1, "Posterior": 2}
NESTED = {"background": 0, "hippocampus": [1, 2], "Posterior": 2}
ORGANS = {"background": 0, "spleen": 1, "right kidney": 2, "left kidney": 3}

MODELS: dict[str, dict[str, Any]] = {
    "plain": {
        "data": 501,
        "planner": "ExperimentPlanner",
        "configuration": "3d_fullres",
        "folds": [0, 1],
        "epochs": 10,
        "steps": 50,
    },
    "residual": {
        "data": 501,
        "planner": "nnUNetPlannerResEncM",
        "configuration": "3d_fullres",
        "folds": ["all"],
        "epochs": 5,
        "steps": 50,
    },
    "regions": {
        "data": 502,
        "planner": "ExperimentPlanner",
        "configuration": "3d_fullres",
        "folds": ["all"],
        "epochs": 5,
        "steps": 50,
    },
    "2d": {
        "data": 501,
        "planner": "ExperimentPlanner",
        "configuration": "2d",
        "folds": ["all"],
        "epochs": 5,
        "steps": 50,
    },
    "ct": {
        "data": 503,
        "planner": "ExperimentPlanner",
        "configuration": "3d_fullres",
        "folds": ["all"],
        "epochs": 5,
        "steps": 10,
    },
}
"""Planner, configuration, folds and epochs of each; that of CT clips Hounsfield units and resamples its images."""


def main() -> None:
    """Make the data sets, train what is not trained yet, segment the test images and time it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--inputs", type=Path, required=True, help="Made by nnunet.py: data sets and test images."
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--models", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--again", action="store_true", help="Segment again what is segmented.")
    arguments = parser.parse_args()
    for name in ("raw", "preprocessed", "results"):
        (arguments.work / name).mkdir(parents=True, exist_ok=True)
        os.environ[f"nnUNet_{name}"] = str((arguments.work / name).absolute())
    os.environ |= {"nnUNet_def_n_proc": "2", "nnUNet_compile": "f"}
    record = arguments.work / "reference.json"
    known = json.loads(record.read_text()) if record.exists() else {"models": {}}
    known["versions"] = {
        name: version(name) for name in ("nnunetv2", "torch", "dynamic-network-architectures")
    }
    known["python"] = platform.python_version()
    for name in arguments.models:
        folder = trained(arguments, name)
        target = arguments.work / "predicted" / name
        if arguments.again or not target.exists():
            shutil.rmtree(target, ignore_errors=True)
            entry = known["models"].setdefault(name, {})
            entry |= predict(folder, MODELS[name]["folds"], arguments.inputs / tests_of(name), target)
            entry["folder"] = str(folder.relative_to(arguments.work))
            record.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def tests_of(name: str) -> str:
    """The folder of the images that a model is tried on."""
    return "tests_ct" if MODELS[name]["data"] == 503 else "tests"


def trained(arguments: argparse.Namespace, name: str) -> Path:
    """The folder of a trained model."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )

    model = MODELS[name]
    source = next((arguments.inputs / "raw").glob(f"Dataset{model['data']}_*"))
    plans = "nnUNetResEncUNetMPlans" if model["planner"] == "nnUNetPlannerResEncM" else "nnUNetPlans"
    target = arguments.work / "raw" / source.name
    if not target.exists():
        shutil.copytree(source, target)
        extract_fingerprints([model["data"]], num_processes=2)
    prepared = arguments.work / "preprocessed" / source.name
    if not (prepared / f"{plans}.json").exists():
        os.environ |= {"nnUNet_n_proc_DA": "2"}  # planning takes it for the number of threads
        plan_experiments([model["data"]], model["planner"])
        make_tiny(prepared / f"{plans}.json")
    data = json.loads((prepared / f"{plans}.json").read_text())
    identifier = data["configurations"][model["configuration"]]["data_identifier"]
    if not (prepared / identifier).exists():
        preprocess([model["data"]], plans, [model["configuration"]], [2])
    folder = arguments.work / "results" / source.name / f"nnUNetTrainer__{plans}__{model['configuration']}"
    for fold in model["folds"]:
        if not (folder / f"fold_{fold}" / "checkpoint_final.pth").exists():
            train(prepared, plans, model["configuration"], fold, model)
    return folder


def make_tiny(path: Path) -> None:
    """Narrow networks, small batches."""
    plans = json.loads(path.read_text())
    for configuration in plans["configurations"].values():
        if "architecture" in configuration:
            kwargs = configuration["architecture"]["arch_kwargs"]
            kwargs["features_per_stage"] = [min(WIDTH * 2**n, 80) for n in range(kwargs["n_stages"])]
            configuration["batch_size"] = min(
                configuration["batch_size"], 8 if len(configuration["patch_size"]) == 2 else 2
            )
    path.write_text(json.dumps(plans, indent=4))


def train(prepared: Path, plans: str, configuration: str, fold: int | str, model: dict[str, Any]) -> None:
    """Train one fold on the CPU."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoDA import nnUNetTrainerNoDA

    splits = prepared / "splits_final.json"
    if not splits.exists():
        cases = sorted(path.name.split(".")[0] for path in (prepared / "gt_segmentations").iterdir())
        splits.write_text(
            json.dumps(
                [{"train": cases[:i] + cases[i + 1 :] or cases, "val": [cases[i]]} for i in range(len(cases))]
            )
        )
    data = json.loads((prepared / f"{plans}.json").read_text())
    data["continue_training"] = False
    os.environ |= {"nnUNet_n_proc_DA": "0"}  # cases are read in this process: two cores have no room for more
    trainer = nnUNetTrainer(
        data, configuration, fold, json.loads((prepared / "dataset.json").read_text()), torch.device("cpu")
    )
    trainer.num_epochs, trainer.num_iterations_per_epoch = (
        model["epochs"],
        model["steps"],
    )  # nnU-Net: 1000, 250
    trainer.num_val_iterations_per_epoch = 1
    # Augmentation takes most of the time on a processor, and nothing of it is compared; mirrored axes stay.
    trainer.get_training_transforms = nnUNetTrainerNoDA.get_training_transforms
    rotation, dummy, _, axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    patch = trainer.configuration_manager.patch_size
    trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size = lambda: (
        rotation,
        dummy,
        patch,
        axes,
    )
    trainer.run_training()


def predict(folder: Path, folds: list[int | str], images: Path, target: Path) -> dict[str, Any]:
    """Segment a folder of images with nnUNetPredictor and say how long it took.

    One process and the model loaded beforehand, as ours; reading and writing are counted on both sides.
    """
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(
        tile_step_size=0.5, use_gaussian=True, use_mirroring=True, perform_everything_on_device=False,
        device=torch.device("cpu"), verbose=False, verbose_preprocessing=False, allow_tqdm=False,
    )  # fmt: skip
    predictor.initialize_from_trained_model_folder(str(folder), folds, "checkpoint_final.pth")
    cases = sorted(images.glob("*_0000.nii.gz"))
    target.mkdir(parents=True)
    names = [path.name.removesuffix("_0000.nii.gz") for path in cases]
    began, cpu = time.perf_counter(), time.process_time()
    predictor.predict_from_files_sequential([[str(c)] for c in cases], [str(target / n) for n in names])
    return {
        "cases": len(cases),
        "seconds": round(time.perf_counter() - began, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    main()
