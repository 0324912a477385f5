"""Training that starts from an encoder: what is taken over, what follows the data, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from medcontext import networks
from medcontext.batch.fit import read_model_card
from medcontext.card_schema import ModelCard, TrainingRecord
from medcontext.cli.app import app
from medcontext.data.store import CaseStore
from medcontext.errors import CancelledError, InputError
from medcontext.events import Event, Reporter
from medcontext.library import load_encoder_folder, load_model, read_card, save_encoder
from medcontext.library.folder import sha256_of
from medcontext.library.write import card_json
from medcontext.methods import make_config
from medcontext.networks.encoder import encoder_names
from medcontext.plan import NetworkSpec
from medcontext.worker.models import WarmModels
from medcontext.workflows.evaluate import evaluate
from medcontext.workflows.request import TrainRequest
from medcontext.workflows.segment import segment
from medcontext.workflows.suggest import suggest
from medcontext.workflows.train import TrainResult, train

pytestmark = pytest.mark.usefixtures("undrawn", "names_once")

UNTOUCHED = ["engine.optimiser.learning_rate=1e-12"]


def encoder_of(folder: Path, like: Path, **changes: Any) -> ModelCard:
    """An encoder in the network of a model, with the model's weights where it has the same network."""
    model = load_model(like)
    card = model.card.model_copy(
        update={"id": folder.name, "title": "Scans", "method": "voco", "parent": None}
    )
    card = card.model_copy(update={"training": TrainingRecord()} | changes)
    same = card.network == model.card.network
    network = model.networks[0] if same else networks.build(card.network, len(card.input.channels), 1)
    return save_encoder(folder, card, network)


@pytest.fixture(scope="module")
def an_encoder(tmp_path_factory: pytest.TempPathFactory, a_model: Path, a_store: Path) -> Path:
    """An encoder that saw a case to learn from and a held-out one, at a spacing of its own."""
    folder = tmp_path_factory.mktemp("encoders") / "scans"
    store = CaseStore.open(a_store)
    seen = [store.case(name).voxels for name in ("ball_0", "ball_3")]
    spec = read_card(a_model).input.model_copy(
        update={"spacing": (9.0, 9.0, 9.0), "patch_size": (64, 64, 64)}
    )
    record = TrainingRecord(unlabelled_hashes=seen, unlabelled=2)
    encoder_of(folder, a_model, input=spec, training=record, license="CC0-1.0")
    return folder


def request_of(store: Path, output: Path, encoder: Path, **changes: Any) -> TrainRequest:
    options: dict[str, Any] = {"method": "supervised", "steps": 1, "device": "cpu", "precision": "fp32"}
    options |= {"init_from": str(encoder), "settings": UNTOUCHED}
    return TrainRequest(store, output, **(options | changes))


def run(request: TrainRequest) -> tuple[TrainResult, list[Event]]:
    events: list[Event] = []
    return train(request, Reporter(events.append)), events


def test_the_encoder_is_taken_over_and_all_else_follows_the_data(
    tmp_path: Path, a_store: Path, a_model: Path, an_encoder: Path
) -> None:
    trained, events = run(request_of(a_store, tmp_path / "model", an_encoder))
    encoder, card = load_encoder_folder(an_encoder), trained.card
    network = load_model(trained.folder).networks[0]
    names = encoder_names(network)
    for name in names:
        torch.testing.assert_close(network.state_dict()[name], encoder.state[name], rtol=0, atol=1e-6)
    assert card.network == encoder.card.network
    assert card.input.spacing == read_card(a_model).input.spacing
    assert card.input.patch_size == read_card(a_model).input.patch_size
    assert [label.name for label in card.label_set] == ["Upper", "Lower"]
    assert card.kind == "segmentation"
    assert (card.parent.id, card.parent.sha256) == ("scans", encoder.sha256) if card.parent else False
    assert set(encoder.card.seen) <= set(card.training.inherited_hashes)
    assert (card.license, card.title) == ("CC0-1.0", "Balls: Upper, Lower (from scans)")
    facts = json.loads((trained.folder / "training" / "transfer.json").read_text(encoding="utf-8"))
    assert (facts["encoder"], facts["sha256"]) == ("scans", encoder.sha256)
    assert facts["matched"] == names
    assert (facts["unmatched"], facts["missing"], facts["share"]) == ([], [], 1.0)
    told = next(event for event in events if "transfer" in event)
    assert told["transfer"] == facts
    assert told["message"] == (
        f"{len(names)} of {len(names)} tensors of the encoder come from 'Scans'. The decoder starts anew."
    )


def test_what_it_learns_is_scored_by_itself_on_cases_that_the_encoder_did_not_see(
    tmp_path: Path, a_store: Path, an_encoder: Path
) -> None:
    trained, events = run(request_of(a_store, tmp_path / "model", an_encoder))
    verdict = trained.verdict
    assert verdict is not None
    assert verdict.word == ""
    assert [(row.case, row.parent) for row in verdict.cases] == [("ball_4", None)]
    assert not [event for event in events if event["event"] == "warning" and "not known" in event["message"]]


def test_nothing_is_known_yet_so_it_learns_at_the_full_rate(
    tmp_path: Path, a_store: Path, an_encoder: Path
) -> None:
    trained, _ = run(request_of(a_store, tmp_path / "model", an_encoder, method="medcontext", settings=[]))
    config: Any = make_config("medcontext")
    assert trained.card.training.config == config.model_dump(mode="json")


def _rewritten(source: Path, folder: Path, change: Any) -> Path:
    """A copy of an encoder with other tensors."""
    shutil.copytree(source, folder)
    save_file(change(load_file(folder / "weights.safetensors")), folder / "weights.safetensors")
    card = read_card(folder)
    entry = card.weights[0].model_copy(update={"sha256": sha256_of(folder / "weights.safetensors")})
    (folder / "model.json").write_bytes(card_json(card.model_copy(update={"weights": [entry]})))
    return folder


def test_what_does_not_fit_is_told_by_name(tmp_path: Path, a_store: Path, an_encoder: Path) -> None:
    state = load_encoder_folder(an_encoder).state
    names = list(state)

    def changed(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        more = {f"projector.{number}.weight": torch.zeros(2) for number in range(4)}
        return {name: value for name, value in tensors.items() if name != names[0]} | more

    other = _rewritten(an_encoder, tmp_path / "other", changed)
    trained, events = run(request_of(a_store, tmp_path / "model", other))
    message = next(event["message"] for event in events if "transfer" in event)
    assert f"1 are not in it and start anew ({names[0]})" in message
    assert "4 in it do not fit (projector.0.weight: not in the encoder of this network, " in message
    assert message.count("projector") == 3
    facts = json.loads((trained.folder / "training" / "transfer.json").read_text(encoding="utf-8"))
    assert facts["missing"] == [names[0]]
    assert [entry["name"] for entry in facts["unmatched"]] == [f"projector.{n}.weight" for n in range(4)]


def test_an_encoder_of_which_less_than_half_fits_is_refused(
    tmp_path: Path, a_store: Path, an_encoder: Path
) -> None:
    other = _rewritten(an_encoder, tmp_path / "other", lambda tensors: dict(list(tensors.items())[:2]))
    with pytest.raises(InputError, match=r"Only 2 of .* are in 'Scans' \(a dynunet\)"):
        train(request_of(a_store, tmp_path / "model", other))
    assert not (tmp_path / "model" / "model.json").exists()


def test_a_stopped_run_goes_on_without_loading_the_encoder_again(
    tmp_path: Path, a_store: Path, an_encoder: Path
) -> None:
    options: dict[str, Any] = {"steps": 6, "settings": []}
    straight, _ = run(request_of(a_store, tmp_path / "straight", an_encoder, **options))
    request, events = request_of(a_store, tmp_path / "model", an_encoder, **options), list[Event]()
    stop = Reporter(events.append, lambda: any(e.get("stage") == "train" for e in events))
    with pytest.raises(CancelledError):
        train(request, stop)
    trained, events = run(replace(request, resume=True))
    assert not [event for event in events if "transfer" in event]
    facts = [
        (folder / "training" / "transfer.json").read_bytes() for folder in (straight.folder, trained.folder)
    ]
    assert facts[0] == facts[1]
    assert trained.card.parent == straight.card.parent
    mine, theirs = (
        load_model(folder).networks[0].state_dict() for folder in (trained.folder, straight.folder)
    )
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_patch_is_one_that_the_encoders_network_takes(
    tmp_path: Path, a_store: Path, a_model: Path
) -> None:
    sizes = {"feature_size": 4, "hidden_size": 12, "mlp_dim": 16, "num_heads": 2}
    spec = NetworkSpec(name="unetr", kwargs={"patch_size": [16, 16, 32], **sizes})
    encoder_of(tmp_path / "encoder", a_model, network=spec)
    trained, _ = run(request_of(a_store, tmp_path / "model", tmp_path / "encoder"))
    assert trained.card.network.name == "unetr"
    assert trained.card.input.patch_size == (16, 16, 32)


def test_cases_left_out_are_scored_without_a_parent(tmp_path: Path, a_store: Path, an_encoder: Path) -> None:
    trained, events = run(request_of(a_store, tmp_path / "model", an_encoder, leave_one_out=True))
    assert trained.verdict is not None
    assert trained.verdict.word == ""
    rows = [(row.case, row.parent) for row in trained.verdict.cases]
    assert rows == [("ball_0", None), ("ball_1", None), ("ball_2", None)]
    warned = [event["message"] for event in events if event["event"] == "warning"]
    assert [text for text in warned if "The encoder saw case" in text] == [
        "The encoder saw case ball_0 without its labels: the score there may flatter."
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"network": "segresnet"}, "is a dynunet, not a segresnet"),
        ({"size": "large"}, "is an encoder, which has its own size"),
        ({"keep": "all"}, "knows no structures that could be kept"),
    ],
)
def test_options_that_an_encoder_has_decided_are_refused(
    tmp_path: Path, a_store: Path, an_encoder: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        train(request_of(a_store, tmp_path / "model", an_encoder, **changes))


def test_a_plan_for_another_network_is_refused(
    tmp_path: Path, a_store: Path, a_model: Path, an_encoder: Path
) -> None:
    plan = load_model(a_model).plan()
    assert plan is not None
    other = plan.model_copy(update={"network": NetworkSpec(name="mednext")})
    (tmp_path / "plan.json").write_text(other.model_dump_json(), encoding="utf-8")
    with pytest.raises(InputError, match=r"is the encoder of a dynunet; .* is a plan for a mednext"):
        train(request_of(a_store, tmp_path / "model", an_encoder, plan=tmp_path / "plan.json"))


def test_a_plan_gives_all_but_the_network(
    tmp_path: Path, a_store: Path, a_model: Path, an_encoder: Path
) -> None:
    plan = load_model(a_model).plan()
    assert plan is not None
    wide = NetworkSpec(name="dynunet", kwargs=plan.network.kwargs | {"filters": [32, 64, 64]})
    given = plan.model_copy(update={"network": wide, "spacing": (2.5, 2.0, 2.0)})
    (tmp_path / "plan.json").write_text(given.model_dump_json(), encoding="utf-8")
    trained, events = run(request_of(a_store, tmp_path / "model", an_encoder, plan=tmp_path / "plan.json"))
    assert trained.card.network == read_card(an_encoder).network
    assert trained.card.input.spacing == (2.5, 2.0, 2.0)
    assert any("not that of" in event.get("message", "") for event in events)


def test_an_encoder_for_another_number_of_channels_is_refused(
    tmp_path: Path, a_store: Path, a_model: Path
) -> None:
    spec = read_card(a_model).input
    two = spec.model_copy(update={"channels": [spec.channels[0]] * 2})
    encoder_of(tmp_path / "two", a_model, input=two, network=NetworkSpec(name="segresnet"))
    with pytest.raises(InputError, match=r"takes 2 channel\(s\) .*; the data have 1"):
        train(request_of(a_store, tmp_path / "model", tmp_path / "two"))


def test_the_command_tells_all_names(tmp_path: Path, a_store: Path, an_encoder: Path) -> None:
    command = ["finetune", "--data", str(a_store), "-m", str(an_encoder), "-o", str(tmp_path / "model")]
    command += ["--steps", "1", "--method", "supervised", "--device", "cpu", "--precision", "fp32", "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    last = json.loads(result.stdout.splitlines()[-1])
    assert last["event"] == "result"
    assert last["parent"]["id"] == "scans"
    assert sorted(last["transfer"]["matched"]) == sorted(load_encoder_folder(an_encoder).state)


DOORS: dict[str, Callable[[Path, Path], object]] = {
    "segment": lambda encoder, store: segment(store / "imagesTr", encoder, store),
    "evaluate": lambda encoder, store: evaluate(store, model=str(encoder)),
    "suggest": lambda encoder, store: suggest(store, encoder, candidates=["ball_0"]),
    "batch": lambda encoder, _: read_model_card(str(encoder)),
    "worker": lambda encoder, _: WarmModels().get(str(encoder), "cpu", "fp32", Reporter()),
    "load": lambda encoder, _: load_model(encoder),
}


@pytest.mark.parametrize("door", DOORS)
def test_no_door_segments_with_an_encoder(a_store: Path, an_encoder: Path, door: str) -> None:
    with pytest.raises(InputError) as refused:
        DOORS[door](an_encoder, a_store)
    assert refused.value.message == "'Scans' is of the kind 'encoder' and cannot segment by itself."
    assert "medcontext train --init-from ENCODER" in refused.value.hint
