"""From the click to the segmentation node, without the Slicer application: the module's logic on real MRML.

    python Testing/Benchmarks/module_speed.py

Each row starts the module's logic as the Segment button does and polls it every 5 ms as the panel's timer does, so
"blocked" is how long Slicer's event loop would have stood still. "Beyond the network" is everything but the windows
that go through the network: copying the scan to the worker, resampling, labelling, sending back, writing segments.

The CT of 512x512x300 is ct_torso_3mm interpolated to that grid. Its two models are trained here on the same scan for a
few minutes (``--minutes``), only so that organs of true size are written; they say nothing about quality. The 60
labels are the reference labels of that scan on the same grid; they are only written, nothing is computed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import REPOSITORY, SHARED, write_result

for _folder in ("Testing/Harness", "MedContextSegment"):
    sys.path.insert(0, str(REPOSITORY / _folder))

ORGANS = {3: (2, 3, 5), 14: (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 18)}
"""Values of ct_torso: both kidneys and the liver; abdominal organs and the lobes of the lungs."""
GRID = (300, 512, 512)
SEGMENT, REST = "segment", "beyond the network"


def a_model(count: int, folder: Path, minutes: float) -> Path:
    """A model of ``count`` organs, trained on the scan it will be applied to."""
    from medcontext import api
    from medcontext.geometry import Volume
    from medcontext.io import read_labelmap, write_labelmap

    target = folder / f"ct_{count}_organs"
    if (target / "model.json").exists():
        return target
    source, store = SHARED / "ct_torso", folder / f"store_{count}"
    names = json.loads((source / "dataset.json").read_text(encoding="utf-8"))["labels"]
    reference = read_labelmap(source / "labels/ct_torso_3mm.nii.gz")
    chosen = np.zeros_like(reference.array)
    for value, organ in enumerate(ORGANS[count], 1):
        chosen[reference.array == organ] = value
    entries = []
    for case in ("a", "b"):  # a training and a validation case are asked for
        for kind in ("images", "labels"):
            (store / kind).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / "images/ct_torso_3mm.nii.gz", store / f"images/{case}.nii.gz")
        write_labelmap(store / f"labels/{case}.nii.gz", Volume(chosen, reference.geometry))
        entries.append({"image": f"./images/{case}.nii.gz", "label": f"./labels/{case}.nii.gz"})
    labels = {"0": "background"} | {str(v): names[str(o)] for v, o in enumerate(ORGANS[count], 1)}
    description = {
        "name": f"{count} organs",
        "modality": {"0": "CT"},
        "labels": labels,
        "training": entries,
        "test": [],
    }
    (store / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    api.train(api.TrainRequest(data=store, output=target, method="supervised", minutes=minutes))
    return target


def large_grid(array: np.ndarray, *, labels: bool) -> np.ndarray:
    """An array ``(K, J, I)`` on the grid of 512x512x300 voxels over the same box."""
    import torch
    from torch.nn import functional

    tensor = torch.from_numpy(array.astype(np.float32))[None, None]
    how = {"mode": "nearest"} if labels else {"mode": "trilinear", "align_corners": False}
    large = functional.interpolate(tensor, GRID, **how)[0, 0].numpy()
    return large.astype(np.uint8 if labels else np.int16)


def a_volume(path: Path, array: np.ndarray | None = None) -> Any:
    """A scan as a volume node; with ``array`` those voxels instead, over the same box."""
    import slicer

    node = slicer.util.loadVolume(str(path))
    if array is None:
        return node
    before = slicer.util.arrayFromVolume(node).shape
    scale = [old / new for old, new in zip(before, array.shape, strict=True)]
    spacing = [s * f for s, f in zip(node.GetSpacing(), reversed(scale), strict=True)]
    slicer.util.updateVolumeFromArray(node, array)
    node.SetSpacing(spacing)
    return node


def click(logic: Any, volume: Any, model: str | Path, segmentation: Any = None) -> tuple[dict[str, Any], Any]:
    """One run as the button starts it: seconds of all parts, and the segmentation."""
    import slicer

    from MedContextSegmentLib.Run.Logic import SegmentRequest
    from MedContextSegmentLib.Run.RunListener import LogListener

    longest: dict[str, float] = {}
    began = time.perf_counter()
    run = logic.start(SegmentRequest((volume,), str(model), segmentation), LogListener())
    longest["click"] = time.perf_counter() - began
    running, last = True, time.perf_counter()
    while running:
        state = run.state
        running = run.poll()
        slicer.app.processEvents()
        time.sleep(0.005)
        now = time.perf_counter()
        longest[state] = max(longest.get(state, 0.0), now - last - 0.005)
        last = now
    if run.error is not None:
        raise run.error
    total = time.perf_counter() - began
    network = run.result.seconds[SEGMENT]
    return {
        "click to node": round(total, 3),
        "network": round(network, 3),
        REST: round(total - network, 3),
        "longest blocked": {name: round(value, 3) for name, value in longest.items()},
        "worker": {name: round(value, 3) for name, value in run.result.seconds.items()},
        "segments written": len(run.result.labels),
        "precision": run.result.precision,
    }, run.segmentationNode


def repeated(logic: Any, volume: Any, model: str | Path, rounds: int) -> dict[str, Any]:
    """The first click, then warm ones: the median of those by what is beyond the network."""
    # The segmentations stay in the scene: Slicer takes seconds to delete a large one with many segments.
    cold, _node = click(logic, volume, model)
    warm = [click(logic, volume, model)[0] for _round in range(rounds)]
    warm.sort(key=lambda row: row[REST])
    worst = {
        state: max(row["longest blocked"].get(state, 0.0) for row in warm)
        for state in warm[0]["longest blocked"]
    }
    return {"cold click to node": cold["click to node"], **warm[len(warm) // 2], "longest blocked": worst}


def write_many(volume: Any, labels: np.ndarray) -> dict[str, Any]:
    """Write all labels of a scan: into a new segmentation, again over it, and beside a protected segment."""
    import slicer

    from MedContextSegmentLib.Scene.SegmentationWriter import SegmentationWriter, newSegmentation
    from MedContextSegmentLib.Scene.VolumeReader import readVolume
    from MedContextSegmentLib.Worker.Results import SegmentationResult, SegmentLabel

    snapshot = readVolume(volume)
    found = []
    for value in (int(v) for v in np.unique(labels) if v):
        inside = [np.flatnonzero((labels == value).any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
        extent = tuple((int(axis[0]), int(axis[-1]) + 1) for axis in inside)
        found.append(SegmentLabel(value, f"organ {value}", (200, 100, 50), None, extent, 1, 1.0))
    result = SegmentationResult(
        labels, None, tuple(found[:60]), {"id": "m", "sha256": "0" * 64}, "CPU", "fp32", {}, {}, True
    )
    rows = {}
    node = newSegmentation(snapshot, "many")
    rows["new segmentation"] = written(SegmentationWriter(), result, snapshot, node)
    rows["again, replacing its own"] = written(SegmentationWriter(), result, snapshot, node)
    other = newSegmentation(snapshot, "other")
    mask = np.zeros(GRID, np.uint8)
    mask[100:140, 200:260, 200:260] = 1
    own = other.GetSegmentation().AddEmptySegment()
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, other, own, volume)
    slicer.vtkSlicerSegmentationsModuleLogic.SetSegmentStatus(
        other.GetSegmentation().GetSegment(own), slicer.vtkSlicerSegmentationsModuleLogic.Completed
    )
    rows["beside a completed segment"] = written(SegmentationWriter(), result, snapshot, other)
    return rows


def written(writer: Any, result: Any, snapshot: Any, node: Any) -> dict[str, Any]:
    """Seconds of one write and of its longest step."""
    longest, began = 0.0, time.perf_counter()
    last = began
    for _share in writer.steps(result, snapshot, node):
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return {
        "labels": len(result.labels),
        "seconds": round(time.perf_counter() - began, 3),
        "longest step": round(longest, 3),
    }


def main() -> None:
    """Measure all rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="training time of each CT model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", type=Path, help="folder in which the CT models are kept")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="module_speed_"))
    os.environ.setdefault("MEDCONTEXT_HOME", str(work / "home"))
    models = arguments.models or work
    ct_models = {count: a_model(count, models, arguments.minutes) for count in ORGANS}

    from harness import application
    from medcontext.io import read_image, read_labelmap

    application.start()
    from MedContextSegmentLib.Run.Logic import MedContextSegmentLogic

    sample = REPOSITORY / "Training/medcontext/resources/samples/hippocampus/images"
    logic = MedContextSegmentLogic()
    rows: dict[str, Any] = {}
    try:
        crop = a_volume(sorted(sample.glob("*.nii.gz"))[0])
        rows["hippocampus crop, bundled model"] = repeated(logic, crop, "hippocampus", 4 * arguments.rounds)
        print(rows, flush=True)
        scan = SHARED / "ct_torso/images/ct_torso_3mm.nii.gz"
        volume = a_volume(scan, large_grid(read_image([scan]).array[0], labels=False))
        for count, model in ct_models.items():
            name = f"CT 512x512x300, {count} labels"
            rows[name] = repeated(logic, volume, model, arguments.rounds)
            print(name, rows[name], flush=True)
    finally:
        logic.close()
    labels = read_labelmap(SHARED / "ct_torso/labels/ct_torso_3mm.nii.gz").array[0]
    rows["write only, CT 512x512x300"] = write_many(volume, large_grid(labels, labels=True))
    print(rows["write only, CT 512x512x300"])
    print(write_result("module_speed", {"rows": rows}))
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
