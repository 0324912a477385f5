"""A model that was saved is the model that is loaded, and a broken one is refused with a sentence."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from medcontext.card_schema import ModelCard
from medcontext.errors import InputError, ResourceError
from medcontext.library import folder as folder_module
from medcontext.library import load_model, load_states, save_model, verify
from medcontext.networks import SegmentationNetwork
from medcontext.plan import Plan


def change_card(folder: Path, **changes: Any) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")


def test_a_loaded_network_computes_what_the_saved_one_did(
    a_model: Path, a_network: SegmentationNetwork
) -> None:
    loaded = load_model(a_model)
    image = torch.randn(1, 1, 16, 16, 16)
    assert not loaded.networks[0].training
    assert torch.equal(loaded.networks[0](image), a_network(image))


def test_the_folder_holds_card_plan_readme_and_extra_files(a_model: Path, a_plan: Plan) -> None:
    loaded = load_model(a_model)
    assert loaded.plan() == a_plan
    assert (a_model / "training" / "log.jsonl").read_text() == '{"step": 1}\n'
    readme = (a_model / "README.md").read_text(encoding="utf-8")
    for said in ("anterior", "T1", "0.875 ± 0.02", "CC-BY-SA-4.0", "5 labelled cases", loaded.sha256):
        assert said in readme
    assert [f.message for f in verify(a_model)] == []
    assert not [p for p in a_model.parent.iterdir() if p.name.startswith(".")]


def test_an_ensemble_keeps_its_members_in_order(
    tmp_path: Path, a_card: ModelCard, a_network: SegmentationNetwork
) -> None:
    states = [{k: v + i for k, v in a_network.state_dict().items()} for i in range(3)]
    save_model(tmp_path / "m", a_card, states, teacher_state=states[0])
    loaded = load_model(tmp_path / "m")
    for state, network in zip(states, loaded.networks, strict=True):
        assert all(torch.equal(value, network.state_dict()[key]) for key, value in state.items())
    assert loaded.card.teacher_weights is not None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_halves_the_file_and_loads_as_float32(
    tmp_path: Path, a_card: ModelCard, a_network: SegmentationNetwork, dtype: Any, a_model: Path
) -> None:
    card = save_model(tmp_path / "half", a_card, [a_network.state_dict()], dtype=dtype)
    loaded = load_model(tmp_path / "half")
    assert {p.dtype for p in loaded.networks[0].parameters()} == {torch.float32}
    assert card.weights[0].dtype == dtype
    sizes = [(f / "weights.safetensors").stat().st_size for f in (tmp_path / "half", a_model)]
    assert sizes[0] < 0.6 * sizes[1]


def test_weights_that_are_not_finite_are_not_saved(
    tmp_path: Path, a_card: ModelCard, a_network: SegmentationNetwork
) -> None:
    state = a_network.state_dict()
    name = next(iter(state))
    state[name] = torch.full_like(state[name], 1e6)
    with pytest.raises(InputError, match="too large for float16"):
        save_model(tmp_path / "m", a_card, [state], dtype="float16")
    state[name][:] = torch.nan
    with pytest.raises(InputError, match="not finite"):
        save_model(tmp_path / "m", a_card, [state])
    assert not (tmp_path / "m").exists()


def test_metrics_that_are_not_finite_leave_valid_json(
    tmp_path: Path, a_card: ModelCard, a_network: SegmentationNetwork
) -> None:
    record = a_card.training.model_copy(update={"metrics": {"hd95": float("inf")}})
    save_model(tmp_path / "m", a_card.model_copy(update={"training": record}), [a_network.state_dict()])
    assert "Infinity" not in (tmp_path / "m" / "model.json").read_text()
    assert load_model(tmp_path / "m").card.training.metrics == {"hd95": None}


def test_a_model_is_replaced_only_when_told_to_and_other_files_stay(
    a_model: Path, a_card: ModelCard, a_network: SegmentationNetwork
) -> None:
    with pytest.raises(InputError, match="holds a model already"):
        save_model(a_model, a_card, [a_network.state_dict()])
    state = {key: value + 1 for key, value in a_network.state_dict().items()}
    save_model(a_model, a_card, [state], replace=True)
    found = load_model(a_model)
    assert torch.equal(next(iter(found.networks[0].state_dict().values())), next(iter(state.values())))
    assert len(list(a_model.glob("*.safetensors"))) == 1
    assert (a_model / "training" / "log.jsonl").is_file()


def test_a_models_weights_can_start_another_training(a_model: Path, a_network: SegmentationNetwork) -> None:
    card, states = load_states(a_model)
    assert card.id == "tiny"
    assert states[0].keys() == a_network.state_dict().keys()


# ---------------------------------------------------------------- what goes wrong while writing


class Interruptions:
    """Lets a number of calls through and then raises."""

    def __init__(self, call: Callable[..., Any], allowed: int, error: BaseException) -> None:
        self.call, self.left, self.error = call, allowed, error

    def __call__(self, *arguments: Any) -> Any:
        if self.left == 0:
            raise self.error
        self.left -= 1
        return self.call(*arguments)


def test_a_full_disk_leaves_nothing_and_says_so(
    tmp_path: Path, a_card: ModelCard, a_network: SegmentationNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(folder_module, "sync", Interruptions(folder_module.sync, 1, full))
    with pytest.raises(ResourceError, match=r"disk is full.*nothing was lost"):
        save_model(tmp_path / "m", a_card, [a_network.state_dict()])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("allowed", range(6))
def test_a_replacement_broken_off_at_any_moment_leaves_a_whole_model(
    a_model: Path,
    a_card: ModelCard,
    a_network: SegmentationNetwork,
    a_plan: Plan,
    monkeypatch: pytest.MonkeyPatch,
    allowed: int,
) -> None:
    """Six moves: README, plan, weights and card, and none; before the last the old model is there."""
    old = a_network.state_dict()
    new = {key: value + 1 for key, value in old.items()}
    with monkeypatch.context() as broken:
        replace = Interruptions(Path.replace, allowed, KeyboardInterrupt())
        broken.setattr(Path, "replace", lambda *arguments: replace(*arguments))
        try:
            save_model(a_model, a_card, [new], a_plan, replace=True)
        except KeyboardInterrupt:
            expected = old
        else:
            expected = new
    assert (expected is new) == (allowed >= 4)
    found = load_model(a_model).networks[0].state_dict()
    assert all(torch.equal(value, found[key]) for key, value in expected.items())


def test_a_process_killed_while_writing_leaves_no_model(a_model: Path, own_home: Path) -> None:
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from medcontext.library import folder, load_states, save_model\n"
        "card, states = load_states(Path(sys.argv[1]))\n"
        "folder.commit = lambda *_: os._exit(9)\n"
        "import medcontext.library.write as write\n"
        "write.commit = folder.commit\n"
        "save_model(Path(sys.argv[2]), card, states)\n"
    )
    target = own_home / "models" / "new"
    result = subprocess.run([sys.executable, "-c", code, str(a_model), str(target)], env=_environment())
    assert result.returncode == 9
    assert [p.name for p in target.parent.iterdir()] != []  # it did write something
    from medcontext.cards import list_cards

    assert not target.exists()
    assert "tiny" not in {card.id for card in list_cards()}


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def test_what_a_killed_process_left_is_deleted_a_day_later(
    tmp_path: Path, a_card: ModelCard, a_network: SegmentationNetwork
) -> None:
    old, new = tmp_path / ".m.0badcafe.part", tmp_path / ".m.12345678.part"
    for left in (old, new):
        left.mkdir()
    os.utime(old, (1, 1))
    save_model(tmp_path / "m", a_card, [a_network.state_dict()])
    assert not old.exists()
    assert new.exists()  # someone may still be writing there


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the system lets this user write everywhere")
def test_a_folder_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, a_card: ModelCard, a_network: SegmentationNetwork
) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        save_model(tmp_path / "m", a_card, [a_network.state_dict()])


def test_a_file_in_the_way_is_a_sentence(
    tmp_path: Path, a_card: ModelCard, a_network: SegmentationNetwork
) -> None:
    (tmp_path / "m").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be written"):
        save_model(tmp_path / "m", a_card, [a_network.state_dict()])
    assert (tmp_path / "m").read_text() == "mine"


@pytest.mark.parametrize("name", ["../x.txt", "/x.txt", "a\\b.txt", "run.py", "C:x.txt", "a/../../x.md"])
def test_extra_files_stay_inside_and_are_data(
    tmp_path: Path, a_card: ModelCard, a_network: SegmentationNetwork, name: str
) -> None:
    with pytest.raises(InputError):
        save_model(tmp_path / "m", a_card, [a_network.state_dict()], files={name: "x"})
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- what is wrong with a model


def test_changed_weights_are_refused(a_model: Path) -> None:
    path = a_model / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"not the ones that model.json describes.*damaged or was exchanged"):
        load_model(a_model)
    assert [f.severity for f in verify(a_model)] == ["error"]


def test_missing_weights_are_named(a_model: Path) -> None:
    (a_model / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"weights\.safetensors are missing"):
        load_model(a_model)


def test_a_file_that_is_no_safetensors_is_refused(a_model: Path) -> None:
    import hashlib

    data = b"\x80\x04pickle"
    (a_model / "weights.safetensors").write_bytes(data)
    entry = {"file": "weights.safetensors", "sha256": hashlib.sha256(data).hexdigest()}
    change_card(a_model, weights=[entry])
    with pytest.raises(InputError, match="is no safetensors file"):
        load_model(a_model)


def test_a_newer_schema_asks_for_an_update(a_model: Path) -> None:
    change_card(a_model, schema_version=2, something_new={})
    with pytest.raises(InputError, match=r"newer version of MedContext.*Update MedContext"):
        load_model(a_model)


def test_an_unknown_network_is_named_with_a_guess(a_model: Path) -> None:
    change_card(a_model, network={"name": "dynunett", "kwargs": {}})
    with pytest.raises(InputError, match=r"no network 'dynunett'.*Did you mean dynunet"):
        load_model(a_model)


def test_a_network_that_cannot_be_built_is_a_sentence(a_model: Path) -> None:
    change_card(
        a_model, network={"name": "dynunet", "kwargs": {"filters": [4], "strides": [], "kernels": []}}
    )
    with pytest.raises(InputError, match="dynunet"):
        load_model(a_model)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"surprise": 1}, "surprise"),
        ({"id": "../up"}, "id"),
        ({"weights": []}, "lists no weights"),
        ({"weights": [{"file": "../w.safetensors", "sha256": "0" * 64}]}, "not a file name allowed"),
        ({"weights": [{"file": "sub/w.safetensors", "sha256": "0" * 64}]}, "beside it"),
        ({"weights": [{"file": "w.txt", "sha256": "0" * 64}]}, "beside it"),
        ({"labels": [{"name": "no value"}]}, "each label needs"),
        ({"labels": [{"value": 300, "name": "x"}]}, "1..254"),
    ],
)
def test_a_card_that_does_not_fit_the_schema_is_a_sentence(
    a_model: Path, changes: dict[str, Any], said: str
) -> None:
    change_card(a_model, **changes)
    with pytest.raises(InputError, match=said):
        load_model(a_model)


@pytest.mark.parametrize("content", [b"", b"not json", b"[1]", b"\xff\xfe\x00", b'{"a":' * 100_000])
def test_a_model_json_that_cannot_be_read_is_a_sentence(a_model: Path, content: bytes) -> None:
    (a_model / "model.json").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.json"):
        load_model(a_model)


def test_tensors_that_do_not_fit_are_counted_and_named(
    tmp_path: Path, a_card: ModelCard, a_network: SegmentationNetwork
) -> None:
    state = a_network.state_dict()
    names = list(state)
    del state[names[0]]
    state["other.weight"] = torch.zeros(1)
    state[names[1]] = torch.zeros(7)
    save_model(tmp_path / "m", a_card, [state])
    with pytest.raises(InputError) as caught:
        load_model(tmp_path / "m")
    sentence = str(caught.value)
    assert f"1 tensors missing ({names[0]})" in sentence
    assert "1 tensors unexpected (other.weight)" in sentence
    assert f"1 tensors of another shape ({names[1]} (7,) instead of" in sentence


def test_verify_lists_everything_at_once(a_model: Path) -> None:
    change_card(a_model, license="unspecified", plan={"hash": "0"})
    (a_model / "README.md").unlink()
    (a_model / "setup.py").write_text("", encoding="utf-8")
    found = {(f.severity, f.message.split(" ")[0]) for f in verify(a_model)}
    assert len(found) == 4
    assert ("error", str(a_model / "plan.json").split(" ")[0]) in found


def test_loading_never_unpickles(a_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("torch.load was called")

    monkeypatch.setattr(torch, "load", refuse)
    load_model(a_model)
