"""What our program makes of a MONAI bundle, beside what ``monai.bundle`` makes of it.

    python Testing/Benchmarks/monai_bundle.py --work OUT --data ../shared/data

``monai.bundle`` lays out a bundle with a DynUNet, which plain MONAI trains for a while on the four annotated cases
of the sample. ``monai.bundle`` segments the test cases with the bundle's own configuration; the bundle is imported by
``medcontext model import`` and segments them too. Compared are the labels voxel by voxel, the Dice and the time; then
the model is fine-tuned for two minutes on the same cases. What is there already in ``--work`` is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from comparing import SAMPLE, agreement, mean_dice, test_cases
from record import SHARED, write_result

PREPROCESSING = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
    {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
    {"_target_": "Spacingd", "keys": "image", "pixdim": [1.0, 1.0, 1.0], "mode": "bilinear"},
    {"_target_": "NormalizeIntensityd", "keys": "image"},
    {"_target_": "EnsureTyped", "keys": "image"},
]

INFERENCE: dict[str, Any] = {
    "imports": ["$import glob", "$import os", "$import torch"],
    "bundle_root": ".",
    "dataset_dir": ".",
    "output_dir": ".",
    "device": "$torch.device('cpu')",
    "datalist": "$[{'image': path} for path in sorted(glob.glob(os.path.join(@dataset_dir, '*.nii.gz')))]",
    "network_def": {
        "_target_": "DynUNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 3,
        "kernel_size": [3, 3, 3, 3],
        "strides": [1, 2, 2, 2],
        "upsample_kernel_size": [2, 2, 2],
        "filters": [8, 16, 32, 64],
    },
    "network": "$@network_def.to(@device)",
    "preprocessing": {"_target_": "Compose", "transforms": PREPROCESSING},
    "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
    "inferer": {
        "_target_": "SlidingWindowInferer",
        "roi_size": [48, 64, 48],
        "sw_batch_size": 1,
        "overlap": 0.5,
        "mode": "gaussian",
    },
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {
                "_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image",
                "nearest_interp": False, "to_tensor": True,
            },
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {
                "_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "output_postfix": "pred",
                "separate_folder": False, "print_log": False,
            },
        ],
    },
    "load": "$@network.load_state_dict(torch.load(@bundle_root + '/models/model.pt', weights_only=True))",
    "initialize": ["$torch.set_grad_enabled(False)", "$@load", "$@network.eval()"],
    "run": [
        "$[@postprocessing({**case, 'pred': @inferer(case['image'][None], @network)[0]}) for case in @dataset]"
    ],
}  # fmt: skip

METADATA: dict[str, Any] = {
    "version": "1.0.0",
    "task": "Segmentation of the hippocampus in crops of T1 MR",
    "authors": "MedContext benchmark",
    "copyright": "Weights: CC-BY-SA 4.0, as the images",
    "network_data_format": {
        "inputs": {
            "image": {
                "type": "image", "format": "magnitude", "modality": "MR", "num_channels": 1,
                "spatial_shape": [48, 64, 48], "dtype": "float32", "value_range": [], "is_patch_data": True,
                "channel_def": {"0": "T1"},
            }
        },
        "outputs": {
            "pred": {
                "type": "image", "format": "segmentation", "num_channels": 3, "spatial_shape": [48, 64, 48],
                "dtype": "float32", "value_range": [0, 1], "is_patch_data": True,
                "channel_def": {"0": "background", "1": "Anterior", "2": "Posterior"},
            }
        },
    },
}  # fmt: skip


def main() -> None:
    """Make the bundle, segment on both sides, fine-tune; write all numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--minutes", type=float, default=2, help="Of fine-tuning.")
    arguments = parser.parse_args()
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    os.environ["MEDCONTEXT_HOME"] = str((work / "home").absolute())
    tests = test_cases(arguments.data)
    images = work / "images"
    images.mkdir(exist_ok=True)
    for image, _ in tests:
        shutil.copyfile(image, images / image.name)
    bundle = work / "bundle"
    if not (bundle / "models/model.pt").exists():
        make_bundle(bundle, arguments.steps)
    theirs = theirs_of(bundle, images, work / "theirs")
    ours = ours_of(bundle, images, work)
    names = [image.name.split(".")[0] for image, _ in tests]
    truths = {image.name.split(".")[0]: labels for image, labels in tests}
    theirs |= {"dice": mean_dice({n: work / "theirs" / f"{n}_pred.nii.gz" for n in names}, truths)}
    result: dict[str, Any] = {"cases": len(names), "steps": arguments.steps, "monai.bundle": theirs}
    for precision, facts in ours.items():
        found = {n: work / precision / f"{n}.nii.gz" for n in names}
        facts |= agreement({n: work / "theirs" / f"{n}_pred.nii.gz" for n in names}, found)
        facts |= {
            "times_as_fast": round(theirs["seconds"] / facts["seconds"], 2),
            "dice": mean_dice(found, truths),
        }
        result[f"ours, {precision}"] = facts
    result["fine-tuned"] = {"minutes": arguments.minutes, "dice": fine_tuned(arguments, images, truths)}
    print(json.dumps(result, indent=1))
    write_result("monai_bundle", result)


def make_bundle(bundle: Path, steps: int) -> None:
    """A bundle laid out by ``monai.bundle`` and trained by plain MONAI."""
    import torch
    from monai.bundle import ConfigParser, init_bundle

    shutil.rmtree(bundle, ignore_errors=True)
    parser = ConfigParser(INFERENCE)
    network = parser.get_parsed_content("network_def")
    bundle.parent.mkdir(parents=True, exist_ok=True)
    init_bundle(bundle_dir=str(bundle), network=network)
    (bundle / "configs").mkdir(exist_ok=True)
    for path in (bundle / "configs").iterdir():
        path.unlink()
    ConfigParser.export_config_file(METADATA, str(bundle / "configs/metadata.json"), indent=1)
    ConfigParser.export_config_file(INFERENCE, str(bundle / "configs/inference.json"), indent=1)
    train(network, steps)
    (bundle / "models").mkdir(exist_ok=True)
    torch.save(network.state_dict(), bundle / "models/model.pt")


def train(network: Any, steps: int) -> None:
    """Random crops of the annotated cases, Dice and cross-entropy, as MONAI's tutorials do it."""
    import torch
    from monai.data import CacheDataset, DataLoader
    from monai.losses import DiceCELoss
    from monai.transforms import (
        Compose,
        EnsureChannelFirstd,
        LoadImaged,
        NormalizeIntensityd,
        Orientationd,
        RandSpatialCropd,
        ResizeWithPadOrCropd,
        Spacingd,
    )
    from monai.utils import set_determinism

    set_determinism(0)
    both = ("image", "label")
    entries = json.loads((SAMPLE / "dataset.json").read_text())["training"]
    files = [{"image": str(SAMPLE / e["image"]), "label": str(SAMPLE / e["label"])} for e in entries]
    transforms = Compose([
        LoadImaged(both), EnsureChannelFirstd(both), Orientationd(both, axcodes="RAS"),
        Spacingd(both, pixdim=(1.0, 1.0, 1.0), mode=("bilinear", "nearest")), NormalizeIntensityd("image"),
        ResizeWithPadOrCropd(both, (48, 64, 48)), RandSpatialCropd(both, (40, 48, 40), random_size=False),
    ])  # fmt: skip
    loader = DataLoader(CacheDataset(files, transforms, progress=False), batch_size=2, shuffle=True)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True)
    network.train()
    done = 0
    while done < steps:
        for batch in loader:
            optimiser.zero_grad()
            loss_of(network(batch["image"]), batch["label"]).backward()
            optimiser.step()
            done += 1
    network.eval()


def theirs_of(bundle: Path, images: Path, output: Path) -> dict[str, Any]:
    """What ``monai.bundle`` says of the images; the workflow is built beforehand."""
    import torch
    from monai.bundle import ConfigWorkflow

    shutil.rmtree(output, ignore_errors=True)
    workflow = ConfigWorkflow(
        str(bundle / "configs/inference.json"), str(bundle / "configs/metadata.json"), workflow_type="inference",
        logging_file=False, bundle_root=str(bundle), dataset_dir=str(images), output_dir=str(output),
    )  # fmt: skip
    workflow.initialize()
    began, cpu = time.perf_counter(), time.process_time()
    workflow.run()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2), "threads": torch.get_num_threads()}


def ours_of(bundle: Path, images: Path, work: Path) -> dict[str, dict[str, Any]]:
    """What our program says of them, with the model loaded within the time, in fp32 and as it chooses itself."""
    import torch

    from medcontext.api import segment

    if not (work / "home/models/from-monai").exists():
        command = [sys.executable, "-m", "medcontext", "model", "import", str(bundle), "--id", "from-monai"]
        subprocess.run(command, check=True)
    result = {}
    for precision in ("fp32", "auto"):
        shutil.rmtree(work / precision, ignore_errors=True)
        began, cpu = time.perf_counter(), time.process_time()
        segment(sorted(images.iterdir()), "from-monai", work / precision, precision=precision, device="cpu")
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        result[precision] = {
            "seconds": round(seconds, 2),
            "cpu_seconds": round(cpu, 2),
            "threads": torch.get_num_threads(),
        }
    return result


def fine_tuned(arguments: argparse.Namespace, images: Path, truths: dict[str, Path]) -> dict[str, float]:
    """Dice after two minutes of MedContext from the imported model."""
    from medcontext.api import segment

    model, output = arguments.work / "child", arguments.work / "child_labels"
    if not (model / "model.json").exists():
        command = ["finetune", "--init-from", "from-monai", "--data", str(SAMPLE), "--method", "medcontext"]
        command += ["--minutes", str(arguments.minutes), "-o", str(model)]
        subprocess.run([sys.executable, "-m", "medcontext", *command], check=True)
    segment(sorted(images.iterdir()), model, output, overwrite=True, device="cpu")
    return mean_dice({n: output / f"{n}.nii.gz" for n in truths}, truths)


if __name__ == "__main__":
    main()
