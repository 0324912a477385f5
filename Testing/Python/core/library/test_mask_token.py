"""A model keeps what it was taught to take for hidden parts; one without it can be used as before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from medcontext.card_schema import ModelCard
from medcontext.errors import InputError
from medcontext.library import export_archive, import_archive, load_model, save_model, verify
from medcontext.masking.network import MaskedNetwork, MaskToken
from medcontext.networks import SegmentationNetwork

IMAGE = torch.randn(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))
MASK = torch.zeros(1, 16, 16, 16, dtype=torch.bool)
MASK[:, 4:10, 4:10, 4:10] = True


@pytest.fixture
def a_masked(a_network: SegmentationNetwork) -> MaskedNetwork:
    masked = MaskedNetwork(a_network, mask_before_position=False, mask_image_skips=False)
    assert masked.mask_token is not None
    masked.mask_token.data.normal_(generator=torch.Generator().manual_seed(2))
    return masked.eval()


@pytest.fixture
def a_folder(tmp_path: Path, a_card: ModelCard, a_masked: MaskedNetwork) -> Path:
    states = [a_masked.network.state_dict()]
    save_model(tmp_path / "m", a_card, states, mask_token=a_masked.token, dtype="float16")
    return tmp_path / "m"


def test_the_loaded_network_hides_as_the_trained_one(
    tmp_path: Path, a_card: ModelCard, a_masked: MaskedNetwork
) -> None:
    save_model(tmp_path / "m", a_card, [a_masked.network.state_dict()], mask_token=a_masked.token)
    loaded = load_model(tmp_path / "m")
    assert loaded.masked_network is not None
    with torch.no_grad():
        expected, found = a_masked(IMAGE, MASK)[0], loaded.masked_network(IMAGE, MASK)[0]
        blank = loaded.networks[0](IMAGE.masked_fill(MASK.unsqueeze(1), 0))
    assert torch.equal(found, expected)
    assert not torch.allclose(found, blank)
    assert next(loaded.masked_network.network.parameters()) is next(loaded.networks[0].parameters())


def test_it_is_listed_with_its_hash_and_travels_with_the_model(
    a_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = load_model(a_folder).card.mask_token
    assert entry is not None
    assert (entry.before_position, entry.image_skips, entry.dtype) == (False, False, "float32")
    assert entry.sha256 in (a_folder / "README.md").read_text(encoding="utf-8")
    assert not [f for f in verify(a_folder) if f.severity == "error"]
    monkeypatch.setenv("MEDCONTEXT_HOME", str(tmp_path / "home"))
    imported = import_archive(export_archive(a_folder, tmp_path / "m.zip"))
    assert load_model(imported).masked_network is not None


def test_a_card_from_before_has_none(a_model: Path) -> None:
    card = json.loads((a_model / "model.json").read_text())
    del card["mask_token"]
    (a_model / "model.json").write_text(json.dumps(card))
    assert load_model(a_model).masked_network is None
    assert not verify(a_model)


def test_a_changed_or_missing_token_is_refused(a_folder: Path) -> None:
    path = a_folder / "mask_token.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match="are not the ones"):
        load_model(a_folder)
    path.unlink()
    assert "missing" in " ".join(f.message for f in verify(a_folder))


def test_a_token_of_another_size_is_refused(
    tmp_path: Path, a_card: ModelCard, a_network: SegmentationNetwork
) -> None:
    save_model(tmp_path / "m", a_card, [a_network.state_dict()], mask_token=MaskToken(torch.ones(3)))
    with pytest.raises(InputError, match=r"does not fit 'dynunet': a mask token of \(3,\)"):
        load_model(tmp_path / "m")
    assert "does not fit" in " ".join(f.message for f in verify(tmp_path / "m"))


def test_a_model_saved_again_without_one_loses_the_file(a_folder: Path, a_masked: MaskedNetwork) -> None:
    card = load_model(a_folder).card
    save_model(a_folder, card, [a_masked.network.state_dict()], replace=True)
    assert load_model(a_folder).masked_network is None
    assert not list(a_folder.glob("mask_token*"))
