"""Checkpoints in the names of the authors' code compute here what they compute there."""

from __future__ import annotations

import os
import pickle
import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import UNETR

from harness.authors_nnformer import State, authors_logits, authors_state
from medcontext.card_schema import ModelCard
from medcontext.errors import InputError
from medcontext.labels import Label, LabelSet
from medcontext.library import import_model, load_encoder_folder, load_model
from medcontext.library.import_options import ImportOptions

WINDOWS, TOKEN, HEADS = (2, 4, 2), (1, 2, 2), (2, 2, 4)
PATCH = (8, 16, 16)


@pytest.fixture(scope="module")
def unetr() -> UNETR:
    """As in the authors' settings, with fewer channels."""
    torch.manual_seed(0)
    sizes = {"feature_size": 4, "hidden_size": 64, "mlp_dim": 32, "num_heads": 1}
    return UNETR(1, 4, (32, 32, 32), proj_type="perceptron", **sizes).eval()


@pytest.fixture(scope="module")
def nnformer() -> State:
    return authors_state(8, HEADS, WINDOWS, TOKEN, classes=3, outputs=2)


def inlined(state: State) -> State:
    """The authors' names: their transformer lies in no module of its own; they add a mask token."""
    own = {name.removeprefix("vit."): value for name, value in state.items() if "cross_attn" not in name}
    return own | {"mask_token": torch.zeros(1, 1, 64)}


def front(text: str) -> Callable[[State], State]:
    return lambda state: {text + name: value for name, value in state.items()}


def saved(state: Any, path: Path) -> Path:
    torch.save(state, path)
    return path


UNETR_FORMS: dict[str, Callable[[State], Any]] = {
    "student of MedContext": lambda s: {"epoch": 4000, "best_acc": 70.0, "state_dict": inlined(s)},
    "of several processes": lambda s: {"state_dict": front("module.")(inlined(s))},
    "student and teacher in one": lambda s: (
        front("student.")(inlined(s)) | front("teacher.")({n: v + 1 for n, v in inlined(s).items()})
    ),
    "baseline of MONAI": lambda s: {"state_dict": s},
}


@pytest.mark.parametrize("form", UNETR_FORMS)
def test_a_unetr_gives_the_logits_of_its_authors(tmp_path: Path, unetr: UNETR, form: str) -> None:
    path = saved(UNETR_FORMS[form](dict(unetr.state_dict())), tmp_path / "student_4000.pt")
    imported = import_model(path)
    model = load_model(imported.folder)
    image = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model.networks[0](image), unetr(image), rtol=1e-5, atol=1e-5)
    assert [label["name"] for label in model.card.labels] == ["structure 1", "structure 2", "structure 3"]
    assert any("attention heads: 1 were taken" in note for note in imported.notes)
    assert form == "baseline of MONAI" or any("mask_token" in note for note in imported.notes)


def test_the_setting_of_a_unetr_is_that_of_the_authors_and_that_is_said(tmp_path: Path, unetr: UNETR) -> None:
    path = saved(inlined(dict(unetr.state_dict())), tmp_path / "unetr.pt")
    options = ImportOptions(labels=LabelSet((Label(2, "liver", (1, 2, 3)),)))
    imported = import_model(path, options=options)
    card = load_model(imported.folder).card
    # (K, J, I) of the code SAR is right, anterior, superior: the order of MONAI's arrays.
    assert (card.input.orientation, card.input.spacing) == ("SAR", (1.5, 1.5, 2.0))
    intensity = card.input.channels[0].intensity
    assert [(hu - (intensity.mean or 0)) / (intensity.std or 1) for hu in (-175, 250)] == [0, 1]
    assert card.label_set.named("liver").value == 2
    assert imported.form == "MedContext checkpoint (UNETR)"
    assert any("authors' setting for BTCV" in note for note in imported.notes)
    assert "authors' setting for BTCV" in (imported.folder / "README.md").read_text(encoding="utf-8")


def test_a_nnformer_gives_the_logits_of_its_authors(tmp_path: Path, nnformer: State) -> None:
    imported = import_model(saved({"state_dict": nnformer}, tmp_path / "model_final_checkpoint.model"))
    model = load_model(imported.folder)
    assert model.card.input.patch_size == PATCH
    image = torch.randn(1, 1, *PATCH)
    with torch.no_grad():
        expected = authors_logits(nnformer, image, WINDOWS, TOKEN)
        torch.testing.assert_close(model.networks[0](image), expected, rtol=1e-5, atol=1e-5)
        assert len(model.networks[0].forward_deep(image)) == 2
    assert any("how images were prepared is not known" in note for note in imported.notes)
    assert any("mask_token" in note for note in imported.notes)


def plans(**changes: Any) -> dict[str, Any]:
    """As nnU-Net 1 keeps them beside the weights."""
    statistics = {"mean": np.float64(80.0), "sd": np.float32(120.0)} | {
        "percentile_00_5": np.float64(-900.0),
        "percentile_99_5": np.float64(300.0),
    }
    stage = {"patch_size": np.array(PATCH), "current_spacing": np.array([3.0, 0.8, 0.8])}
    return {
        "plans_per_stage": {0: stage},
        "num_modalities": 1,
        "modalities": {0: "CT"},
        "normalization_schemes": OrderedDict({0: "CT"}),
        "use_mask_for_norm": OrderedDict({0: False}),
        "dataset_properties": {"intensityproperties": OrderedDict({0: statistics})},
        "transpose_forward": [0, 2, 1],
        "all_classes": [3, 7],
    } | changes


def test_the_plans_beside_a_nnformer_say_how_images_are_prepared(tmp_path: Path, nnformer: State) -> None:
    (tmp_path / "files").mkdir()
    path = saved({"state_dict": nnformer}, tmp_path / "files" / "final.model")
    content = {"init": (), "name": "nnFormerTrainer", "plans": plans()}
    path.with_name("final.model.pkl").write_bytes(pickle.dumps(content))
    imported = import_model(Path(shutil.make_archive(str(tmp_path / "nnformer"), "zip", path.parent)))
    card = load_model(imported.folder).card
    assert card.input.spacing == (3.0, 0.8, 0.8)
    assert (card.input.transpose, card.input.crop_to_nonzero) == ((0, 2, 1), True)
    intensity = card.input.channels[0].intensity
    assert (intensity.kind, intensity.low, intensity.high) == ("ct", -900.0, 300.0)
    assert (intensity.mean, intensity.std) == (80.0, 120.0)
    assert card.label_set.values == (3, 7)
    assert (card.inference.window_weight, card.inference.flips) == ("nnunet", [0, 1, 2])
    assert not any("not known" in note for note in imported.notes)


class Malicious:
    """Would make a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda mark: plans(extra=Malicious(mark)), "could run any program; it was not opened"),
        (
            lambda _: plans(normalization_schemes={0: "unheard of"}),
            "the normalisation unheard of is not known",
        ),
        (lambda _: plans(num_modalities=2), "holds no plans that are known here"),
        (lambda _: {"something": 1}, "holds no plans that are known here"),
        (lambda _: plans(all_classes=[1]), "has 3 output channels, and its plans list 1 labels"),
    ],
)
def test_plans_that_are_none_are_refused(
    tmp_path: Path, nnformer: State, content: Callable[[Path], Any], said: str
) -> None:
    path = saved({"state_dict": nnformer}, tmp_path / "final.model")
    (tmp_path / "final.model.pkl").write_bytes(pickle.dumps(content(tmp_path / "executed")))
    with pytest.raises(InputError, match=said):
        import_model(path)
    assert not (tmp_path / "executed").exists()


def as_acdc(state: State) -> State:
    """The first merging of the variant for ACDC spares an axis."""
    name = "model_down.layers.0.downsample.reduction.weight"
    return state | {name: state[name][:, :, :1]}


def test_what_does_not_fit_leaves_an_encoder_and_is_told(tmp_path: Path, nnformer: State) -> None:
    imported = import_model(saved(as_acdc(nnformer), tmp_path / "acdc.pt"))
    encoder = load_encoder_folder(imported.folder)
    assert encoder.card.network.kwargs["strides"] == [[1, 2, 2], [2, 2, 2]]
    assert imported.report is not None
    reasons = dict(imported.report.unmatched)
    assert "instead of" in reasons["merging.0.convolution.weight"]
    assert "training only" in reasons["model_down.mask_token"]
    assert torch.equal(encoder.state["norms.1.weight"], nnformer["model_down.norm1.weight"])


def test_a_transformer_alone_is_an_encoder(tmp_path: Path, unetr: UNETR) -> None:
    alone = {
        name: value for name, value in unetr.state_dict().items() if not name.startswith(("decoder", "out"))
    }
    imported = import_model(saved(alone, tmp_path / "vit.pt"))
    assert load_encoder_folder(imported.folder).card.network.name == "unetr"
    assert imported.report is not None
    assert imported.report.share == 1.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: {n: v for n, v in s.items() if ".11." not in n}, "UNETR with 11 layers"),
        (
            lambda s: s | {"vit.patch_embedding.position_embeddings": torch.zeros(1, 12, 64)},
            "only 12 layers and a cube",
        ),
        (
            lambda s: s | {"vit.patch_embedding.patch_embeddings.1.weight": torch.zeros(64, 4000)},
            "tokens of other",
        ),
        (
            lambda s: s | {"encoder1.layer.conv1.conv.weight": torch.zeros(9000, 1, 3, 3, 3)},
            "far fewer than the",
        ),
    ],
)
def test_what_is_no_unetr_of_ours_is_refused(
    tmp_path: Path, unetr: UNETR, change: Callable[[State], State], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        import_model(saved(change(dict(unetr.state_dict())), tmp_path / "unetr.pt"))


def test_a_damaged_table_of_positions_is_refused(tmp_path: Path, nnformer: State) -> None:
    name = "model_down.layers.0.blocks.0.attn.relative_position_index"
    with pytest.raises(InputError, match="table of relative positions is damaged"):
        import_model(saved(nnformer | {name: nnformer[name] + 1000}, tmp_path / "nnformer.pt"))


def test_choices_that_a_file_does_not_leave_are_refused(tmp_path: Path, nnformer: State) -> None:
    path = saved(nnformer, tmp_path / "nnformer.pt")
    with pytest.raises(InputError, match="leaves no choice of folds"):
        import_model(path, options=ImportOptions(folds=("0",)))
    card: ModelCard = load_model(import_model(path, options=ImportOptions(orientation="RAS")).folder).card
    assert card.input.orientation == "RAS"
