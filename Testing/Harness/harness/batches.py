"""What the tests of batches share: finished batches of real crops, and one that does as it is told, in real jobs."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.panel import SAMPLE
from harness.programs import installPython
from medcontext.batch_ledger import DONE, FAILED, RUNNING, Layout, LedgerWriter, Row
from medcontext.cards import bundled_models

CASES = ("hippocampus_011", "hippocampus_024", "hippocampus_067", "hippocampus_097")
"""Crops that an expert has drawn the structures of."""

SURE = {name: 0.5 + 0.1 * place for place, name in enumerate(CASES)}
"""Certainty of each: the first one needs a person most."""

# Speaks the protocol of jobs, writes a row for each case, and ends at once, by itself, when asked to stop, or badly.
RUNNER = """
import json, os, sys, time
from pathlib import Path
from medcontext.batch_ledger import DONE, Layout, LedgerWriter, read_rows
from medcontext.jobs import JobControl

arguments = sys.argv[1:]
arguments = arguments[arguments.index("batch") + 1:]
out = Path(arguments[arguments.index("-o") + 1])
model, _, version = arguments[arguments.index("-m") + 1].partition("@")
formats = [arguments[k + 1] for k, word in enumerate(arguments) if word == "--format"]
control = JobControl.from_environment()

def say(event, **fields):
    print(json.dumps({"event": event, "id": "b", "time": time.time(), **fields}), flush=True)

def end(code):
    control.finish(code)
    sys.exit(code)

say("hello", protocol=1)
if os.environ.get("BATCH_ERROR"):
    say("error", kind="input", message=os.environ["BATCH_ERROR"], hint="Choose another one.")
    end(2)
say("progress", stage="searching", value=None, eta_s=None, files=3)
layout = Layout(out)
out.mkdir(parents=True, exist_ok=True)
record = {"input": arguments[:1], "model": {"id": model, "version": version, "labels": []},
          "options": {"formats": formats, "certainty_map": "--certainty-map" in arguments}}
layout.run.write_text(json.dumps(record))
layout.sources.write_text('{\\n"": ' + json.dumps({"input": arguments[:1], "skipped": {}}) + "\\n}\\n")
total = int(os.environ.get("BATCH_CASES", "1000000"))
finished = set(read_rows(out))
left = [f"case {n}" for n in range(min(total, 5000)) if f"case {n}" not in finished]
with LedgerWriter(layout.ledger()) as ledger:
    for done, case in enumerate(left):
        if control.wait_while_paused(0.02) == "stop":
            say("error", kind="cancelled", message="Stopped on request.", hint="")
            end(3)
        say("progress", stage="read", value=0.5, eta_s=1.0, case=case)
        ledger.append({"case": case, "state": DONE, "time": time.time(), "seconds": {"total": 1.25},
                       "volumes_ml": {"Anterior": 1.5, "Posterior": 2.5}, "certainty": 0.9, "warnings": []})
        say("progress", stage="cases", value=(done + 1) / len(left), eta_s=90.0, done=done + 1, total=len(left))
        time.sleep(0.02)
layout.report.write_text("<html></html>")
say("result", output=str(out), done=len(left), failed=0)
end(0)
"""


def installRunner(folder: Path, monkeypatch: Any) -> None:
    """Put a batch that does as it is told where the Python of the worker is looked for.

    It obeys BATCH_CASES (how many cases there are) and BATCH_ERROR (why it fails).
    """
    installPython(folder, "runner.py", RUNNER, monkeypatch)


def doneRow(case: str, **facts: Any) -> Row:
    """A row of a finished case."""
    return {
        "case": case,
        "state": DONE,
        "time": time.time(),
        "seconds": {"read": 0.1, "total": 1.0},
        "volumes_ml": {"Anterior": 1.5, "Posterior": 2.5},
        "certainty": 0.9,
        "warnings": [],
        "error": None,
        "outputs": {"nii.gz": [{"path": f"segmentations/{case}.nii.gz"}]},
        "plan": {"precision": "fp32"},
        "device": "cpu",
        **facts,
    }


def failedRow(case: str, message: str) -> Row:
    """A row of a case that failed."""
    error = {"kind": "input", "message": message, "hint": "Look at the file."}
    return {"case": case, "state": FAILED, "time": time.time(), "error": error}


def runningRow(case: str) -> Row:
    """A row of a case that was begun."""
    return {"case": case, "state": RUNNING, "time": time.time()}


def writeRows(out: Path, rows: Sequence[Row], shard: tuple[int, int] | None = None) -> None:
    """Add rows to the ledger of a batch."""
    out.mkdir(parents=True, exist_ok=True)
    with LedgerWriter(Layout(out).ledger(shard)) as ledger:
        for row in rows:
            ledger.append(row)


def finishedBatch(root: Path, cases: Sequence[str] = CASES, more: Sequence[Row] = ()) -> Path:
    """The output folder of a batch over real crops, whose results are what the expert drew.

    Args:
        root: folder in which ``scans`` and ``out`` are made.
        cases: names of crops.
        more: further rows of the ledger.
    """
    scans, out = root / "scans", root / "out"
    layout = Layout(out)
    (out / "segmentations").mkdir(parents=True)
    scans.mkdir()
    sources: dict[str, Any] = {}
    for name in cases:
        shutil.copyfile(SAMPLE / "images" / f"{name}.nii.gz", scans / f"{name}.nii.gz")
        shutil.copyfile(SAMPLE / "labels" / f"{name}.nii.gz", layout.segmentation(name, "nii.gz"))
        sources[name] = {"paths": [str(scans / f"{name}.nii.gz")]}
    sources[""] = {"input": [str(scans)], "skipped": {}}
    writeRecord(out, sources)
    writeRows(out, [*(doneRow(name, certainty=SURE.get(name, 0.9)) for name in cases), *more])
    return out


def writeRecord(out: Path, sources: Mapping[str, Any]) -> None:
    """What a batch with the bundled model writes of itself."""
    card = json.loads((bundled_models() / "hippocampus" / "model.json").read_text(encoding="utf-8"))
    model = {name: card[name] for name in ("id", "version", "title", "labels")}
    record = {
        "schema_version": 1,
        "input": ["scans"],
        "model": {**model, "sha256": card["weights"][0]["sha256"], "channels": ["T1"]},
        "options": {
            "formats": ["nii.gz", "stl"],
            "certainty": "entropy",
            "certainty_map": True,
            "odd": "resample",
            "keep_identifiers": False,
        },
        "software": {"medcontext": "1"},
    }
    Layout(out).run.write_text(json.dumps(record), encoding="utf-8")
    lines = (f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in sources.items())
    Layout(out).sources.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def reviewsOf(out: Path) -> list[tuple[str, str]]:
    """Case and verdict of each verdict that people gave."""
    path = Layout(out).reviews
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [(line["case"], line["verdict"]) for line in map(json.loads, lines) if line["verdict"] != "open"]


def paintIn(segmentation: Any, volume: Any, place: tuple[slice, slice, slice] | None = None) -> Any:
    """Paint a block into the first segment, as a person corrects; gives the segment as it is then, ``(K, J, I)``."""
    import slicer

    segment = segmentation.GetSegmentation().GetNthSegmentID(0)
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, volume).copy()
    array[place or (slice(2, 5), slice(3, 7), slice(3, 7))] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation, segment, volume)
    return array
