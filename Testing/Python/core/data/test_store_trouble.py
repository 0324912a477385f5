"""Drives that vanish, fill up or refuse, several programs at once, a program that is killed: no case is ever lost."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from medcontext.case_list import read_store
from medcontext.data import adding
from medcontext.data.adding import NewCase
from medcontext.data.reading import voxel_hash
from medcontext.data.store import CaseStore
from medcontext.errors import InputError, MedContextError, ResourceError
from medcontext.geometry import Volume
from medcontext.io import write_volume
from medcontext.labels import LabelSet

Maker = Callable[..., Volume]
MakeStore = Callable[[int], CaseStore]


def files_of(store: CaseStore) -> dict[str, bytes]:
    return {
        path.relative_to(store.folder).as_posix(): path.read_bytes()
        for path in store.folder.rglob("*")
        if path.is_file() and path.name != ".dataset.lock"
    }


@contextmanager
def disk_with_room_for(size: int) -> Iterator[None]:
    """The kernel refuses to let a file grow beyond ``size`` bytes, in the middle of a write, as a full disk does."""
    resource = pytest.importorskip("resource", reason="Windows has no limit on file size")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@dataclass
class Place:
    """A store and what is at hand to change it with."""

    store: CaseStore
    scan: Maker
    painted: Maker
    scans: Path

    def change(self, kind: str) -> None:
        """Change the store in one of the ways there are."""
        store, painted = self.store, self.painted()
        if kind == "add":
            store.add_case(NewCase([self.scan(7, (20, 60, 60))]))
        elif kind == "replace":
            store.add_case(NewCase([self.scan(7)], painted, case_id="c00"), replacing=True)
        elif kind == "relabel":
            other = Volume(painted.array[:, ::-1], painted.geometry)
            store.add_case(NewCase([self.scan(0)], other, case_id="c00"), replacing=True)
        elif kind == "remove":
            store.remove(["c00"])
        elif kind == "hold out":
            store.hold_out(["c00"])
        elif kind == "link":
            store.link([self.scans])


KINDS = ["add", "replace", "relabel", "remove", "hold out", "link"]


@pytest.fixture
def place(make_store: MakeStore, scan: Maker, painted: Maker, tmp_path: Path) -> Place:
    """A store with two cases, and a folder with another scan."""
    write_volume(tmp_path / "scans" / "a.nii.gz", scan(50))
    return Place(make_store(2), scan, painted, tmp_path / "scans")


@pytest.mark.parametrize("room", [0, 300, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_fills_leaves_the_store_as_it_was(place: Place, kind: str, room: int) -> None:
    store = place.store
    before = files_of(store)
    with disk_with_room_for(room), pytest.raises(ResourceError, match=r"full|no room"):
        place.change(kind)
    after = files_of(store)
    assert after == before
    assert not list(store.folder.glob("removed/*")) + list(store.folder.glob("replaced/*"))
    assert read_store(store.folder).problem is None
    place.change(kind)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_may_not_be_written_says_so(
    place: Place, kind: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = place.store
    before = files_of(store)

    def refuse(path: str | Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)  # the lock of the store is opened first
        patch.setattr(Path, "mkdir", refuse)
        with pytest.raises(InputError, match=r"may not be written to|cannot be written") as error:
            place.change(kind)
    assert str(store.folder) in error.value.message
    assert files_of(store) == before


def test_a_store_is_not_made_where_nothing_may_be_written() -> None:
    if not Path("/proc/self").is_dir():
        pytest.skip("no folder that refuses everybody on this system")
    with pytest.raises(InputError, match=r"may not be written to|cannot be written"):
        CaseStore.create(Path("/proc/store"), LabelSet(), [("T1", "MRI")])


@pytest.mark.parametrize("kind", KINDS)
def test_a_drive_that_vanished_is_one_sentence(place: Place, kind: str, tmp_path: Path) -> None:
    store = place.store
    store.folder.rename(tmp_path / "unplugged")
    with pytest.raises(InputError) as error:
        place.change(kind)
    assert str(store.folder) in error.value.message
    assert not store.folder.exists()
    shutil.move(tmp_path / "unplugged", store.folder)
    place.change(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_was_broken_by_hand_is_left_alone(place: Place, kind: str) -> None:
    store = place.store
    path = store.folder / "dataset.json"
    path.write_text(path.read_text()[:-20])
    before = files_of(store)
    with pytest.raises(InputError, match=r"dataset\.json is not valid JSON"):
        place.change(kind)
    assert files_of(store) == before


PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from medcontext.data.adding import NewCase
from medcontext.data.store import CaseStore
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_volume
folder, what, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
store = CaseStore.open(folder)
geometry = Geometry.from_spacing((6, 6, 6))
def image(number):
    values = np.random.default_rng([number, *name.encode()]).integers(0, 99, (1, 6, 6, 6)).astype(np.int16)
    return Volume(values, geometry)
def label():
    return Volume(np.ones((1, 6, 6, 6), np.uint8), geometry)
print("ready", flush=True)
sys.stdin.readline()
for number in range(6):
    if what == "add":
        store.add_case(NewCase([image(number)], label(), case_id=f"{name}{number}"))
    elif what == "link":
        path = folder.parent / f"{name}{number}.nii.gz"
        write_volume(path, image(number))
        store.link([path])
    elif what == "remove":
        store.remove([f"c{number:02d}"])
    elif what == "replace":
        store.add_case(NewCase([image(number)], label(), case_id="c07"), replacing=True)
"""


def start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_store_opened_several_times_loses_no_case(make_store: MakeStore) -> None:
    store = make_store(8)
    what = [("add", "a"), ("add", "b"), ("link", "l"), ("remove", "r"), ("replace", "p")]
    programs = [start([str(store.folder), kind, name]) for kind, name in what]
    for program in programs:
        assert program.stdin
        program.stdin.write("\n")
        program.stdin.flush()
    for program in programs:
        _, errors = program.communicate(timeout=120)
        assert program.returncode == 0, errors
    store.reload()
    added = {f"{name}{number}" for name in "ab" for number in range(6)}
    linked = {f"l{number}" for number in range(6)}
    assert {case.id for case in store.cases} == added | linked | {"c06", "c07"}
    assert all(path.is_file() for case in store.cases for path in case.files)
    assert len(list(store.folder.glob("removed/*/labels/*"))) == 6
    assert len(list(store.folder.glob("replaced/*/labels/*"))) == 6
    assert not list(store.folder.glob(".new-*"))


def test_a_case_that_changes_while_its_label_is_replaced_is_not_mixed_up(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = adding.insert

    def meanwhile(*arguments: Any, **options: Any) -> str:
        monkeypatch.setattr(adding, "insert", plain)
        place.change("replace")
        return plain(*arguments, **options)

    monkeypatch.setattr(adding, "insert", meanwhile)
    with pytest.raises(InputError, match="changed case 'c00' meanwhile"):
        place.change("relabel")
    case = CaseStore.open(place.store.folder).case("c00")
    assert case.voxels == voxel_hash(place.store.read_image(case))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX systems")
def test_a_program_that_is_killed_while_it_adds_leaves_a_store_that_opens(make_store: MakeStore) -> None:
    store = make_store(2)
    program = start([str(store.folder), "add", "k"])
    assert program.stdin
    program.stdin.write("\n")
    program.stdin.flush()
    while not list(store.folder.glob("images/k*")):
        assert program.poll() is None
    program.send_signal(signal.SIGKILL)
    program.communicate()
    summary = read_store(store.folder)
    assert summary.problem is None
    assert {"c00", "c01"} <= {case.id for case in summary.cases}
    assert not any(case.missing for case in summary.cases)
    again = start([str(store.folder), "add", "m"])  # the lock of the dead does not stay
    assert again.stdin
    again.communicate("\n", timeout=60)
    assert again.returncode == 0


def test_errors_of_the_disk_are_sentences(make_store: MakeStore, scan: Maker) -> None:
    store = make_store(1)
    shutil.rmtree(store.folder / "images")
    (store.folder / "images").write_text("a file where the folder must be")
    with pytest.raises(MedContextError, match="cannot be written"):
        store.add_case(NewCase([scan(5)]))
    assert [case.id for case in CaseStore.open(store.folder).cases] == ["c00"]
