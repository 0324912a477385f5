"""What a user relies on when training: its options do what they say, and wrong data get one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medcontext.data.adding import NewCase
from medcontext.data.case import Case
from medcontext.data.hashing import files_hash
from medcontext.data.reading import voxel_hash
from medcontext.data.store import CaseStore
from medcontext.engine.planner import make_plan
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_labelmap, write_volume
from medcontext.labels import LabelSet
from medcontext.library import load_model
from medcontext.workflows.request import TrainRequest
from medcontext.workflows.train import TrainResult, train
from medcontext.workflows.verdict import judge

pytestmark = pytest.mark.usefixtures("undrawn")

SMALL = ["plan.network.kwargs.filters=[4,8,8]", "plan.allowed_flips=[]"]
JOINING = [*SMALL, "unlabelled.least_steps=0"]  # scans without labels join however short the run is
Ball = Callable[..., tuple[Volume, Volume]]


def short(data: Path, output: Path, **changes) -> TrainRequest:
    """Two steps on the CPU."""
    options = {"settings": SMALL, "steps": 2, "device": "cpu", "precision": "fp32"}
    return TrainRequest(data, output, **(options | changes))


def run(request: TrainRequest) -> tuple[TrainResult, list[dict]]:
    events: list[dict] = []
    return train(request, Reporter(events.append)), events


def messages(events: list[dict], kind: str) -> str:
    return " ".join(event["message"] for event in events if event["event"] == kind)


def test_the_card_says_what_the_model_learnt_from(tmp_path: Path, a_store: Path) -> None:
    trained, _ = run(short(a_store, tmp_path / "My model", seed=3))
    record = trained.card.training
    assert (record.shots, record.unlabelled, record.seed, record.steps) == (3, 0, 3, 2)
    assert len(set(record.case_hashes)) == 3
    assert trained.card.id == "my-model"
    assert record.config["mask"]["ratio"] > 0
    assert {path.name for path in trained.folder.iterdir()} >= {
        "model.json",
        "weights.safetensors",
        "README.md",
        "plan.json",
    }
    assert not (trained.folder / "training" / "checkpoint.pt").exists()


def test_a_parent_gives_weights_preprocessing_and_its_name(
    tmp_path: Path, a_store: Path, a_model: Path
) -> None:
    parent = load_model(a_model)
    request = short(
        a_store, tmp_path / "child", init_from=str(a_model), settings=["engine.optimiser.learning_rate=1e-12"]
    )
    trained, _ = run(request)
    child = load_model(trained.folder)
    assert child.card.parent is not None
    assert (child.card.parent.id, child.card.parent.sha256) == (parent.card.id, parent.sha256)
    assert child.card.network == parent.card.network
    assert child.card.input.patch_size == parent.card.input.patch_size
    for mine, theirs in zip(child.networks[0].parameters(), parent.networks[0].parameters(), strict=True):
        assert np.allclose(mine.detach(), theirs.detach(), atol=1e-5)


def test_another_network_than_the_parents_is_refused(tmp_path: Path, a_store: Path, a_model: Path) -> None:
    with pytest.raises(InputError, match="is a dynunet, not a unetr"):
        run(short(a_store, tmp_path / "child", init_from=str(a_model), network="unetr"))


def test_a_changed_plan_file_is_followed(tmp_path: Path, a_store: Path) -> None:
    plan = make_plan(CaseStore.open(a_store), "dynunet", size="small")
    plan = plan.model_copy(update={"batch_size": 3, "allowed_flips": []})
    plan.write(tmp_path / "plan.json")
    trained, _ = run(short(a_store, tmp_path / "model", plan=tmp_path / "plan.json", settings=SMALL[:1]))
    assert load_model(trained.folder).plan().batch_size == 3


def test_unlabelled_scans_of_a_folder_join_but_never_those_kept_for_scoring(
    tmp_path: Path, a_store: Path, ball: Ball
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    store = CaseStore.open(a_store)
    for case in store.cases:  # the very files of the store, as a folder of "all scans" has them
        shutil.copy(case.images[0], folder / f"copy_{case.id}.nii.gz")
    for seed in (70, 71):
        write_volume(folder / f"new_{seed}.nii.gz", ball(seed)[0])
    trained, events = run(short(a_store, tmp_path / "model", unlabelled=folder, settings=JOINING))
    assert trained.card.training.unlabelled == 2
    assert "5 scans" in messages(events, "info")


def test_the_unused_labelled_scans_of_the_store_can_be_learnt_from_without_labels(
    tmp_path: Path, a_store: Path
) -> None:
    trained, _ = run(short(a_store, tmp_path / "model", shots=1, unlabelled=a_store, settings=JOINING))
    assert (trained.card.training.shots, trained.card.training.unlabelled) == (1, 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "supervised", "unlabelled": Path()}, "cannot learn from scans without labels"),
        ({"unlabelled": Path("nowhere")}, "nowhere is not a folder"),
        ({"minutes": 1.0}, "one of --minutes, --steps and --until-stopped"),
        ({"until_stopped": True}, "one of --minutes, --steps and --until-stopped"),
        ({"keep": "all"}, "Give --init-from as well|structures of a model to start from"),
        ({"labels": ["Liver"]}, "no label 'Liver'"),
        ({"exclude": ["ball_0", "ball_9"]}, "no case 'ball_9'"),
        ({"exclude": ["ball_0", "ball_1", "ball_2"]}, "no labelled training case"),
        ({"shots": 40}, "40"),
        ({"method": "magic"}, "not 'magic'"),
        ({"network": "dinunet"}, "dynunet"),
        ({"preset": "best"}, "has no preset 'best'"),
        ({"init_from": "no_such_model"}, "no_such_model"),
        ({"settings": ["mask.ratio=7"]}, "mask.ratio"),
        ({"device": "tpu"}, "There is no device 'tpu'"),
    ],
)
def test_options_that_cannot_be_meant_get_a_sentence(
    tmp_path: Path, a_store: Path, changes: dict, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        run(short(a_store, tmp_path / "model", **changes))
    assert not (tmp_path / "model" / "model.json").exists()


def test_resuming_what_was_killed_before_its_first_checkpoint_starts_from_the_beginning(
    tmp_path: Path, a_store: Path
) -> None:
    (tmp_path / "model" / "training").mkdir(parents=True)
    (tmp_path / "model" / "training" / "log.jsonl").write_text('{"step": 0, "loss": {"x": 1}}\n')
    trained, events = run(short(a_store, tmp_path / "model", resume=True))
    assert trained.card.training.steps == 2
    assert "starts from the beginning" in messages(events, "info")


def test_a_model_is_never_overwritten(a_store: Path, a_model: Path) -> None:
    with pytest.raises(InputError, match="holds a model already"):
        run(short(a_store, a_model))


def test_one_labelled_case_is_enough_and_warned_about(tmp_path: Path, ball: Ball) -> None:
    store = CaseStore.create(tmp_path / "one", LabelSet.from_names({1: "Upper", 3: "Lower"}), [("T1", "MRI")])
    image, label = ball(0)
    store.add_case(NewCase([image], label, case_id="only"))
    trained, events = run(short(tmp_path / "one", tmp_path / "model"))
    assert trained.card.training.shots == 1
    assert "one labelled case" in messages(events, "warning")


def broken_store(folder: Path, image: Volume, label: Volume) -> Path:
    """A data set written by hand, as users have them, without the checks of ``data add``."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    write_volume(folder / "images" / "a.nii.gz", image)
    write_volume(folder / "labels" / "a.nii.gz", label)
    entry = {"image": "./images/a.nii.gz", "label": "./labels/a.nii.gz"}
    names = {"0": "background", "1": "Upper", "3": "Lower"}
    index = {"name": "x", "modality": {"0": "MRI"}, "labels": names, "training": [entry], "test": []}
    (folder / "dataset.json").write_text(json.dumps(index))
    return folder


def test_data_that_cannot_be_learnt_from_name_the_case(tmp_path: Path, ball: Ball) -> None:
    image, label = ball(0)
    elsewhere = Volume(label.array, Geometry.from_spacing(label.shape, (3.0, 3.0, 3.0)))
    nan = image.array.copy()
    nan[0, 3, 3, 3] = np.nan
    cases = {
        "grid": (image, elsewhere, "grid"),
        "undeclared": (
            image,
            Volume(np.where(label.array == 3, 7, label.array).astype(np.uint8), label.geometry),
            "7",
        ),
        "background": (
            image,
            Volume(np.zeros_like(label.array), label.geometry),
            "no label|background|empty",
        ),
        "nan": (Volume(nan, image.geometry), label, "finite"),
    }
    for name, (scan, labelmap, said) in cases.items():
        with pytest.raises(InputError, match=said):
            run(short(broken_store(tmp_path / name, scan, labelmap), tmp_path / f"{name}_model"))


def test_a_run_too_short_for_unlabelled_scans_says_so_and_counts_none(tmp_path: Path, a_store: Path) -> None:
    trained, events = run(short(a_store, tmp_path / "model", shots=1, unlabelled=a_store))
    assert trained.card.training.unlabelled == 0
    assert "The 2 scans without labels were not learnt from" in messages(events, "warning")


def test_copies_of_images_in_use_do_not_join_whatever_file_they_are_in_and_a_lost_file_is_no_obstacle(
    tmp_path: Path, a_store: Path, ball: Ball
) -> None:
    """A training, a left-out and a held-out image, written again; the file of one held-out case is gone."""
    shutil.copytree(a_store, tmp_path / "store")
    store = CaseStore.open(tmp_path / "store")
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("ball_0", "ball_1", "ball_3"):
        write_volume(folder / f"{name}.nii", store.read_image(store.case(name)))
    write_volume(folder / "new.nii.gz", ball(72)[0])
    store.case("ball_4").images[0].unlink()
    request = short(store.folder, tmp_path / "model", unlabelled=folder, exclude=["ball_1"], settings=JOINING)
    trained, events = run(request)
    assert trained.card.training.unlabelled == 1
    assert "ball_4 (" in messages(events, "warning")
    assert "2 unlabelled scans were left out: their images are used" in messages(events, "info")
    new = voxel_hash(store.read_image(Case("new", [folder / "new.nii.gz"])))
    assert trained.card.training.unlabelled_hashes == sorted({new, files_hash([folder / "new.nii.gz"])})


def test_an_image_of_the_test_list_of_a_plain_decathlon_folder_is_never_learnt_from(
    tmp_path: Path, a_store: Path, ball: Ball
) -> None:
    """Its test images have no label and no recorded hash; they come as files, as copies and as linked scans."""
    source, plain, scans = CaseStore.open(a_store), tmp_path / "plain", tmp_path / "scans"
    for name in ("ball_0", "ball_1", "ball_3"):
        part = "Ts" if name == "ball_3" else "Tr"
        write_volume(plain / f"images{part}" / f"{name}.nii.gz", source.read_image(source.case(name)))
        if part == "Tr":
            write_labelmap(plain / "labelsTr" / f"{name}.nii.gz", source.read_labels(source.case(name)))
    entries = [
        {"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in ("ball_0", "ball_1")
    ]
    index = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "Upper", "3": "Lower"}}
    index |= {"training": entries, "test": ["./imagesTs/ball_3.nii.gz"]}
    (plain / "dataset.json").write_text(json.dumps(index), encoding="utf-8")
    write_volume(scans / "renamed.nii", source.read_image(source.case("ball_3")))
    write_volume(scans / "new.nii.gz", ball(72)[0])
    new = files_hash([scans / "new.nii.gz"])
    for number, folder in enumerate((plain / "imagesTs", scans)):
        request = short(plain, tmp_path / f"model_{number}", unlabelled=folder, settings=JOINING)
        learnt = run(request)[0].card.training.unlabelled_hashes
        assert (new in learnt, len(learnt)) == ((True, 2) if folder == scans else (False, 0))
    CaseStore.open(plain).link([scans])
    learnt = run(short(plain, tmp_path / "linked", settings=JOINING))[0].card.training.unlabelled_hashes
    assert (new in learnt, len(learnt)) == (True, 2)


def test_a_scan_learnt_from_without_labels_does_not_score_the_model_later(
    tmp_path: Path, a_store: Path, ball: Ball
) -> None:
    shutil.copytree(a_store, tmp_path / "store")
    image, label = ball(73)
    write_volume(tmp_path / "scans" / "new.nii.gz", image)
    request = short(tmp_path / "store", tmp_path / "model", unlabelled=tmp_path / "scans", settings=JOINING)
    trained, _ = run(request)
    store = CaseStore.open(tmp_path / "store")
    store.add_case(NewCase([image], label, case_id="later", held_out=True))
    verdict = judge(trained.folder, store, parent=None, device="cpu", precision="fp32")
    assert {row.case for row in verdict.cases} == {"ball_3", "ball_4"}
