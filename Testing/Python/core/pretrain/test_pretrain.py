"""What a user relies on when pre-training: what is learnt from what, what is kept, and what is said about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medcontext.data.adding import NewCase
from medcontext.data.hashing import files_hash
from medcontext.data.reading import voxel_hash
from medcontext.data.store import CaseStore
from medcontext.engine.keeping import sole_writer
from medcontext.engine.planner import Wishes, make_plan
from medcontext.errors import CancelledError, InputError
from medcontext.events import Reporter
from medcontext.geometry import Volume
from medcontext.io import read_image, write_volume
from medcontext.labels import LabelSet
from medcontext.library import load_encoder_folder
from medcontext.workflows.pretrain import PretrainRequest, pretrain

Scan = Callable[..., Volume]
Request = Callable[..., PretrainRequest]
PROJECTOR = ("projector.hidden=16", "projector.out=16")
SIGNALS = {"position_accuracy", "chance", "prediction_loss", "best_constant", "effective_rank"}


def hashes_of(path: Path) -> set[str]:
    return {files_hash([path]), voxel_hash(read_image([path]))}


def test_the_card_says_what_was_learnt_from_and_how_well(encoder, scans: Path) -> None:
    card, folder = encoder.result.card, encoder.result.folder
    record = card.training
    assert (card.id, card.kind, card.method, card.labels) == ("my-encoder", "encoder", "voco", [])
    assert card.title == "voco on scans of ümlaut"
    assert (record.unlabelled, record.steps, record.shots) == (5, 4, 0)
    chosen = json.loads((folder / "training" / "scans.json").read_text(encoding="utf-8"))
    learnt = {entry["id"] for entry in chosen["learnt"]}
    assert learnt | {entry["id"] for entry in chosen["watched"]} == {f"scan_{seed}" for seed in range(6)}
    assert set(record.unlabelled_hashes) == set.union(
        *(hashes_of(scans / f"{name}.nii.gz") for name in learnt)
    )
    assert set(record.metrics["signals"]) == SIGNALS
    assert record.metrics["held_out_scans"] == 1
    assert encoder.result.signals == record.metrics["signals"]
    assert "on 1 held-out scan (chance 11 %)" in encoder.result.sentence
    assert "The network waited for data" in encoder.told("info")
    assert "position_accuracy" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_folder_keeps_the_encoder_alone_and_the_record_of_the_run(encoder) -> None:
    folder = encoder.result.folder
    state = load_encoder_folder(folder).state
    assert any("input_block" in name for name in state)
    assert not any("upsample" in name or "output_block" in name or "projector" in name for name in state)
    kept = {path.name for path in (folder / "training").iterdir()}
    assert kept == {"log.jsonl", "curve.png", "preview.png", "scans.json"}
    lines = (folder / "training" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [record["loss"] for record in map(json.loads, lines) if "loss" in record]
    assert [set(loss) for loss in losses] == [{"position", "negative", "regularisation"}] * 4


def test_signals_and_pictures_are_events(encoder) -> None:
    told = [event for event in encoder.events if event["event"] == "metric" and "signals" in event]
    assert told[-1]["step"] == 4
    assert set(told[-1]["signals"]) == SIGNALS
    picture = next(event for event in encoder.events if event["event"] == "picture")
    assert picture["held_out"] is True
    assert Path(picture["path"]).read_bytes().startswith(b"\x89PNG")


def test_masked_volumes_go_through_the_same_door(
    tmp_path: Path, scans: Path, ran, request_of: Request
) -> None:
    settings = ("crop_size=8", "plan.network.kwargs.filters=[4,8,8]", "mask.cell=4")
    done = ran(request_of(scans, tmp_path / "mae", method="mae", settings=settings))
    assert done.result.card.method == "mae"
    assert set(done.result.signals) == {"reconstruction_error", "mean_error"}
    assert "rebuilds what is hidden on 1 held-out scan" in done.result.sentence


def test_scans_of_several_channels_need_no_data_set(
    tmp_path: Path, scan: Scan, ran, request_of: Request
) -> None:
    folder = tmp_path / "pairs"
    folder.mkdir()
    for seed in range(3):
        write_volume(folder / f"{seed}.nii.gz", scan(seed, channels=2))
    card = ran(request_of(folder, tmp_path / "encoder", steps=1)).result.card
    assert len(card.input.channels) == 2


def test_a_store_gives_what_is_not_scored_and_no_copy_of_what_is(
    tmp_path: Path, scan: Scan, ran, request_of: Request
) -> None:
    store = CaseStore.create(
        tmp_path / "store", LabelSet.from_names({1: "Box"}), [("T1", "MRI")], name="Mine"
    )
    for seed in range(6):
        image = scan(seed)
        labels = Volume(np.ones(image.array.shape, np.uint8), image.geometry) if seed < 3 else None
        patient = "Ann" if seed < 2 else f"patient {seed}"  # of one patient one scan is held out
        store.add_case(NewCase([image], labels, case_id=f"case_{seed}", held_out=seed == 0, group=patient))
    others = tmp_path / "others"
    others.mkdir()
    write_volume(others / "copy.nrrd", scan(0))  # of what is held out, in another file format
    write_volume(others / "new.nii.gz", scan(50))
    done = ran(request_of((store.folder, others), tmp_path / "encoder", steps=4))
    assert "2 scans are test or held-out" in done.told("info")
    assert "copy of an image that is kept for scoring" in done.told("warning")
    apart = {store.case(name).voxels for name in ("case_0", "case_1")}
    assert not {*apart, files_hash([others / "copy.nrrd"])} & done.result.card.seen
    assert [(c.name, c.modality) for c in done.result.card.input.channels] == [("T1", "MRI")]
    assert "copy" in done.result.card.training.metrics["scans_left_out"]


def test_nothing_is_learnt_from_a_copy_of_a_scan_that_is_watched(
    tmp_path: Path, scans: Path, scan: Scan, encoder, ran, request_of: Request
) -> None:
    chosen = json.loads((encoder.result.folder / "training" / "scans.json").read_text(encoding="utf-8"))
    (watched,) = (entry["id"] for entry in chosen["watched"])
    shutil.copytree(scans, tmp_path / "scans")
    write_volume(tmp_path / "scans" / "copy.nrrd", scan(int(watched.removeprefix("scan_"))))
    card = ran(request_of(tmp_path / "scans", tmp_path / "encoder", steps=4)).result.card
    (left_out,) = card.training.metrics["scans_left_out"]
    assert left_out in ("copy", watched)
    assert card.training.unlabelled == 5


def test_a_plan_gives_network_and_spacing(
    tmp_path: Path, scan: Scan, scans: Path, ran, request_of: Request
) -> None:
    store = CaseStore.create(tmp_path / "store", LabelSet.from_names({1: "Box"}), [("T1", "MRI")])
    image = scan(0)
    store.add_case(NewCase([image], Volume(np.ones(image.array.shape, np.uint8), image.geometry)))
    plan = make_plan(store, "dynunet", size="small", wishes=Wishes(spacing=(1.5, 1.0, 1.0)))
    plan = plan.updated(["network.kwargs.filters=[4,6,8]"])
    plan.write(tmp_path / "plan.json")
    given = {
        "plan": tmp_path / "plan.json",
        "settings": ("crop_size=8", "grid=[1,2,2]", *PROJECTOR),
        "steps": 1,
    }
    card = ran(request_of(scans, tmp_path / "encoder", **given)).result.card
    assert card.network == plan.network
    assert card.input.spacing == (1.5, 1.0, 1.0)
    assert card.input.channels == plan.channels
    again = ran(request_of(scans, tmp_path / "again", **(given | {"plan": tmp_path / "encoder"}))).result.card
    assert again.network == plan.network


def test_going_on_from_an_encoder_starts_with_its_weights_and_remembers_it(
    tmp_path: Path, scan: Scan, encoder, ran, request_of: Request
) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    for seed in range(20, 24):
        write_volume(folder / f"more_{seed}.nii.gz", scan(seed))
    still = (*PROJECTOR, "engine.optimiser.learning_rate=1e-12")
    request = request_of(
        folder, tmp_path / "child", init_from=str(encoder.result.folder), settings=still, steps=1
    )
    child = ran(request).result.card
    parent, mine = load_encoder_folder(encoder.result.folder), load_encoder_folder(tmp_path / "child")
    assert child.parent is not None
    assert (child.parent.id, child.parent.sha256) == (parent.card.id, parent.sha256)
    assert set(child.training.inherited_hashes) == parent.card.seen
    assert child.input.patch_size == parent.card.input.patch_size
    assert set(mine.state) == set(parent.state)
    assert all(np.allclose(mine.state[name], value, atol=1e-5) for name, value in parent.state.items())


def test_of_few_scans_none_is_held_out_and_that_is_said(
    tmp_path: Path, scan: Scan, ran, request_of: Request
) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for seed in range(2):
        write_volume(folder / f"{seed}.nii.gz", scan(seed))
    done = ran(request_of(folder, tmp_path / "encoder"))
    assert "none is held out" in done.told("info")
    assert "on 2 scans that it learnt from" in done.result.sentence
    assert done.result.card.training.unlabelled == 2


@pytest.fixture
def stopped(tmp_path: Path, scans: Path, request_of: Request) -> PretrainRequest:
    """A pre-training of six steps that was stopped before its end; the request to go on."""
    shutil.copytree(scans, tmp_path / "scans")
    request = request_of(tmp_path / "scans", tmp_path / "encoder", steps=6)
    events: list[dict] = []
    with pytest.raises(CancelledError, match=r"at step \d of 6"):
        pretrain(request, Reporter(events.append, lambda: any(e.get("stage") == "train" for e in events)))
    return request_of(tmp_path / "scans", tmp_path / "encoder", steps=6, resume=True)


def test_a_stopped_run_goes_on_with_its_scans_to_the_encoder_it_would_have_become(
    tmp_path: Path, stopped: PretrainRequest, scans: Path, scan: Scan, ran, request_of: Request
) -> None:
    whole = ran(request_of(scans, tmp_path / "whole", steps=6)).result
    write_volume(tmp_path / "scans" / "later.nii.gz", scan(90))
    with pytest.raises(InputError, match="was made with other settings"):
        pretrain(replace(stopped, settings=(*stopped.settings, "w_negative=2")))
    done = ran(stopped)
    assert "not used by it: later." in done.told("info")
    assert (done.result.card.training.steps, done.result.card.training.unlabelled) == (6, 5)
    first, second = (load_encoder_folder(result.folder).state for result in (whole, done.result))
    assert all(np.allclose(first[name], second[name], atol=1e-6) for name in first)
    assert not (done.result.folder / "training" / "checkpoint.pt").exists()


def test_what_is_done_is_not_done_again(encoder, ran, scans: Path, request_of: Request) -> None:
    folder = encoder.result.folder
    before = (folder / "weights.safetensors").stat().st_mtime_ns
    again = ran(request_of(scans, folder, resume=True))
    assert "is trained already" in again.told("info")
    assert (again.result.sentence, again.result.signals) == (encoder.result.sentence, encoder.result.signals)
    assert (folder / "weights.safetensors").stat().st_mtime_ns == before


def test_a_request_to_stop_keeps_what_was_learnt(tmp_path: Path, scans: Path, request_of: Request) -> None:
    events: list[dict] = []

    def control() -> str | None:
        return "stop" if any(event.get("step", 0) >= 2 for event in events) else None

    request = request_of(scans, tmp_path / "encoder", steps=None, until_stopped=True)
    result = pretrain(request, Reporter(events.append), control)
    assert result.card.training.steps >= 2
    assert load_encoder_folder(result.folder).state


def test_two_runs_do_not_share_a_folder(tmp_path: Path, scans: Path, request_of: Request) -> None:
    with (
        sole_writer(tmp_path / "encoder" / "training"),
        pytest.raises(InputError, match="Another training writes to"),
    ):
        pretrain(request_of(scans, tmp_path / "encoder"))
