"""Weights come out of a TorchScript archive, and nothing in it runs."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from medcontext.errors import InputError
from medcontext.library.torchscript import is_torchscript, read_torchscript

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Shared(torch.nn.Module):
    """Two names for one layer, a buffer, a list, and a number."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(3, 2)
        self.second = self.first
        self.layers = torch.nn.ModuleList([torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 2)])
        self.small = torch.nn.Parameter(torch.ones(4, dtype=torch.float16)[1:])
        self.number = 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.second(self.first(x)) * self.number


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    torch.jit.script(Shared()).save(str(tmp_path / "net.ts"))
    return tmp_path / "net.ts"


def rewritten(archive: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """The archive with other content in some of its files."""
    target = archive.with_name("changed.ts")
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return target


def with_pickle(archive: Path, content: bytes) -> Path:
    return rewritten(archive, lambda name, data: content if name.endswith("/data.pkl") else data)


def test_every_tensor_has_its_name(archive: Path) -> None:
    expected = torch.jit.load(str(archive)).state_dict()
    found = read_torchscript(archive)
    assert is_torchscript(archive)
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


class Malicious:
    """Would make a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_a_planted_program_is_refused_and_does_not_run(archive: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    planted = pickle.dumps(Malicious(mark), protocol=2)
    with pytest.raises(
        InputError, match=r"\((posix|nt)\.mkdir\), which could run any program; it was not opened"
    ):
        read_torchscript(with_pickle(archive, planted))
    assert not mark.exists()
    pickle.loads(planted)
    assert mark.exists()  # the pickle would have done it


def test_the_program_of_the_archive_is_not_looked_at(archive: Path) -> None:
    nonsense = rewritten(archive, lambda name, data: b"not a program" if "/code/" in name else data)
    assert set(read_torchscript(nonsense)) == set(read_torchscript(archive))
    with pytest.raises(RuntimeError):
        torch.jit.load(str(nonsense))


ENDLESS = b"\x80\x02c__torch__\nM\n)\x81q\x00}(X\x01\x00\x00\x00ah\x00X\x01\x00\x00\x00bh\x00ub."
"""A module that holds itself under two names."""

FUNCTION_CHANGED = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__)s\x86b."
"""Would set an attribute of the function that makes tensors."""

HUGE_MEMORY = b"\x80\x02Nr\xff\xff\xff\x7f."
"""Asks the reader to remember the two thousand millionth thing."""

REGISTRY = b"\x80\x02\x82\x01."
"""Asks for a class by number."""


@pytest.mark.parametrize("content", [ENDLESS, FUNCTION_CHANGED, HUGE_MEMORY, REGISTRY, b"\x80\x02", b""])
def test_a_pickle_that_is_no_network_is_refused(archive: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"damaged|could run any program"):
        read_torchscript(with_pickle(archive, content))


def test_numbers_that_are_missing_are_noticed(archive: Path) -> None:
    short = rewritten(archive, lambda name, data: data[:8] if "/data/" in name and len(data) > 8 else data)
    with pytest.raises(InputError, match="is damaged"):
        read_torchscript(short)


def test_an_archive_that_is_cut_off_is_refused(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(InputError, match="damaged or no file of weights"):
        read_torchscript(archive)
