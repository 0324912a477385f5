"""A model as a results folder of nnU-Net: what its predictor reads is there, and is the same model."""

from __future__ import annotations

import json
from pathlib import Path
from pydoc import locate
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from medcontext import networks
from medcontext.card_schema import InferenceSpec, ModelCard, Postprocess
from medcontext.cli.app import app
from medcontext.errors import CancelledError, InputError
from medcontext.events import Reporter
from medcontext.library import ImportOptions, load_model, save_model
from medcontext.library.nnunet import convert_nnunet
from medcontext.library.nnunet.export import export_nnunet
from medcontext.plan import Channel, Intensity, NetworkSpec, ResamplePlan

WHOLE = Intensity(percentiles=(0, 100), within_nonzero=True)
CT = Intensity(kind="ct", low=-200.0, high=300.0, mean=40.0, std=60.0)
THREE_D: dict[str, Any] = {
    "architecture": "residual_encoder",
    "features_per_stage": [4, 6, 8],
    "strides": [1, [1, 2, 2], 2],
    "kernel_sizes": [[1, 3, 3], 3, 3],
    "n_blocks_per_stage": [1, 2, 1],
    "n_conv_per_stage_decoder": [1, 2],
    "stem_channels": 3,
    "block": "bottleneck",
    "bottleneck_channels": [2, 3, 4],
}
TWO_D: dict[str, Any] = {
    "dims": 2,
    "features_per_stage": [4, 6, 8],
    "strides": [1, 2, [2, 1]],
    "kernel_sizes": [3, 3, 3],
    "n_conv_per_stage": [1, 2, 1],
    "n_conv_per_stage_decoder": [1, 2],
    "conv_bias": False,
    "nonlinearity": "relu",
    "dropout": 0.1,
}


def changed(card: ModelCard, network: dict[str, Any], **changes: Any) -> ModelCard:
    """A card of a network of nnU-Net that nnU-Net can say whole; ``changes`` are of its input."""
    said = {"crop_to_nonzero": True, "orientation": "stored"} | changes
    return card.model_copy(
        update={
            "network": NetworkSpec(name="nnunet", kwargs=network),
            "input": card.input.model_copy(update=said),
            "inference": InferenceSpec(
                window_weight="nnunet",
                predictor="student",
                resample=ResamplePlan(order=3, coarse_axis="of_image"),
            ),
            "allowed_flips": [],
            "labels": [card.labels[0], card.labels[1] | {"value": 2}],
        }
    )


def saved(folder: Path, card: ModelCard, members: int = 1) -> Path:
    torch.manual_seed(0)
    classes = len(card.regions) if card.regions else card.classes
    built = [networks.build(card.network, len(card.input.channels), classes) for _ in range(members)]
    for network in built:
        for value in network.parameters():
            nn.init.normal_(value, std=0.3)
    save_model(folder, card, [network.state_dict() for network in built])
    return folder


def read(folder: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((folder / name).read_text(encoding="utf-8")))


def as_nnunet_builds(folder: Path, fold: int, channels: int, outputs: int) -> nn.Module:
    """The network that nnU-Net makes of a folder: classes by their names, weights by all of theirs."""
    path = folder / f"fold_{fold}" / "checkpoint_final.pth"
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["trainer_name"] == "nnUNetTrainer"
    configuration = read(folder, "plans.json")["configurations"][checkpoint["init_args"]["configuration"]]
    architecture = configuration["architecture"]
    arguments = dict(architecture["arch_kwargs"])
    for name in architecture["_kw_requires_import"]:
        arguments[name] = locate(arguments[name]) if arguments[name] else None
    build: Any = locate(architecture["network_class_name"])
    network: nn.Module = build(
        input_channels=channels, num_classes=outputs, deep_supervision=False, **arguments
    )
    network.load_state_dict(checkpoint["network_weights"])
    return network.eval()


def logits(network: nn.Module, image: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = network(image)
    return result


def test_the_bundled_model_is_the_same_network_there(tmp_path: Path) -> None:
    notes = export_nnunet("hippocampus", tmp_path / "out")
    ours = load_model("hippocampus").networks[0]
    theirs = as_nnunet_builds(tmp_path / "out", 0, 1, 3)
    image = torch.randn(1, 1, 16, 24, 16)
    torch.testing.assert_close(logits(theirs, image), logits(ours, image), rtol=1e-4, atol=1e-4)
    plans, dataset = read(tmp_path / "out", "plans.json"), read(tmp_path / "out", "dataset.json")
    configuration = plans["configurations"]["3d_fullres"]
    assert configuration["patch_size"] == [40, 56, 40]
    assert configuration["normalization_schemes"] == ["ZScoreNormalization"]
    assert configuration["resampling_fn_data_kwargs"]["force_separate_z"] is False
    assert dataset["labels"] == {"background": 0, "Anterior": 1, "Posterior": 2}
    assert convert_nnunet(tmp_path / "out", ImportOptions()).card.input.orientation == "LPS"
    told = " ".join(notes)
    assert "orientation LPS" in told
    assert "MRI (0.5 and 99.5 %)" in told


@pytest.mark.parametrize("kwargs", [THREE_D, TWO_D], ids=["residual", "slices"])
def test_networks_of_nnunet_are_built_and_loaded_by_their_names(
    kwargs: dict[str, Any], a_card: ModelCard, tmp_path: Path
) -> None:
    flat = "dims" in kwargs
    card = changed(a_card, kwargs, patch_size=(1, 16, 8) if flat else (8, 16, 8), dims=2 if flat else 3)
    model = saved(tmp_path / "model", card, members=2)
    export_nnunet(model, tmp_path / "out")
    image = torch.randn(1, 1, 16, 8) if flat else torch.randn(1, 1, 8, 16, 8)
    for fold, ours in enumerate(load_model(model).networks):
        given = logits(as_nnunet_builds(tmp_path / "out", fold, 1, 3), image)
        expected = logits(ours, image.unsqueeze(2) if flat else image)
        torch.testing.assert_close(given, expected.squeeze(2) if flat else expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["residual", "slices", "regions"])
def test_what_nnunet_can_say_comes_back_whole(form: str, a_card: ModelCard, tmp_path: Path) -> None:
    channels = [
        Channel(name="T1", modality="MRI", intensity=WHOLE),
        Channel(name="CT", modality="CT", intensity=CT),
    ]
    card = changed(a_card, THREE_D, channels=channels, transpose=(2, 0, 1), orientation="RAS")
    if form == "slices":
        card = changed(a_card, TWO_D, patch_size=(1, 16, 8), dims=2, channels=channels[1:])
        resample = ResamplePlan(order=3, coarse_axis="of_image", kept_axis=0)
        inference = card.inference.model_copy(update={"resample": resample, "flips": [1, 2]})
        card = card.model_copy(update={"inference": inference, "allowed_flips": [1, 2]})
    if form == "regions":
        overlapping = {"activation": "sigmoid", "regions": [[1, 2], [2]], "region_values": [1, 2]}
        card = card.model_copy(update=overlapping)
    model = saved(tmp_path / "model", card, members=2)
    notes = export_nnunet(model, tmp_path / "out")
    assert len(notes) == 1, "only colours and codes are lost"
    back = convert_nnunet(tmp_path / "out", ImportOptions())
    loaded = load_model(model)
    for part in ("network", "inference", "regions", "region_values", "activation", "allowed_flips"):
        assert _plain(getattr(back.card, part)) == _plain(getattr(loaded.card, part)), part
    spec = card.input.model_dump(exclude={"range", "channels"})
    assert back.card.input.model_dump(exclude={"range", "channels"}) == spec
    assert [c.intensity for c in back.card.input.channels] == [c.intensity for c in card.input.channels]
    assert [label.name for label in back.card.label_set] == [label.name for label in card.label_set]
    for state, network in zip(back.states, loaded.networks, strict=True):
        assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


def _plain(value: Any) -> Any:
    """Network arguments are compared as the network reads them: defaults filled in."""
    if isinstance(value, NetworkSpec):
        return networks.build(value, 1, 2).kwargs
    return value


def test_labels_are_counted_and_what_is_lost_is_said(a_card: ModelCard, tmp_path: Path) -> None:
    names = [a_card.labels[0] | {"name": "ignore"}, a_card.labels[1]]
    inference = InferenceSpec(
        overlap=0.25,
        flips=[1, 2],
        temperature=1.5,
        postprocess=Postprocess(largest_component=[4]),
        resample=ResamplePlan(separate_z=0),
    )
    update = {"labels": names, "inference": inference, "flip_pairs": [(1, 4)], "allowed_flips": [1, 2]}
    card = a_card.model_copy(update=update)
    notes = export_nnunet(saved(tmp_path / "model", card), tmp_path / "out")
    labels = read(tmp_path / "out", "dataset.json")["labels"]
    assert labels == {"background": 0, "ignore (structure)": 1, "posterior": 2}
    checkpoint = torch.load(tmp_path / "out/fold_0/checkpoint_final.pth", weights_only=True)
    assert checkpoint["inference_allowed_mirroring_axes"] == (1,)
    told = " ".join(notes)
    for words in (
        "4 becomes 2 (posterior)", "-step_size 0.75", "not averaged over left and right",
        "largest of the labels 4", "divides the logits by 1.5", "Which axis is coarse",
    ):  # fmt: skip
        assert words in told
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert all(note in text for note in notes)
    assert "nnUNetv2_predict_from_modelfolder" in text


def test_a_name_is_used_once_where_two_regions_paint_the_same(a_card: ModelCard, tmp_path: Path) -> None:
    card = changed(a_card, THREE_D)
    twice = {"activation": "sigmoid", "regions": [[1, 2], [2], [1]], "region_values": [1, 2, 1]}
    export_nnunet(saved(tmp_path / "model", card.model_copy(update=twice)), tmp_path / "out")
    dataset = read(tmp_path / "out", "dataset.json")
    assert dataset["labels"] == {"background": 0, "anterior": [1, 2], "posterior": [2], "anterior 2": [1]}
    assert dataset["regions_class_order"] == [1, 2, 1]


def test_what_nnunet_has_no_form_for_is_refused(a_card: ModelCard, a_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    network = NetworkSpec(name="dynunet", kwargs=a_card.network.kwargs | {"res_block": True})
    other = saved(tmp_path / "other", a_card.model_copy(update={"network": network}))
    with pytest.raises(InputError, match="what this dynunet with residual blocks does") as refused:
        export_nnunet(other, out)
    assert "nnunet and dynunet" in str(refused.value.hint)
    each = a_card.model_copy(update={"activation": "sigmoid", "regions": [[1], [4]]})
    with pytest.raises(InputError, match="judges each structure by itself"):
        export_nnunet(saved(tmp_path / "each", each), out)
    out.mkdir()
    (out / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something already"):
        export_nnunet(a_model, out)
    assert [path.name for path in out.iterdir()] == ["note.txt"]


def test_stopped_in_the_middle_nothing_is_left(a_model: Path, tmp_path: Path) -> None:
    with pytest.raises(CancelledError):
        export_nnunet(a_model, tmp_path / "deep" / "out", Reporter(cancelled=lambda: True))
    assert list((tmp_path / "deep").iterdir()) == []


def test_the_command_exports_and_says_the_notes(a_model: Path, tmp_path: Path) -> None:
    arguments = ["model", "export", str(a_model), "--format", "nnunet", "-o", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    event = json.loads(done.stdout.splitlines()[-1])
    assert event["event"] == "result"
    assert any("orientation LPS" in note for note in event["notes"])
    assert (tmp_path / "out" / "fold_0" / "checkpoint_final.pth").is_file()
