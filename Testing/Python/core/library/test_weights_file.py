"""Published Swin UNETR weights: known by their content in whatever form, and nothing in a file is executed."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import SwinUNETR
from safetensors.torch import save_file
from typer.testing import CliRunner

from medcontext import networks
from medcontext.cli.app import app
from medcontext.errors import InputError
from medcontext.library import (
    export_archive,
    import_model,
    load_encoder_folder,
    verify,
)
from medcontext.library.published.swin_unetr import recognise

pytestmark = pytest.mark.usefixtures("names_once")

State = dict[str, torch.Tensor]
Features = dict[bool, tuple[torch.Tensor, torch.Tensor]]
IMAGE = torch.randn(1, 1, 32, 32, 64, generator=torch.Generator().manual_seed(0))


def a_swin(**changes: Any) -> SwinUNETR:
    """MONAI's network, small, with random weights."""
    torch.manual_seed(0)
    options = {"feature_size": 12, "depths": (1, 2, 1, 1), "num_heads": (2, 2, 4, 4), "window_size": 4}
    return SwinUNETR(1, 3, **(options | changes)).eval()


@pytest.fixture(scope="module")
def swin() -> SwinUNETR:
    return a_swin(use_v2=True)


@pytest.fixture(scope="module")
def features(swin: SwinUNETR) -> Features:
    """What MONAI's network makes of an image: with the convolutions before its stages (True), and without."""
    plain = a_swin()
    plain.load_state_dict(swin.state_dict(), strict=False)
    found = {}
    for second, network in ((True, swin), (False, plain)):
        with torch.no_grad():
            *_, deep, deepest = network.swinViT(IMAGE, True)
            found[second] = (deep, network.encoder10(deepest))
    return found


def parts(state: State, *, decoder: bool = False, transformer_only: bool = False) -> State:
    """The parts that a pre-training holds."""
    kept = {
        name: value for name, value in state.items() if name.startswith(("swinViT", "encoder")) or decoder
    }
    return {n: v for n, v in kept.items() if n.startswith("swinViT")} if transformer_only else kept


def renamed(state: State, change: Callable[[str], str]) -> State:
    return {change(name): value for name, value in state.items()}


def noise(state: State) -> State:
    """The same tensors with other numbers, as a teacher has them."""
    return {name: value + 1 for name, value in state.items()}


def head(*names: str) -> State:
    """Tensors of a pre-training that are no part of the network."""
    return {name: torch.ones(4, 4) for name in names}


def front(text: str) -> Callable[[str], str]:
    return lambda name: text + name


def old_mlp(name: str) -> str:
    return name.replace("mlp.linear", "mlp.fc")


def bare(name: str) -> str:
    return name.removeprefix("swinViT.")


FORMS: dict[str, Callable[[State], Any]] = {
    "VoCo 1": lambda s: {
        "global_step": 1000,
        "state_dict": renamed(noise(parts(s)), front("teacher."))
        | renamed(parts(s), front("student."))
        | head("student.projector.0.weight", "teacher.projector.0.weight"),
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-4}]},
    },
    "VoCo 1 of several processes": lambda s: {
        "state_dict": renamed(parts(s), front("module.student."))
        | renamed(noise(parts(s)), front("module.teacher.")),
    },
    "VoCo 2": lambda s: {
        "state_dict": renamed(parts(s), front("backbone."))
        | head("student.layer1.0.weight", "teacher.layer1.0.weight"),
    },
    "VoCo 2 of several processes": lambda s: {"state_dict": renamed(parts(s), front("module.backbone."))},
    "released, under state_dict": lambda s: {"epoch": 1, "best_acc": np.float64(0.8), "state_dict": s},
    "released, under model": lambda s: {"model": s, "args": argparse.Namespace(lr=1e-4)},
    "released, under net": lambda s: {"net": renamed(s, front("module."))},
    "released, bare": lambda s: s,
    "released, spelt swin_vit": lambda s: {
        "state_dict": renamed(s, lambda name: "module." + name.replace("swinViT", "swin_vit"))
    },
    "MONAI, as load_from takes it": lambda s: {
        "state_dict": renamed(parts(s, transformer_only=True), lambda name: "module." + old_mlp(bare(name)))
    },
    "MONAI, transformer without module": lambda s: renamed(parts(s, transformer_only=True), bare),
    "MONAI, with the heads of its training": lambda s: {
        "state_dict": parts(s, transformer_only=True)
        | head("rotation_head.weight", "contrastive_head.weight", "conv.0.weight"),
        "optimizer": {"state": {}},
    },
    "MONAI, heads, several processes, old names": lambda s: {
        "state_dict": renamed(parts(s, transformer_only=True), lambda name: "module." + old_mlp(name))
        | head("module.rotation_head.weight")
    },
    "MONAI, as filter_swinunetr takes it": lambda s: {
        "model": renamed(
            parts(s, transformer_only=True),
            lambda name: "encoder." + bare(name).replace(".0.", ".0.0.", 1),
        )
        | head("encoder.mask_token", "encoder.norm.weight")
    },
}


def saved(data: Any, path: Path) -> Path:
    torch.save(data, path)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_published_form_becomes_the_same_encoder(
    tmp_path: Path, own_home: Path, swin: SwinUNETR, features: Features, form: str
) -> None:
    state = {name: value.clone() for name, value in swin.state_dict().items()}
    if form == "MONAI, as filter_swinunetr takes it":  # its networks have no convolution before a stage
        state = {name: value for name, value in state.items() if "c.0.layer" not in name}
    imported = import_model(saved(FORMS[form](state), tmp_path / f"{form}.pt"))
    assert imported.folder.parent == own_home / "models"
    encoder = load_encoder_folder(imported.folder)
    assert encoder.card.network.kwargs == {
        "feature_size": 12,
        "depths": [1, 2, 1, 1],
        "num_heads": [2, 2, 4, 4],
        "window_size": 4,
        "use_v2": "filter_swinunetr" not in form,
    }
    assert set(encoder.state) == set(imported.report.matched)
    network = networks.build(encoder.card.network, 1, 2).eval()
    assert network.load_state_dict(encoder.state, strict=False).unexpected_keys == []
    alone = form.startswith("MONAI")
    missing = {name for name in network.state_dict() if alone and name.startswith("backbone.encoder")}
    assert set(imported.report.missing) == missing
    with torch.no_grad():
        computed = network.encode(IMAGE)
    deep, deepest = features["filter_swinunetr" not in form]
    assert torch.equal(computed[4], deep)
    assert alone or torch.equal(computed[5], deepest)


def test_what_is_no_part_of_the_encoder_is_named(tmp_path: Path, swin: SwinUNETR) -> None:
    data = FORMS["VoCo 1"](swin.state_dict())
    report = import_model(saved(data, tmp_path / "v1.pt")).report
    reasons = dict(report.unmatched)
    assert reasons["student.projector.0.weight"] == "no part of the network"
    assert reasons["teacher.swinViT.patch_embed.proj.weight"] == "no part of the network"
    assert len(report.matched) + len(reasons) == len(data["state_dict"])
    released = import_model(saved(dict(swin.state_dict()), tmp_path / "released.pt")).report
    assert (
        dict(released.unmatched)["decoder5.transp_conv.conv.weight"] == "not in the encoder of this network"
    )
    assert all(name.startswith(("decoder", "out")) for name, _ in released.unmatched)


def test_of_student_and_teacher_the_student_is_taken_and_that_is_said(
    tmp_path: Path, swin: SwinUNETR
) -> None:
    imported = import_model(saved(FORMS["VoCo 1"](swin.state_dict()), tmp_path / "v1.pt"))
    encoder = load_encoder_folder(imported.folder)
    name = "swinViT.patch_embed.proj.bias"
    assert torch.equal(encoder.state[f"backbone.{name}"], swin.state_dict()[name])
    assert "Form: student.swinViT.patch_embed.proj.weight" in (imported.folder / "README.md").read_text()
    assert "left out: teacher.swinViT" in encoder.card.training.config["Notes"]


def test_the_card_says_no_more_than_the_file(tmp_path: Path, swin: SwinUNETR) -> None:
    imported = import_model(
        saved(parts(swin.state_dict()), tmp_path / "Some Weights.pt"), id="swin", title="Abdomen"
    )
    card = load_encoder_folder("swin").card
    assert (card.title, card.method, card.license) == ("Abdomen", "imported", "unspecified")
    assert [channel.modality for channel in card.input.channels] == ["unknown"]
    assert card.training.config["File"] == "Some Weights.pt"
    text = (imported.folder / "README.md").read_text(encoding="utf-8")
    assert "The weights say nothing else about the images" in text
    assert "mm" not in text
    facts = json.loads((imported.folder / "training" / "import.json").read_text(encoding="utf-8"))
    assert facts == imported.report.to_json()
    assert [str(finding.message) for finding in verify("swin")] == ["The licence is not specified."]


@pytest.mark.parametrize("features", [48, 96, 192])
@pytest.mark.parametrize("second", [False, True], ids=["v1", "v2"])
def test_the_sizes_that_are_published_are_read_off_their_shapes(features: int, second: bool) -> None:
    names = ("blocks.0", "blocks.1")
    shapes: State = {"swinViT.patch_embed.proj.weight": torch.empty(features, 1, 2, 2, 2, device="meta")}
    for stage, heads in enumerate((3, 6, 12, 24)):
        width, place = features * 2**stage, f"swinViT.layers{stage + 1}.0"
        for name in names:
            attention = f"{place}.{name}.attn"
            shapes[f"{attention}.relative_position_bias_table"] = torch.empty(13**3, heads, device="meta")
            shapes[f"{attention}.qkv.weight"] = torch.empty(3 * width, width, device="meta")
    if second:
        shapes["swinViT.layers1c.0.layer.conv1.conv.weight"] = torch.empty(1, device="meta")
    found = recognise(shapes)
    assert found is not None
    assert found.in_channels == 1
    assert found.network.kwargs == {
        "feature_size": features,
        "depths": [2, 2, 2, 2],
        "num_heads": [3, 6, 12, 24],
        "window_size": 7,
        "use_v2": second,
    }


def test_other_files_than_those_of_torch_are_read(tmp_path: Path, swin: SwinUNETR) -> None:
    state = parts(swin.state_dict())
    save_file(state, tmp_path / "a.safetensors")
    torch.save({"state_dict": state}, tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    reports = [import_model(tmp_path / name).report for name in ("a.safetensors", "b.pth")]
    assert [report.share for report in reports] == [1.0, 1.0]


class Malicious:
    """Would make a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("write", ["zip", "legacy", "pickle"])
def test_a_file_that_would_run_code_is_refused_and_runs_nothing(
    tmp_path: Path, own_home: Path, swin: SwinUNETR, write: str
) -> None:
    data = {"state_dict": parts(swin.state_dict()), "extra": Malicious(tmp_path / "executed")}
    path = tmp_path / "weights.pt"
    if write == "pickle":
        path.write_bytes(pickle.dumps(data["extra"]))
    else:
        torch.save(data, path, _use_new_zipfile_serialization=write == "zip")
    with pytest.raises(InputError, match="could run any program; it was not opened"):
        import_model(path)
    assert not (tmp_path / "executed").exists()
    assert not list((own_home / "models").glob("*")) if (own_home / "models").exists() else True
    if write == "zip":  # the file would have done it
        torch.load(path, weights_only=False)
        assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_file_that_is_cut_off_is_refused(
    tmp_path: Path, swin: SwinUNETR, share: float, zipped: bool
) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"state_dict": parts(swin.state_dict())}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"damaged or no file of weights|no file of weights"):
        import_model(path)


def _two_dimensional(_: State) -> State:
    return dict(SwinUNETR(1, 2, feature_size=12, spatial_dims=2).state_dict())


def _of_another_network(_: State) -> State:
    return dict(networks.build("segresnet", 1, 2, init_filters=4, blocks_down=[1, 1]).state_dict())


def _with_a_stage_less(state: State) -> State:
    return {name: value for name, value in state.items() if "layers3.0.blocks" not in name}


def _hardly_any(state: State) -> State:
    needed = ("patch_embed.proj.weight", "relative_position_bias_table", "qkv.weight")
    return {name: value for name, value in state.items() if name.endswith(needed)}


def _larger_than_the_file(state: State) -> State:
    name = "encoder10.layer.conv1.conv.weight"
    return state | {name: torch.zeros(1).expand(state[name].shape)}


def _enormous(state: State) -> State:
    return state | {"swinViT.patch_embed.proj.weight": torch.zeros(1).expand(12 * 10**6, 1, 2, 2, 2)}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_two_dimensional, r"Swin transformer with patches of 2 x 2; only 3D ones"),
        (
            _of_another_network,
            r"holds no weights that are known here: its tensors are called backbone\.encoder",
        ),
        (_with_a_stage_less, r"no whole Swin UNETR: blocks of some of its 4 stages are missing"),
        (_hardly_any, r"Only 11 of \d+ tensors of the encoder of this swin_unetr are in"),
        (_larger_than_the_file, r"is damaged: 'encoder10.* claims \d+ numbers and holds fewer"),
        (_enormous, r"Swin UNETR with 12000000 features; a multiple of 12 up to 384"),
        (lambda _: {}, r"there are no tensors in it"),
        (lambda _: {"swinViT": [1, 2]}, r"there are no tensors in it"),
    ],
)
def test_what_is_no_swin_unetr_is_refused(
    tmp_path: Path, own_home: Path, swin: SwinUNETR, change: Callable[[State], Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        import_model(saved(change(dict(swin.state_dict())), tmp_path / "weights.pt"))
    assert not list(own_home.glob("models/*"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_program_is_no_file_of_weights(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "net.pt")
    with pytest.raises(InputError, match="is a TorchScript program"):
        import_model(tmp_path / "net.pt")


def test_the_door_takes_models_and_weights(tmp_path: Path, a_model: Path, swin: SwinUNETR) -> None:
    assert import_model(a_model).folder.name == "tiny"
    shutil.rmtree(import_model(a_model).folder)
    again = import_model(export_archive(a_model, tmp_path / "tiny.zip"), id="other", title="Another")
    assert (again.folder.name, again.report) == ("other", None)
    assert '"title": "Another"' in (again.folder / "model.json").read_text(encoding="utf-8")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="neither a model"):
        import_model(tmp_path / "folder")
    saved(parts(swin.state_dict()), tmp_path / "folder" / "model_swinvit.pt")
    first = import_model(tmp_path / "folder")
    assert first.folder.name == "model_swinvit"
    assert first.report is not None
    assert import_model(tmp_path / "folder").folder == first.folder
    shutil.copy(tmp_path / "folder" / "model_swinvit.pt", tmp_path / "folder" / "other.pth")
    with pytest.raises(InputError, match=r"holds 2 files of weights \(model_swinvit.pt, other.pth\)"):
        import_model(tmp_path / "folder")
    with pytest.raises(InputError, match="does not exist"):
        import_model(tmp_path / "nothing.pt")


def test_the_command_tells_what_fitted(tmp_path: Path, swin: SwinUNETR) -> None:
    path = saved(parts(swin.state_dict(), transformer_only=True) | head("conv.0.weight"), tmp_path / "ssl.pt")
    result = CliRunner().invoke(app, ["model", "import", str(path), "--id", "swin", "--title", "Swin"])
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "tensors of the encoder come from ssl.pt" in text
    assert "start anew (backbone.encoder1.layer.conv1.conv.weight, " in text
    assert "1 in it do not fit (conv.0.weight: no part of the network)" in text
    assert "medcontext train --init-from swin" in text
    again = CliRunner().invoke(app, ["model", "import", str(path), "--id", "swin", "--json"])
    last = json.loads(again.stdout.splitlines()[-1])
    assert (last["id"], last["kind"]) == ("swin", "encoder")
    assert last["transfer"]["unmatched"] == [{"name": "conv.0.weight", "reason": "no part of the network"}]
    shown = " ".join(CliRunner().invoke(app, ["model", "show", "swin"]).output.split())
    assert "encoder: segments nothing by itself" in shown
    assert "Field of view" not in shown
    assert "(encoder)" in CliRunner().invoke(app, ["model", "list"]).output
    assert CliRunner().invoke(app, ["model", "verify", "swin"]).exit_code == 0
