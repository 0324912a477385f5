"""Trainings as jobs: the command, what is read from the files, what is found again."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("slicer")


def request(**changes: Any) -> Any:
    from MedContextSegmentLib.Learn.FineTuneCommand import FineTuneRequest

    given = {"store": Path("/data/my cases"), "output": Path("/home/me/models/x"), "parent": "a@1.0"}
    return FineTuneRequest(**(given | changes))


def pretraining(**changes: Any) -> Any:
    from MedContextSegmentLib.Learn.PretrainCommand import PretrainRequest

    given = {"data": (Path("/data/my cases"), Path("/scans")), "output": Path("/home/me/models/x")}
    return PretrainRequest(**(given | changes))


def makeJob(home: Path, name: str, *arguments: str, **record: Any) -> Path:
    """A job folder whose process has ended without a word."""
    folder = home / "jobs" / name
    folder.mkdir(parents=True)
    command = ["PythonSlicer", "-m", "medcontext", *arguments]
    facts = {"command": command, "title": name, "working_folder": str(home), "started": 1.0}
    import platform

    facts |= {"host": platform.node(), "pid": 1, "created": "never"}
    (folder / "job.json").write_text(json.dumps(facts | record))
    return folder


def write(folder: Path, *events: dict[str, Any]) -> None:
    with (folder / "events.jsonl").open("a") as stream:
        for event in events:
            stream.write(json.dumps(event) + "\n")


def test_the_commands_of_the_face_are_commands_of_the_package() -> None:
    """Every option that the face gives is one that the command has."""
    every = [
        request(minutes=None, labels=("a", "b"), keep="none", device="cpu", precision="fp32"),
        request(leaveOneOut=True),
        request(parent="", network="segresnet", size="medium", minutes=0.5),
        request(parent="", encoder="e@1.0.0"),
        pretraining(),
        pretraining(minutes=None, title="My scans", device="cpu", precision="fp32"),
    ]
    for wanted in every:
        verb, *rest = wanted.arguments()
        told = subprocess.run(
            [sys.executable, "-m", "medcontext", verb, "--help"],
            capture_output=True,
            text=True,
            check=True,
            env={"COLUMNS": "200", "PATH": "", "PYTHONPATH": str(package()), "TERM": "dumb"},
        ).stdout
        for option in (word for word in rest if word.startswith("-")):
            assert option in told, f"{verb} {option}"


def package() -> Path:
    import medcontext

    return Path(medcontext.__file__).parents[1]


def test_the_text_for_a_terminal_is_the_command() -> None:
    from MedContextSegmentLib.Learn.Command import argumentsOf, terminalText

    wanted = request(labels=("left kidney",))
    command = wanted.command("/opt/Slicer/bin/PythonSlicer")
    assert command[:3] == ["/opt/Slicer/bin/PythonSlicer", "-m", "medcontext"]
    text = terminalText(argumentsOf(command), "linux")
    assert shlex.split(text) == ["medcontext", *command[3:-1]]
    assert '"left kidney"' in terminalText(argumentsOf(command), "win32")


@pytest.mark.parametrize(
    ("command", "verb"),
    [
        (["/x/python", "-m", "medcontext", "train", "--data", "d"], "train"),
        (["C:\\Slicer\\medcontext.exe", "finetune", "--data", "d"], "finetune"),
        (["/usr/bin/medcontext", "finetune"], "finetune"),
        (["python", "-m", "medcontext", "segment", "x"], None),
        (["python", "train.py", "medcontext"], None),
        ([], None),
    ],
)
def test_which_jobs_learn(command: list[str], verb: str | None) -> None:
    from MedContextSegmentLib.Learn.FineTuneJob import FineTuneJob
    from MedContextSegmentLib.Learn.LearningTask import taskOf

    task = taskOf({"command": command, "working_folder": "/w"}, FineTuneJob.KINDS)
    assert (task.kind if task else None) == verb


def test_what_a_job_does_is_read_from_its_command() -> None:
    from MedContextSegmentLib.Learn.LearningTask import taskOf

    words = ["m", "-m", "medcontext", "pretrain", "--data=cases", "--data", "/x", "--output", "out/x"]
    task = taskOf({"command": words, "working_folder": "/w"}, ("pretrain",))
    assert task is not None
    assert (task.data, task.output) == ((Path("/w/cases"), Path("/x")), Path("/w/out/x"))


def test_new_ids_are_free(own_home: Path) -> None:
    from MedContextSegmentLib.Learn.Command import newModelId

    assert newModelId("hippocampus") == "hippocampus-2"  # the bundled one has that
    assert newModelId("Mein Knie (Ä)") == "mein-knie"
    assert newModelId("...") == "model"
    (own_home / "models" / "mein-knie" / "training").mkdir(parents=True)  # an unfinished training
    assert newModelId("Mein Knie (Ä)") == "mein-knie-2"
    assert len(newModelId("x" * 200)) <= 60


def test_a_curve_is_read_while_it_is_written_and_after_a_crash(own_home: Path) -> None:
    from MedContextSegmentLib.Learn.FineTuneJob import FineTuneJob

    folder = makeJob(own_home, "a", "finetune", "--data", "d", "-o", "o")
    write(folder, *({"event": "metric", "step": step, "loss": {"l": 1.0}} for step in range(50)))
    job = FineTuneJob(folder)
    assert job.poll()
    assert job.caughtUp
    assert len(job.losses.rows) == 50
    write(folder, *({"event": "metric", "step": step, "loss": {"l": 2.0}} for step in range(30, 40)))
    job.poll()
    assert [step for step, _row in job.losses.rows] == list(range(40))
    write(folder, {"event": "metric", "step": 40, "dice": {"A": 0.5}, "held_out": False})
    job.poll()
    assert not job.scoresAreHeldOut
    write(folder, {"event": "metric", "step": 41, "dice": {"A": 0.7}, "held_out": True})
    write(folder, {"event": "metric", "step": 42, "dice": {"A": 0.1}, "held_out": False})
    job.poll()
    assert job.scoresAreHeldOut
    assert job.scores.values("A") == [(41.0, 0.7)]


def test_an_encoder_is_no_model_to_fine_tune() -> None:
    """Its network is known, and a training begins with it: no labels are taken over."""
    words = request(parent="", encoder="e@1.0.0", keep="none").arguments()
    assert words[:5] == ["train", "--data", "/data/my cases", "--init-from", "e@1.0.0"]
    assert not {"--network", "--size", "--keep", "-m"} & set(words)


def test_the_signals_of_a_pretraining_are_its_curve_and_its_sentence(own_home: Path) -> None:
    from MedContextSegmentLib.Learn.PretrainJob import PretrainJob

    signals = {"position_accuracy": 0.5, "chance": 1 / 9, "prediction_loss": 0.25, "best_constant": 0.357}
    folder = makeJob(own_home, "a", "pretrain", "--method", "voco", "--data", "d", "-o", "o")
    write(folder, {"event": "metric", "step": 1, "loss": {"position": 0.4}})
    write(folder, {"event": "metric", "step": 2, "signals": {**signals, "effective_rank": 20.0}})
    write(folder, {"event": "metric", "step": 2, "signals": ["nonsense"]})
    write(folder, {"event": "picture", "path": "/x/preview.png", "step": 2})
    told = "It finds the place of a crop in 50 % of the cases."
    write(folder, {"event": "warning", "message": "Two scans were left out."})
    write(folder, {"event": "result", "model": str(encoder(own_home)), "sentence": told})
    job = PretrainJob(folder)
    job.poll()
    assert job.losses.values("position") == [(1.0, 0.4)]
    assert set(job.scores.names) == set(signals)  # what has another scale would flatten the others
    assert job.scores.values("chance") == [(2.0, 1 / 9)]
    assert job.picture == Path("/x/preview.png")
    assert job.finishedText.startswith(told)
    assert "'My encoder' is ready" in job.finishedText
    assert job.finishedText.endswith("Two scans were left out.")


def encoder(home: Path) -> Path:
    """An encoder in the library, as a model list sees it."""
    from medcontext.cards import bundled_models

    folder = home / "models" / "my-encoder"
    folder.mkdir(parents=True)
    card = json.loads((bundled_models() / "hippocampus" / "model.json").read_text())
    card |= {"id": "my-encoder", "title": "My encoder", "kind": "encoder", "labels": []}
    (folder / "model.json").write_text(json.dumps(card))
    (folder / card["weights"][0]["file"]).touch()
    return folder


def test_events_of_hours_are_read_in_pieces(own_home: Path) -> None:
    from MedContextSegmentLib.Learn.FineTuneJob import FineTuneJob
    from MedContextSegmentLib.Learn.FollowedJob import PIECE_BYTES

    folder = makeJob(own_home, "a", "train", "--data", "d", "-o", "o")
    events = ({"event": "metric", "step": step, "loss": {"l": 1.0}, "rate": 0.01} for step in range(10_000))
    write(folder, *events)
    job = FineTuneJob(folder)
    pieces = 0
    while not job.caughtUp:
        before = job._offset
        job.poll()
        assert job._offset - before < PIECE_BYTES + 1000
        pieces += 1
    assert pieces > 2
    assert job.losses.rows[-1][0] == 9999
    assert len(job.losses.rows) < 2100


def test_hand_made_nonsense_is_survived(own_home: Path) -> None:
    from MedContextSegmentLib.Learn.FineTuneJob import FineTuneJob

    folder = makeJob(own_home, "a", "finetune", "--data", "d", "-o", "o")
    write(
        folder,
        {"event": "metric"},
        {"event": "metric", "step": "x", "loss": {"l": 1}},
        {"event": "metric", "step": 1, "loss": [1, 2]},
        {"event": "metric", "step": 1, "loss": {"l": None}},
        {"event": "picture"},
        {"event": "result", "model": str(own_home / "nowhere"), "verdict": "better", "parent": "x"},
    )
    job = FineTuneJob(folder)
    job.poll()
    assert job.losses.empty
    assert job.state == "finished"
    assert job.result is not None
    assert job.result.card.problem
    assert job.result.word == ""


def test_only_trainings_that_nobody_saw_the_end_of_are_found(own_home: Path) -> None:
    from MedContextSegmentLib.Learn.FineTuneJob import FineTuneJob
    from MedContextSegmentLib.Learn.LearningJobs import findJobs
    from MedContextSegmentLib.Learn.PretrainJob import PretrainJob

    makeJob(own_home, "encoder", "pretrain", "--data", "d", "-o", "o", started=3.0)
    old = makeJob(own_home, "old", "finetune", "--data", "d", "-o", "o")
    makeJob(own_home, "new", "train", "--data", "d", "-o", "o", started=2.0)
    makeJob(own_home, "batch", "batch", "d")
    (makeJob(own_home, "broken", "train") / "job.json").write_text("{")
    write(old, {"event": "progress", "stage": "train", "value": 0.5})
    assert [job.folder.name for job in findJobs(FineTuneJob)] == ["new", "old"]
    findJobs(FineTuneJob)[1].markSeen()
    assert [job.folder.name for job in findJobs(FineTuneJob)] == ["new"]
    write(old, {"event": "progress", "stage": "train", "value": 0.6})  # somebody took it up again
    assert [job.folder.name for job in findJobs(FineTuneJob)] == ["new", "old"]
    assert [job.folder.name for job in findJobs(PretrainJob)] == ["encoder"]


def test_finding_does_not_read_what_is_known(own_home: Path) -> None:
    """A hundred trainings of months, each with megabytes of events, must not hold up the panel."""
    from MedContextSegmentLib.Learn.FineTuneJob import FineTuneJob
    from MedContextSegmentLib.Learn.LearningJobs import findJobs

    for number in range(20):
        folder = makeJob(own_home, f"job {number}", "train", "--data", "d", "-o", "o")
        write(folder, {"event": "result"})
        FineTuneJob(folder).markSeen()
    read: list[Path] = []

    class Counting(FineTuneJob):
        def __init__(self, folder: Path) -> None:
            read.append(folder)
            super().__init__(folder)

    assert findJobs(Counting) == []
    assert read == []


def test_only_what_left_something_can_be_taken_up(own_home: Path) -> None:
    from MedContextSegmentLib.Learn.FineTuneJob import FineTuneJob

    output = own_home / "models" / "x"
    folder = makeJob(own_home, "a", "finetune", "--data", "d", "-o", str(output))
    assert FineTuneJob(folder).state == "lost"
    assert not FineTuneJob(folder).resumable
    (output / "training").mkdir(parents=True)
    assert FineTuneJob(folder).resumable
    (output / "model.json").write_text("{}")
    assert FineTuneJob(folder).resumable  # it was killed while it scored the model
    write(folder, {"event": "result", "model": str(output)})
    assert FineTuneJob(folder).state == "finished"
    assert not FineTuneJob(folder).resumable


def test_a_job_that_cannot_be_started_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medcontext.errors import InputError
    from MedContextSegmentLib.Learn import LearningJobs
    from MedContextSegmentLib.Learn.FineTuneJob import FineTuneJob

    monkeypatch.setattr(LearningJobs, "pythonOfWorker", lambda startup: (str(tmp_path / "gone"), startup))
    with pytest.raises(InputError, match="cannot be started"):
        LearningJobs.startDetached(request().command, "Fine-tune x", {})
    assert LearningJobs.findJobs(FineTuneJob) == []


def test_a_clock_that_jumps_changes_nothing(own_home: Path) -> None:
    from MedContextSegmentLib.Learn.FineTuneJob import FineTuneJob

    folder = makeJob(own_home, "a", "finetune", "--data", "d", "-o", "o", started=time.time() + 1e7)
    for moment, step in ((1e9, 1), (5.0, 2), (2e9, 3)):
        write(folder, {"event": "metric", "time": moment, "step": step, "loss": {"l": float(step)}})
    job = FineTuneJob(folder)
    job.poll()
    assert [step for step, _row in job.losses.rows] == [1, 2, 3]
