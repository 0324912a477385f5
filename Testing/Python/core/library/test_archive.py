"""Models travel as one zip; an archive that is not what it should be changes nothing."""

from __future__ import annotations

import io
import json
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from medcontext.cards import list_cards, resolve
from medcontext.errors import InputError
from medcontext.library import disk_use, export_archive, import_archive, load_model, remove, unpacking

Rewrite = Callable[..., Path]


@pytest.fixture
def library(own_home: Path) -> Path:
    return own_home / "models"


@pytest.fixture
def a_zip(a_model: Path, tmp_path: Path) -> Path:
    return export_archive(a_model, tmp_path / "tiny.zip")


@pytest.fixture
def rewritten(a_zip: Path, tmp_path: Path) -> Rewrite:
    """Makes a copy of the archive with entries added, changed or renamed."""

    def rewrite(
        add: dict[str | zipfile.ZipInfo, bytes] | None = None, rename: Callable[[str], str] = str
    ) -> Path:
        target = tmp_path / "rewritten.zip"
        with zipfile.ZipFile(a_zip) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in source.namelist():
                if name not in (add or {}):
                    archive.writestr(rename(name), source.read(name))
            for entry, data in (add or {}).items():
                archive.writestr(entry, data)
        return target

    return rewrite


def assert_refused(source: Path, library: Path, said: str) -> None:
    with pytest.raises(InputError, match=said):
        import_archive(source)
    assert not library.exists() or list(library.iterdir()) == []
    assert sorted(p.name for p in library.parent.rglob("*") if p.is_file()) == []


def test_a_model_survives_the_journey(a_zip: Path, a_model: Path, library: Path) -> None:
    folder = import_archive(a_zip)
    assert folder == library / "tiny" == resolve("tiny")
    here, there = load_model("tiny"), load_model(a_model)
    assert here.card == there.card
    assert here.plan() == there.plan()
    image = torch.randn(1, 1, 16, 16, 16)
    assert torch.equal(here.networks[0](image), there.networks[0](image))
    names = [{f.relative_to(root).as_posix() for f in root.rglob("*")} for root in (folder, a_model)]
    assert names[0] == names[1]
    assert [p.name for p in library.iterdir()] == ["tiny"]


def test_the_same_model_gives_the_same_archive(a_model: Path, a_zip: Path, tmp_path: Path) -> None:
    (a_model / "model.json").touch()
    assert export_archive(a_model, tmp_path / "again.zip").read_bytes() == a_zip.read_bytes()


def test_only_what_belongs_to_the_model_is_exported(a_model: Path, tmp_path: Path) -> None:
    for name in ("old.safetensors", "checkpoint.pt", ".hidden.json", "cache/case.json"):
        (a_model / name).parent.mkdir(exist_ok=True)
        (a_model / name).write_bytes(b"x")
    with zipfile.ZipFile(export_archive(a_model, tmp_path / "m.zip")) as archive:
        names = {name.removeprefix("tiny/") for name in archive.namelist()}
    assert names == {"model.json", "plan.json", "README.md", "weights.safetensors", "training/log.jsonl"}


def test_an_archive_is_not_overwritten_unasked(a_model: Path, a_zip: Path) -> None:
    before = a_zip.read_bytes()
    a_zip.write_bytes(b"mine")
    with pytest.raises(InputError, match="exists already"):
        export_archive(a_model, a_zip)
    assert export_archive(a_model, a_zip, replace=True).read_bytes() == before


def test_a_damaged_model_is_not_exported(a_model: Path, tmp_path: Path) -> None:
    (a_model / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="not the ones"):
        export_archive(a_model, tmp_path / "m.zip")
    assert not (tmp_path / "m.zip").exists()


def test_a_training_folder_is_imported_without_what_is_no_model(a_model: Path) -> None:
    (a_model / "training" / "checkpoint.pt").write_bytes(b"x")
    (a_model / "cache").mkdir()
    folder = import_archive(a_model)
    assert {p.name for p in folder.rglob("*") if p.is_file()} == {
        "model.json", "plan.json", "README.md", "weights.safetensors", "log.jsonl"
    }  # fmt: skip


def test_a_model_can_be_imported_under_another_id(a_zip: Path, library: Path) -> None:
    assert import_archive(a_zip, "mine") == library / "mine"
    assert load_model("mine").card.id == "mine"
    with pytest.raises(InputError, match="id"):
        import_archive(a_zip, "../mine")
    assert [p.name for p in library.iterdir()] == ["mine"]


def test_importing_twice_changes_nothing_and_versions_stand_side_by_side(
    a_zip: Path, rewritten: Rewrite, library: Path
) -> None:
    first = import_archive(a_zip)
    assert import_archive(a_zip) == first
    card = json.loads((first / "model.json").read_text())
    newer = rewritten({"tiny/model.json": json.dumps(card | {"version": "2.0/../x"}).encode()})
    second = import_archive(newer)
    assert second == library / "tiny-2.0_.._x"
    assert resolve("tiny") == second
    assert resolve("tiny@1.0.0") == first


def test_another_model_of_the_same_id_and_version_is_not_replaced(
    a_zip: Path, a_model: Path, a_card: Any, a_network: torch.nn.Module
) -> None:
    from medcontext.library import save_model

    first = import_archive(a_zip)
    state = {key: value + 1 for key, value in a_network.state_dict().items()}
    save_model(a_model, a_card, [state], replace=True)
    before = (first / "weights.safetensors").read_bytes()
    with pytest.raises(InputError, match=r"Another model 'tiny'.*Remove it first"):
        import_archive(a_model)
    assert (first / "weights.safetensors").read_bytes() == before


def test_files_at_the_top_and_what_macos_adds_are_fine(rewritten: Rewrite) -> None:
    source = rewritten({"__MACOSX/._model.json": b"x", ".DS_Store": b"x"}, lambda n: n.removeprefix("tiny/"))
    assert load_model(import_archive(source)).card.id == "tiny"


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt",
        "tiny/../../evil.txt",
        "/tmp/evil.txt",
        "C:/evil.txt",
        "tiny\\..\\..\\evil.txt",
        "tiny/con\x00.txt",
        "tiny//evil.txt",
        "a/b/c/d/e/evil.txt",
    ],
)
def test_names_that_leave_the_folder_are_refused(rewritten: Rewrite, library: Path, name: str) -> None:
    entry = zipfile.ZipInfo("x")
    entry.filename = name  # as it stands: the constructor would tidy it
    if "\x00" in name:
        entry.filename = name.replace("\x00", "\x01")  # zipfile itself cuts names at a null
    assert_refused(rewritten({entry: b"x"}), library, "not a file name allowed")


@pytest.mark.parametrize(
    "name", ["tiny/run.py", "tiny/model.pt", "tiny/weights.pkl", "tiny/lib.so", "tiny/noending"]
)
def test_files_that_could_run_are_refused(rewritten: Rewrite, library: Path, name: str) -> None:
    assert_refused(rewritten({name: b"x"}), library, "not of a kind")


def test_links_are_refused(rewritten: Rewrite, library: Path) -> None:
    entry = zipfile.ZipInfo("tiny/LICENSE.txt")
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert_refused(rewritten({entry: b"/etc/passwd"}), library, "holds a link")


def test_links_in_a_folder_are_refused(a_model: Path, library: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("x", encoding="utf-8")
    try:
        (a_model / "notes.txt").symlink_to(tmp_path / "secret.txt")
    except OSError:
        pytest.skip("this system makes no links")
    assert_refused(a_model, library, "is a link")


def test_a_bomb_is_refused_before_it_is_unpacked(
    rewritten: Rewrite, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "SAFE_BYTES", 2**20)
    assert_refused(rewritten({"tiny/training/log.txt": bytes(200 * 2**20)}), library, "would grow")


def test_an_archive_of_too_many_files_is_refused(
    rewritten: Rewrite, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MAXIMUM_FILES", 4)
    assert_refused(rewritten(), library, r"5 files.*at most 4 files")


def test_an_archive_that_lies_about_its_sizes_gets_no_more_room(a_zip: Path, library: Path) -> None:
    data = bytearray(a_zip.read_bytes())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = archive.getinfo("tiny/README.md").file_size
    data = data.replace(size.to_bytes(4, "little"), (10).to_bytes(4, "little"))
    a_zip.write_bytes(data)
    assert_refused(a_zip, library, "damaged")


def test_two_files_of_one_name_are_refused(rewritten: Rewrite, library: Path) -> None:
    assert_refused(rewritten({"tiny/Model.JSON": b"{}"}), library, "two files of one name")


@pytest.mark.parametrize(
    ("add", "said"),
    [
        ({"other/model.json": b"{}"}, "holds 2 model"),
        ({"tiny/model.json": b"{}"}, "cannot be used: the field 'id' is missing"),
    ],
)
def test_exactly_one_model_is_needed(rewritten: Rewrite, library: Path, add: Any, said: str) -> None:
    assert_refused(rewritten(add), library, said)


def test_an_archive_without_a_model_is_refused(tmp_path: Path, library: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert_refused(tmp_path / "z.zip", library, "holds no model")


def test_changed_weights_never_reach_the_library(rewritten: Rewrite, a_model: Path, library: Path) -> None:
    data = bytearray((a_model / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    assert_refused(rewritten({"tiny/weights.safetensors": bytes(data)}), library, "was not imported.*hash")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"just text"])
def test_what_is_no_zip_is_a_sentence(tmp_path: Path, library: Path, content: bytes) -> None:
    (tmp_path / "m.zip").write_bytes(content)
    assert_refused(tmp_path / "m.zip", library, "not a zip archive or is damaged")


def test_what_is_missing_is_a_sentence(tmp_path: Path, library: Path) -> None:
    assert_refused(tmp_path / "m.zip", library, "does not exist")
    (tmp_path / "empty").mkdir()
    assert_refused(tmp_path / "empty", library, "does not exist")


def test_a_truncated_archive_is_a_sentence(a_zip: Path, library: Path) -> None:
    a_zip.write_bytes(a_zip.read_bytes()[:-1000])
    assert_refused(a_zip, library, "damaged")


# ---------------------------------------------------------------- removing


def test_a_removed_model_is_gone(a_zip: Path, library: Path) -> None:
    folder = import_archive(a_zip)
    assert disk_use("tiny") == disk_use() > 10_000
    assert remove("tiny") == folder
    assert list(library.iterdir()) == []
    assert disk_use() == 0
    with pytest.raises(InputError, match="no model 'tiny'"):
        remove("tiny")


def test_a_broken_model_can_be_removed_by_the_name_of_its_folder(a_zip: Path, library: Path) -> None:
    folder = import_archive(a_zip)
    (folder / "model.json").write_text("", encoding="utf-8")
    remove("tiny")
    assert list(library.iterdir()) == []


def test_bundled_models_stay(a_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medcontext import cards
    from medcontext.library import manage

    bundled = tmp_path / "bundled"
    shutil.copytree(a_model, bundled / "tiny")
    for module in (cards, manage):
        monkeypatch.setattr(module, "bundled_models", lambda: bundled)
    with pytest.raises(InputError, match="came with MedContext"):
        remove("tiny")
    assert [card.problem for card in list_cards()] == [None]


@pytest.mark.parametrize("name", ["", ".", "..", "../models", "/"])
def test_nothing_outside_of_the_library_is_removed(a_zip: Path, name: str) -> None:
    folder = import_archive(a_zip)
    with pytest.raises(InputError):
        remove(name)
    assert folder.is_dir()


def test_a_folder_elsewhere_is_not_removed(a_model: Path) -> None:
    with pytest.raises(InputError, match="not in the model library"):
        remove(str(a_model))
    assert a_model.is_dir()
