"""What the tests of learning share: a case store to choose, and a trainer that does as it is told, in real jobs."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import slicer

from harness import dialogs
from harness.panel import SAMPLE, settle, waitUntil
from harness.programs import installPython

# Speaks the protocol of jobs, and ends at once, by itself, when asked to stop, or with an error. Pre-trains, too.
TRAINER = """
import json, os, shutil, struct, sys, time, zlib
from pathlib import Path
from medcontext import cards
from medcontext.jobs import JobControl

arguments = sys.argv[1:]
verb = arguments[arguments.index("medcontext") + 1]
output = Path(arguments[arguments.index("-o") + 1])
control = JobControl.from_environment()

def say(event, **fields):
    print(json.dumps({"event": event, "id": "t", "time": time.time(), **fields}), flush=True)

def picture(path, shade):
    rows = b"".join(b"\\0" + bytes([shade]) * 480 for _row in range(120))
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", 480, 120, 8, 0, 0, 0, 0)
    data = b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(data)

def encoder():
    bundled = cards.resolve("hippocampus")
    card = json.loads((bundled / "model.json").read_text())
    title = arguments[arguments.index("--title") + 1]
    card |= {"id": output.name, "title": title, "version": "1.0.0", "kind": "encoder", "labels": [], "method": "voco"}
    for entry in card["weights"]:
        shutil.copy(bundled / entry["file"], output / entry["file"])
    (output / "model.json").write_text(json.dumps(card))
    say("result", model=str(output), model_id=output.name, parent=None, scans=9, signals=signals(),
        sentence="It finds the place of a crop in 50 % of the cases (chance 11 %).")
    control.finish(0)

def signals():
    return {"position_accuracy": 0.5, "chance": 1 / 9, "prediction_loss": 0.25, "best_constant": 0.357,
            "effective_rank": 40.0}

def model():
    given = arguments[arguments.index(verb):]
    parent = cards.resolve(given[given.index("-m") + 1] if verb == "finetune" else "hippocampus")
    card = json.loads((parent / "model.json").read_text())
    if verb == "finetune":
        card["parent"] = {"id": card["id"], "sha256": card["weights"][0]["sha256"]}
    card |= {"id": output.name, "title": "Child " + output.name, "version": "1.0.0"}
    for entry in card["weights"]:
        shutil.copy(parent / entry["file"], output / entry["file"])
    (output / "model.json").write_text(json.dumps(card))
    picture(output / "training" / "side_by_side.png", 200)
    word = os.environ.get("TRAINER_WORD", "better")
    say("result", model=str(output), id=card["id"], parent={"id": "hippocampus"} if verb == "finetune" else None,
        verdict={"word": word, "sentence": f"Verdict: {word}, 0.91 against 0.88 on 6 cases."},
        picture=str(output / "training" / "side_by_side.png"))
    control.finish(0)

say("hello", protocol=1)
(output / "training").mkdir(parents=True, exist_ok=True)
if "--resume" in arguments:
    say("info", message="Going on.")
if os.environ.get("TRAINER_ERROR"):
    say("error", kind="input", message=os.environ["TRAINER_ERROR"], hint="")
    control.finish(2)
    sys.exit(2)
steps = int(os.environ.get("TRAINER_STEPS", "0"))
step = 0
while not (steps and step >= steps):
    request = control.wait_while_paused(0.02)
    if request == "stop":
        break
    step += 1
    losses = ("position", "negative") if verb == "pretrain" else ("supervised", "consistency")
    say("metric", step=step, loss={losses[0]: 1 / step, losses[1]: 0.1})
    if step % 5 == 0:
        shown = {"signals": signals()} if verb == "pretrain" else {"dice": {"Anterior": 0.5, "Posterior": 0.6}}
        say("metric", step=step, held_out=True, **shown)
        picture(output / "training" / "preview.png", step % 200)
        say("picture", path=str(output / "training" / "preview.png"), case="a", held_out=True, step=step)
    say("progress", stage="train", value=min(1.0, step / 200), eta_s=max(0.0, 200 - step))
    time.sleep(0.01)
encoder() if verb == "pretrain" else model()
"""


def installTrainer(folder: Path, monkeypatch: Any) -> None:
    """Put a trainer that does as it is told where the Python of the worker is looked for.

    It obeys TRAINER_WORD (the verdict), TRAINER_STEPS (when it ends by itself) and TRAINER_ERROR (why it fails).
    """
    installPython(folder, "trainer.py", TRAINER, monkeypatch)


def sampleStore() -> Any:
    """What is known of the real crops that come with the package."""
    from medcontext.case_list import read_store

    return read_store(SAMPLE)


def useStore(panel: Any, store: Any) -> None:
    """Let the panel have that case store, without choosing it; open Learn, and let it be clicked fast."""
    panel.learn.context.store = lambda: store
    panel.learn.context.storeFolder = lambda: store.folder if store is not None else None
    panel.ui.learnSection.collapsed = False
    for part in (panel.learn.pretrain, panel.learn.fineTune):
        part.ignoredSeconds = 0.0  # tests click faster than people
        part.refresh()
    settle()


def jobFolders(home: Path) -> list[Path]:
    """The job folders, oldest first."""
    return sorted((home / "jobs").glob("*/job.json"), key=lambda path: path.stat().st_ctime_ns)


def commandOf(folder: Path) -> list[str]:
    """The command of a job."""
    return list(json.loads((folder / "job.json").read_text(encoding="utf-8"))["command"])


def killTrainer(job: Any) -> None:
    """End the process of a job and all that it started, as a crash or a power cut would."""
    os.killpg(job.job.pid, signal.SIGKILL)


def waitForSteps(part: Any, steps: int) -> None:
    """Wait until a part of the panel, such as ``panel.learn.fineTune``, has heard of so many steps."""
    assert waitUntil(
        lambda: part.job is not None and part.job.losses.rows and part.job.losses.rows[-1][0] >= steps
    )


def answerNewStore(name: str, parent: Path) -> None:
    """Answer the dialog of a new case store."""

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        ui.storeNameEdit.text = name
        ui.storeParentEdit.currentPath = str(parent)
        ui.storeModalitySelector.setCurrentIndex(ui.storeModalitySelector.findData("MR"))
        return _accept(dialog, ui.newStoreButtonBox)

    dialogs.answers.append(answer)


def addCase(panel: Any, volume: Any, segmentation: Any) -> None:
    """Choose a volume and a segmentation, click *Add case*, say that the whole image is finished, and wait."""
    panel.learn.context.choose([volume], segmentation)
    settle()

    def answer(dialog: Any) -> int:
        ui = slicer.util.childWidgetVariables(dialog)
        assert waitUntil(lambda: "Looking" not in ui.addCaseStatusLabel.text)
        ui.finishedRegionSelector.setCurrentIndex(ui.finishedRegionSelector.findData("whole"))
        return _accept(dialog, ui.addCaseButtonBox)

    dialogs.answers.append(answer)
    cases = panel.learn.cases
    assert cases.ui.addCaseButton.enabled, cases.ui.addCaseButton.toolTip
    cases.ui.addCaseButton.click()
    assert waitUntil(lambda: not cases.control.running)


def _accept(dialog: Any, box: Any) -> int:
    import qt

    button = box.button(qt.QDialogButtonBox.Ok)
    assert waitUntil(lambda: button.enabled)  # a drive may have to answer first
    button.click()
    return int(dialog.result())
