"""Model folders of the kind encoder: only the encoder is in them, and nothing takes them for a whole model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from medcontext.card_schema import ModelCard, TrainingRecord
from medcontext.errors import InputError
from medcontext.library import (
    export_archive,
    export_monai_bundle,
    import_archive,
    load_encoder_folder,
    load_model,
    read_card,
    save_encoder,
    verify,
)
from medcontext.library.folder import sha256_of
from medcontext.library.write import card_json
from medcontext.networks import SegmentationNetwork
from medcontext.networks.encoder import encoder_state
from medcontext.plan import Plan


@pytest.fixture
def an_encoder(tmp_path: Path, a_card: ModelCard, a_plan: Plan, a_network: SegmentationNetwork) -> Path:
    """The folder of a good encoder."""
    folder = tmp_path / "an encoder ü"
    record = TrainingRecord(unlabelled=14, steps=500, minutes=20, metrics={"position_accuracy": 0.41})
    update = {"id": "hips", "title": "Hips", "method": "voco", "training": record}
    plan = a_plan.model_copy(update={"labels": []})
    files: dict[str, Path | bytes | str] = {"training/log.jsonl": '{"step": 1}\n'}
    save_encoder(folder, a_card.model_copy(update=update), a_network, plan, files=files)
    return folder


def test_the_encoder_and_nothing_else_is_saved(an_encoder: Path, a_network: SegmentationNetwork) -> None:
    loaded = load_encoder_folder(an_encoder)
    expected = encoder_state(a_network)
    assert set(loaded.state) == set(expected) < set(a_network.state_dict())
    assert all(torch.equal(loaded.state[name], value) for name, value in expected.items())
    assert (loaded.card.kind, loaded.card.labels) == ("encoder", [])
    assert loaded.sha256 == sha256_of(an_encoder / "weights.safetensors")
    assert loaded.source == "'Hips' (a dynunet)"
    assert set(load_file(an_encoder / "weights.safetensors")) == set(expected)


def test_its_readme_says_what_it_is_and_how_to_use_it(an_encoder: Path) -> None:
    text = (an_encoder / "README.md").read_text(encoding="utf-8")
    assert "`hips` version 1.0.0: is a pre-trained encoder on MRI (3D)." in text
    assert "the part of a `dynunet` that a training starts from, and segments nothing by itself" in text
    assert "- 14 scans without labels." in text
    assert "- position_accuracy: 0.41" in text
    assert "medcontext train --data STORE --init-from hips -o MODEL" in text
    assert "medcontext finetune --data STORE -m hips -o MODEL" in text
    assert "labelled cases" not in text
    assert "medcontext segment" not in text


def test_a_good_one_has_no_finding(an_encoder: Path) -> None:
    assert verify(an_encoder) == []


def test_it_cannot_be_loaded_to_segment(an_encoder: Path) -> None:
    with pytest.raises(InputError) as refused:
        load_model(an_encoder)
    assert refused.value.message == "'Hips' is of the kind 'encoder' and cannot segment by itself."
    assert "medcontext train --init-from" in refused.value.hint


def test_it_cannot_be_written_as_a_bundle(an_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only 3D segmentation models"):
        export_monai_bundle(an_encoder, tmp_path / "bundle")


def test_a_model_that_segments_is_no_encoder(a_model: Path) -> None:
    with pytest.raises(InputError, match="'Two labels' is of the kind 'segmentation' and no encoder"):
        load_encoder_folder(a_model)


def test_it_travels_as_an_archive(an_encoder: Path, tmp_path: Path, own_home: Path) -> None:
    folder = import_archive(export_archive(an_encoder, tmp_path / "hips.zip"))
    assert folder == own_home / "models" / "hips"
    assert load_encoder_folder("hips").sha256 == load_encoder_folder(an_encoder).sha256
    assert (folder / "training" / "log.jsonl").exists()


def _rewritten(folder: Path, state: dict[str, torch.Tensor]) -> None:
    """Other weights with the right hash."""
    save_file(state, folder / "weights.safetensors")
    card = read_card(folder)
    entry = card.weights[0].model_copy(update={"sha256": sha256_of(folder / "weights.safetensors")})
    (folder / "model.json").write_bytes(card_json(card.model_copy(update={"weights": [entry]})))


def test_changed_weights_are_noticed(an_encoder: Path) -> None:
    data = bytearray((an_encoder / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (an_encoder / "weights.safetensors").write_bytes(bytes(data))
    assert "their hash is" in verify(an_encoder)[0].message
    with pytest.raises(InputError, match="are not the ones"):
        load_encoder_folder(an_encoder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda state: state | {"decoder.weight": torch.zeros(2)}, "not in the encoder of this network"),
        (lambda state: dict(list(state.items())[:2]), "it holds 2 of"),
    ],
    ids=["tensors of something else", "hardly any tensor"],
)
def test_weights_that_do_not_fit_the_network_are_found(an_encoder: Path, change: Any, sentence: str) -> None:
    _rewritten(an_encoder, change(load_encoder_folder(an_encoder).state))
    findings = verify(an_encoder)
    assert [finding.severity for finding in findings] == ["error"]
    assert sentence in findings[0].message


def test_weights_may_lack_a_part(an_encoder: Path) -> None:
    state = load_encoder_folder(an_encoder).state
    _rewritten(an_encoder, dict(list(state.items())[2:]))
    assert verify(an_encoder) == []
