"""What a user relies on: a checkpoint is whole, survives a full disk, and a foreign file does no harm."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch

from medcontext.engine.checkpoint import load_checkpoint, save_checkpoint
from medcontext.errors import InputError, ResourceError

FORMAT = "medcontext-checkpoint-1"


def a_state(step: int, numbers: int = 10) -> dict[str, Any]:
    weights = torch.arange(numbers, dtype=torch.float32) + step
    return {"format": FORMAT, "step": step, "student": {"weight": weights}, "best": None, "dice": {"a": 0.5}}


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "training" / "checkpoint.pt"
    save_checkpoint(path, a_state(3))
    state = load_checkpoint(path)
    assert torch.equal(state["student"].pop("weight"), a_state(3)["student"].pop("weight"))
    assert state == a_state(3) | {"student": {}}


def test_a_newer_checkpoint_replaces_the_older_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    for step in (1, 2, 3):
        save_checkpoint(path, a_state(step))
    assert load_checkpoint(path)["step"] == 3
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("room", [0, 1000, 200_000])
def test_a_full_disk_keeps_the_older_checkpoint_and_says_so(
    tmp_path: Path, room: int, nearly_full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, a_state(1))
    before = path.read_bytes()
    with nearly_full_disk(room), pytest.raises(ResourceError, match="could not be written") as error:
        save_checkpoint(path, a_state(2, numbers=100_000))
    assert str(tmp_path) in error.value.message
    assert "last complete checkpoint is kept" in error.value.hint
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    save_checkpoint(path, a_state(2))
    assert load_checkpoint(path)["step"] == 2


def test_a_missing_checkpoint_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no checkpoint at .*nothing\.pt") as error:
        load_checkpoint(tmp_path / "nothing.pt")
    assert error.value.hint == "Start without --resume."


@pytest.mark.parametrize(
    "content", [b"", b"a letter, not weights", b"PK\x03\x04 half a zip", b"\x80\x02}q\x00."]
)
def test_a_file_of_another_kind_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"checkpoint\.pt is not a") as error:
        load_checkpoint(path)
    assert error.value.hint == "Start without --resume."


@pytest.mark.parametrize("share", [0.3, 0.99])
def test_a_checkpoint_that_was_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, a_state(1, numbers=5000))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match="not a readable checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "state",
    [[1, 2], {"step": 1}, {"format": "other-1"}, torch.zeros(3)],
    ids=["list", "none", "other", "tensor"],
)
def test_weights_of_another_program_are_refused(tmp_path: Path, state: object) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save(state, path)
    with pytest.raises(InputError, match="not a checkpoint of this program"):
        load_checkpoint(path)


class Planted:
    """Runs a command where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path) -> None:
    path, mark = tmp_path / "checkpoint.pt", tmp_path / "executed"
    torch.save(a_state(1) | {"best": Planted(mark)}, path)
    with pytest.raises(InputError, match="not a readable checkpoint"):
        load_checkpoint(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)  # shows that the plant would have worked
    assert mark.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="a folder cannot be opened as a file there")
def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a readable checkpoint"):
        load_checkpoint(tmp_path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "training").write_text("a file where the folder should be")
    with pytest.raises(ResourceError, match="could not be written"):
        save_checkpoint(tmp_path / "training" / "checkpoint.pt", {})
