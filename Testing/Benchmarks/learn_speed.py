"""How long *Learn* makes a person wait: adding a large case, a store of 1000 cases, the curve of a training.

    python Testing/Benchmarks/learn_speed.py

Runs the module without the Slicer application, on real MRML, with a real worker and a real training. The CT of
512x512x300 is ct_torso_3mm interpolated to that grid, with three of its organs as segments. "Blocked" is the longest
time for which Slicer's event loop stood still.
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
from module_speed import GRID, ORGANS, a_volume, large_grid
from record import REPOSITORY, SHARED, write_result

SAMPLE = REPOSITORY / "Training/medcontext/resources/samples/hippocampus"


def add_large_case(worker: Any, folder: Path) -> dict[str, Any]:
    """From the click on OK to the case in the store, after the dialog has read the segments."""
    import slicer

    from medcontext.case_list import read_store
    from medcontext.io import read_image, read_labelmap
    from MedContextSegmentLib.Learn.AddCase import AddCaseRun, propose

    scan = SHARED / "ct_torso/images/ct_torso_3mm.nii.gz"
    volume = a_volume(scan, large_grid(read_image([scan]).array[0], labels=False))
    reference = large_grid(
        read_labelmap(SHARED / "ct_torso/labels/ct_torso_3mm.nii.gz").array[0], labels=True
    )
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for value in ORGANS[3]:
        own = node.GetSegmentation().AddEmptySegment("", f"organ {value}")
        mask = (reference == value).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, own, volume)
    began = time.perf_counter()
    proposal = propose((volume,), node, None)
    proposed = time.perf_counter() - began
    run = AddCaseRun(worker, proposal, folder / "large")
    began = last = time.perf_counter()
    blocked = 0.0
    while run.poll():
        now = time.perf_counter()
        blocked, last = max(blocked, now - last), now
        time.sleep(0.005)
    if run.error is not None:
        raise run.error
    case = read_store(folder / "large").cases[0]
    return {
        "click to case": round(time.perf_counter() - began, 2),
        "longest blocked": round(blocked, 3),
        "reading the segments for the dialog": round(proposed, 2),
        "worker": {name: round(value, 2) for name, value in run.result.seconds.items()},
        "image file, MB": round(case.images[0].stat().st_size / 1e6, 1),
    }


def open_many(folder: Path, count: int) -> dict[str, Any]:
    """The panel with a store of many cases, from entering the module to the full table."""
    import slicer

    from harness import slicer_qt
    from harness.panel import MODULE

    entries = [
        {"id": f"case_{n:04d}", "image": f"images/{n}.nii.gz", "label": f"labels/{n}.nii.gz"}
        for n in range(count)
    ]
    (folder / "many").mkdir()
    data = {
        "name": "Many",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "a"},
        "training": entries,
    }
    (folder / "many/dataset.json").write_text(json.dumps(data), encoding="utf-8")
    widget = slicer_qt.load_module(MODULE)
    widget.warmUp.begin = lambda _model: None
    widget.settings.caseStore = str(folder / "many")
    widget.ui.learnSection.collapsed = False
    table = slicer.util.findChild(widget.parent, "casesTable")
    began = last = time.perf_counter()
    slicer_qt.enter(widget)
    blocked = time.perf_counter() - last
    while table.rowCount < count:
        last = time.perf_counter()
        slicer.app.processEvents()
        blocked = max(blocked, time.perf_counter() - last)
        time.sleep(0.001)
    seconds = time.perf_counter() - began
    slicer_qt.unload(widget)
    return {"cases": count, "click to table": round(seconds, 3), "longest blocked": round(blocked, 3)}


def curve_interval(folder: Path) -> dict[str, Any]:
    """The longest time between two values of the loss in the events of a training on crops."""
    from medcontext import jobs

    store = folder / "store"
    shutil.copytree(SAMPLE, store)
    command = [sys.executable, "-m", "medcontext", "train", "--data", str(store), "-o", str(folder / "model")]
    job = jobs.start([*command, "--minutes", "1", "--json"], folder / "job", "Train")
    while jobs.read(job.folder).active:
        time.sleep(0.5)
    events, _offset = jobs.follow(job.folder)
    times = [event["time"] for event in events if event["event"] == "metric" and "loss" in event]
    gaps = np.diff(times)
    return {
        "values": len(times),
        "longest gap": round(float(gaps.max()), 2),
        "median gap": round(float(np.median(gaps)), 3),
    }


def main() -> None:
    """Measure all rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="learn_speed_"))
    os.environ["MEDCONTEXT_HOME"] = str(folder / "home")
    for name in ("Testing/Harness", "MedContextSegment"):
        sys.path.insert(0, str(REPOSITORY / name))

    from harness import slicer_qt

    slicer_qt.start()
    from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

    rows: dict[str, Any] = {"open a store of 1000 cases": open_many(folder, 1000)}
    print(rows, flush=True)
    worker = WorkerProcess()
    try:
        rows["add a case, CT 512x512x300"] = add_large_case(worker, folder)
    finally:
        worker.close()
    print(rows, flush=True)
    rows["curve, training on crops"] = curve_interval(folder)
    print(write_result("learn_speed", {"grid": list(reversed(GRID)), "seconds": rows}))
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
