"""The face finds the package in an installed extension, in a checkout, and where pip put it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import medcontext
from MedContextSegmentLib.Setup import PackagePath

FOLDERS = ["plain", "with a space", "Ünïcödé 医学", "percent%20 and #"]


def make_package(folder: Path) -> Path:
    """A package of that name that is not the real one."""
    (folder / "medcontext").mkdir(parents=True)
    (folder / "medcontext" / "__init__.py").write_text("", encoding="utf-8")
    return folder


def make_module(folder: Path) -> Path:
    """The module's folder, with a copy of the file under test in it."""
    lib = folder / "MedContextSegmentLib"
    setup = lib / "Setup"
    setup.mkdir(parents=True)
    for package in (lib, setup):
        (package / "__init__.py").write_text("", encoding="utf-8")
    (setup / "PackagePath.py").write_bytes(Path(PackagePath.__file__).read_bytes())
    return folder


def imported_from(module: Path, *options: str) -> tuple[Path, Path]:
    """In a fresh Python that knows the module's folder alone: what the function returns, and what is imported."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from MedContextSegmentLib.Setup.PackagePath import addPackageToPath\n"
        "folder = addPackageToPath(); addPackageToPath()\n"
        "import medcontext\n"
        "assert len(sys.path) == len(set(sys.path)), sys.path\n"
        "sys.stdout.buffer.write(f'{folder}\\n{medcontext.__file__}'.encode())"
    )
    command = [sys.executable, *options, "-c", code, str(module)]
    result = subprocess.run(command, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
    folder, file = result.stdout.decode().splitlines()
    return Path(folder), Path(file).parents[1]


@pytest.mark.parametrize("name", FOLDERS)
def test_in_an_installed_extension_it_lies_beside_the_module(tmp_path: Path, name: str) -> None:
    module = make_package(make_module(tmp_path / name / "qt-scripted-modules"))
    assert imported_from(module) == (module, module)


@pytest.mark.parametrize("name", FOLDERS)
def test_in_a_checkout_it_lies_in_training(tmp_path: Path, name: str) -> None:
    training = make_package(tmp_path / name / "Training")
    module = make_module(tmp_path / name / "MedContextSegment")
    assert imported_from(module) == (training, training)


def test_a_package_that_pip_installed_is_taken_where_there_is_no_other(tmp_path: Path) -> None:
    installed = Path(medcontext.__file__).resolve().parents[1]
    assert imported_from(make_module(tmp_path / "module")) == (installed, installed)


def test_the_package_of_the_extension_wins_over_one_that_pip_installed(tmp_path: Path) -> None:
    module = make_package(make_module(tmp_path / "module"))
    assert imported_from(module)[1] == module


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_linked_module_finds_its_checkout(tmp_path: Path) -> None:
    training = make_package(tmp_path / "checkout" / "Training")
    module = make_module(tmp_path / "checkout" / "MedContextSegment")
    (tmp_path / "link").symlink_to(module)
    assert imported_from(tmp_path / "link") == (training, training)


def test_where_it_is_nowhere_the_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PackagePath.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ImportError, match="Install the extension MedContext again"):
        PackagePath.addPackageToPath(tmp_path)


def test_nothing_else_in_the_face_touches_the_path() -> None:
    lib = Path(PackagePath.__file__).parent
    files = [*lib.glob("*.py"), *lib.parent.glob("*.py")]
    touching = [file.name for file in files if "sys.path" in file.read_text(encoding="utf-8")]
    assert touching == ["PackagePath.py"]
