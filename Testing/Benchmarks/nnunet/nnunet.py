"""What our program makes of a model of nnU-Net, beside what nnU-Net makes of it.

    sh Testing/Benchmarks/nnunet/make_environment.sh FOLDER
    python Testing/Benchmarks/nnunet/nnunet.py --python FOLDER/bin/python --work OUT --data ../shared/data

nnU-Net trains tiny models (``reference.py``) on the bundled hippocampus cases: plain, residual, with region-based
classes and of single slices; and one on CT. Each is imported by ``medcontext model import`` and segments the
test images: hippocampus crops, and CT scans on finer, thicker and turned grids than its own. Compared are the
labels voxel by voxel, the Dice and the time; then the plain model is fine-tuned for two minutes by ``medcontext
finetune --method medcontext`` on the same cases. What is there already in ``--work`` is not made again.
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

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from comparing import SAMPLE, agreement, mean_dice, test_cases
from record import SHARED, write_result
from reference import HIPPOCAMPUS, MODELS, NESTED, ORGANS, tests_of

from medcontext.api import read_image, read_labelmap, segment
from medcontext.geometry import Volume
from medcontext.io import write_labelmap, write_volume

CASES = 12
"""Hippocampus crops, the first of the 50 test cases: each window is computed 8 times (mirrored), with two folds 16."""


def main() -> None:
    """Do what is missing; write all that is known at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", type=Path, required=True, help="Python of the environment with nnU-Net.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--models", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--minutes", type=float, default=2, help="Of fine-tuning.")
    parser.add_argument("--again", action="store_true", help="Segment again what is segmented.")
    arguments = parser.parse_args()
    inputs = arguments.work / "inputs"
    if not inputs.exists():
        make_inputs(arguments.data, inputs)
    run_reference(arguments, inputs)
    reference = json.loads((arguments.work / "reference.json").read_text())
    os.environ["MEDCONTEXT_HOME"] = str((arguments.work / "home").absolute())
    results = arguments.work / "compared.json"
    known: dict[str, Any] = json.loads(results.read_text()) if results.exists() else {}
    truths = {image.name.split(".")[0]: labels for image, labels in test_cases(arguments.data)[:CASES]}
    for name in arguments.models:
        if arguments.again or name not in known:
            known[name] = compared(arguments.work, name, reference["models"][name], truths)
            print(name, json.dumps(known[name], indent=1))
            results.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    if "plain" in known and (arguments.again or "fine-tuned" not in known):
        known["fine-tuned"] = fine_tuned(arguments, known["plain"], truths)
        results.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    write_result(
        "nnunet", {"nnU-Net": {k: v for k, v in reference.items() if k != "models"}, "models": known}
    )


def compared(work: Path, name: str, reference: dict[str, Any], truths: dict[str, Path]) -> dict[str, Any]:
    """Import a model, segment the test images, and compare with what nnUNetPredictor said of them."""
    import torch

    home = work / "home/models" / f"nnunet-{name}"
    if not home.exists():
        medcontext("model", "import", str(work / reference["folder"]), "--id", home.name)
    images = sorted((work / "inputs" / tests_of(name)).glob("*.nii.gz"))
    cases = [path.name.removesuffix("_0000.nii.gz") for path in images]
    theirs = {case: work / "predicted" / name / f"{case}.nii.gz" for case in cases}
    known = all(case in truths for case in cases)
    timed = {key: reference[key] for key in ("seconds", "cpu_seconds", "threads")}
    result: dict[str, Any] = {
        "cases": len(cases),
        "nnU-Net": timed | ({"dice": mean_dice(theirs, truths)} if known else {}),
    }
    for precision in ("fp32", "auto"):
        output = work / "ours" / name / precision
        shutil.rmtree(output, ignore_errors=True)
        began, cpu = time.perf_counter(), time.process_time()
        segment(images, home, output, precision=precision, device="cpu")
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        ours = {case: output / f"{case}_0000.nii.gz" for case in cases}
        facts: dict[str, Any] = {"seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2)}
        facts |= {
            "threads": torch.get_num_threads(),
            "times_as_fast": round(reference["seconds"] / seconds, 2),
        }
        facts |= agreement(theirs, ours)
        result[f"ours, {precision}"] = facts | ({"dice": mean_dice(ours, truths)} if known else {})
    return result


def fine_tuned(
    arguments: argparse.Namespace, parent: dict[str, Any], truths: dict[str, Path]
) -> dict[str, Any]:
    """Two minutes of MedContext from the imported model on the cases that nnU-Net learnt from."""
    model, output = arguments.work / "child", arguments.work / "ours/child"
    minutes = str(arguments.minutes)
    if not (model / "model.json").exists():
        command = ["finetune", "--init-from", "nnunet-plain", "--data", str(SAMPLE), "--method", "medcontext"]
        medcontext(*command, "--minutes", minutes, "-o", str(model))
    images = sorted((arguments.work / "inputs/tests").glob("*.nii.gz"))
    segment(images, model, output, overwrite=True, device="cpu")
    found = {case: output / f"{case}_0000.nii.gz" for case in truths}
    return {
        "minutes": arguments.minutes,
        "dice_before": parent["ours, fp32"]["dice"],
        "dice_after": mean_dice(found, truths),
    }


def medcontext(*arguments: str) -> None:
    """The command, as a person gives it."""
    subprocess.run([sys.executable, "-m", "medcontext", *arguments], check=True)


def make_inputs(data: Path, inputs: Path) -> None:
    """Data sets in nnU-Net's form, and the images that the models are tried on."""
    scratch = inputs.with_name(inputs.name + ".part")
    shutil.rmtree(scratch, ignore_errors=True)
    sample = json.loads((SAMPLE / "dataset.json").read_text())
    cases = [SAMPLE / entry["image"] for entry in sample["training"]]
    pairs = [(path, path.parents[1] / "labels" / path.name) for path in cases]
    data_set(scratch, "Dataset501_Hippocampus", "MRI", HIPPOCAMPUS, pairs)
    data_set(scratch, "Dataset502_HippocampusRegions", "MRI", NESTED, pairs)
    for image, _ in test_cases(data)[:CASES]:
        copied(image, scratch / "tests" / f"{image.name.split('.')[0]}_0000.nii.gz")
    scan = data / "ct_torso/images/ct_torso_3mm.nii.gz"
    if scan.exists():
        torso = read_image([scan])
        labels = read_labelmap(data / "ct_torso/labels" / scan.name)
        few = Volume(np.where(labels.array <= max(ORGANS.values()), labels.array, 0), labels.geometry)
        pairs = []
        for name, rows in (("lower", slice(0, 80)), ("upper", slice(30, 112)), ("whole", slice(0, None))):
            part = torso.shape[0] if rows.stop is None else rows.stop
            image = torso.crop((rows.start, 0, 0), (part - rows.start, *torso.shape[1:]))
            truth = few.crop((rows.start, 0, 0), (part - rows.start, *torso.shape[1:]))
            pairs.append((scratch / f"{name}.nii.gz", scratch / f"{name}.labels.nii.gz"))
            write_volume(pairs[-1][0], image)
            write_labelmap(pairs[-1][1], truth)
        data_set(scratch, "Dataset503_Torso", "CT", ORGANS, pairs)
        for name, image in ct_tests(data, torso):
            path = scratch / "tests_ct" / f"{name}_0000.nii.gz"
            path.parent.mkdir(exist_ok=True)
            write_volume(path, image)
    scratch.rename(inputs)


def ct_tests(data: Path, torso: Volume) -> list[tuple[str, Volume]]:
    """CT on other grids than the model's: as trained, finer, in thick slices, and stored in another order."""
    fine = read_image([data / "ct_torso/images/cta_aorta_crop.nii.gz"])
    thick = torso.geometry.shape[0] // 4
    every = Volume(
        torso.array[:, : 4 * thick : 4],
        torso.geometry.cropped((0, 0, 0), (4 * thick, *torso.shape[1:])).resampled((thick, *torso.shape[1:])),
    )
    return [
        ("same_grid", torso),
        ("finer", fine),
        ("thick_slices", every),
        ("sagittal", torso.reorient("PIR")),
    ]


def data_set(
    folder: Path, name: str, modality: str, labels: dict[str, Any], pairs: list[tuple[Path, Path]]
) -> None:
    """A data set in the folders that nnU-Net reads."""
    root = folder / "raw" / name
    for index, (image, truth) in enumerate(pairs):
        copied(image, root / "imagesTr" / f"case{index}_0000.nii.gz")
        copied(truth, root / "labelsTr" / f"case{index}.nii.gz")
    facts: dict[str, Any] = {
        "channel_names": {"0": modality},
        "labels": labels,
        "numTraining": len(pairs),
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
        "licence": "CC-BY-SA 4.0" if modality == "MRI" else "Apache-2.0",
    }
    if any(isinstance(value, list) for value in labels.values()):
        facts["regions_class_order"] = [1, 2]
    (root / "dataset.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


def copied(source: Path, target: Path) -> None:
    """Copy a file into a folder that need not be there yet."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def run_reference(arguments: argparse.Namespace, inputs: Path) -> None:
    """Let nnU-Net train and segment."""
    script = Path(__file__).with_name("reference.py")
    command = [str(arguments.python), str(script), "--inputs", str(inputs), "--work", str(arguments.work)]
    again = ["--again"] if arguments.again else []
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([*command, "--models", *arguments.models, *again], check=True, env=environment)


if __name__ == "__main__":
    main()
