"""Installing in Slicer: asked once, through the right doors, and nothing that is there is replaced."""

from __future__ import annotations

import subprocess
import sys
import threading
import venv
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

VERSIONS = {
    "dynamic-network-architectures": "0.3.1",
    "einops": "0.8.1", "monai": "1.5.0", "psutil": "7.0", "pydantic": "2.11.0", "PyYAML": "6.0.2",
    "safetensors": "0.5.0", "torch": "2.7.0",
}  # fmt: skip
SHIPPED = {"numpy": "2.0.2", "SimpleITK": "2.5.0"}


class Slicer:
    """What a fresh Slicer has, and what is done to it.

    Attributes:
        site: the folder of its packages.
        torch: what the extension PyTorch was asked for.
        pip: what pip was asked for: the requirements, and the content of the constraints file.
    """

    def __init__(self, site: Path) -> None:
        self.site = site
        self.torch: list[dict[str, Any]] = []
        self.pip: list[tuple[set[str], str]] = []
        self.working = True
        for name, version in SHIPPED.items():
            self.add(name, version)

    def add(self, name: str, version: str) -> None:
        folder = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True)
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (folder / "METADATA").write_text(text, encoding="utf-8")

    def installTorch(self, **options: Any) -> Any:
        self.torch.append(options)
        self.add("torch", VERSIONS["torch"])
        return SimpleNamespace(__version__=VERSIONS["torch"])

    def install(self, requirements: list[str], constraints: Path) -> None:
        self.pip.append((set(requirements), constraints.read_text(encoding="utf-8")))
        if not self.working:
            raise subprocess.CalledProcessError(1, "pip")
        for requirement in requirements:
            name = next(known for known in VERSIONS if requirement.startswith(known))
            self.add(name, VERSIONS[name])


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slicer:
    """A Slicer of today in which nothing is installed but the extension PyTorch."""
    import slicer.packaging

    from MedContextSegmentLib.Setup import Install
    from MedContextSegmentLib.Setup.Packages import Packages

    slicer_ = Slicer(tmp_path / "site")
    monkeypatch.setattr(Install, "Packages", lambda: Packages([str(slicer_.site)]))
    utils = SimpleNamespace(PyTorchUtilsLogic=lambda: slicer_)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", utils)

    def pip_ensure(requirements: Any, **options: Any) -> None:
        assert options["prompt_install"] is False
        assert options["prompt_restart"] is False
        assert options["requester"] == "MedContext"
        slicer_.install([str(requirement) for requirement in requirements], Path(options["constraints"]))

    monkeypatch.setattr(slicer.packaging, "pip_ensure", pip_ensure)
    monkeypatch.setattr(Install, "sys", SimpleNamespace(modules={}))  # nothing of it is imported yet
    return slicer_


@pytest.fixture
def slicer_5_10(fresh: Slicer, monkeypatch: pytest.MonkeyPatch) -> Slicer:
    """The same without slicer.packaging."""
    import slicer

    monkeypatch.setitem(sys.modules, "slicer.packaging", None)

    def pip_install(arguments: list[str]) -> None:
        assert arguments[0] == "-c"
        fresh.install(arguments[2:], Path(arguments[1]))

    monkeypatch.setattr(slicer.util, "pip_install", pip_install)
    return fresh


def shown(kind: str) -> list[Any]:
    from harness import dialogs

    return [entry for entry in dialogs.shown if entry.kind == kind]


def check_all_is_there(slicer_: Slicer) -> None:
    from MedContextSegmentLib.Setup import Install

    assert Install.missingPackages() == []
    (question,) = shown("question")
    for name in VERSIONS:
        assert name in question.details["detailedText"]
    (torch,) = slicer_.torch
    assert torch["askConfirmation"] is False
    assert set(torch["torchVersionRequirement"].split(",")) == {">=2.5", "!=2.9.*"}
    ((requirements, constraints),) = slicer_.pip
    assert not [requirement for requirement in requirements if "==" in requirement or "torch" in requirement]
    assert constraints.splitlines() == ["numpy==2.0.2", "simpleitk==2.5.0", "torch==2.7.0"]
    assert not shown("error")


def test_everything_is_installed_after_one_question(fresh: Slicer) -> None:
    from MedContextSegmentLib.Setup import Install

    assert len(Install.missingPackages()) == len(VERSIONS)
    assert Install.ensureInstalled()
    check_all_is_there(fresh)


def test_so_it_is_in_slicer_5_10(slicer_5_10: Slicer) -> None:
    from MedContextSegmentLib.Setup import Install

    assert Install.ensureInstalled()
    check_all_is_there(slicer_5_10)


def test_where_all_is_there_nobody_is_asked(fresh: Slicer) -> None:
    from MedContextSegmentLib.Setup import Install

    for name, version in VERSIONS.items():
        fresh.add(name, version)
    assert Install.ensureInstalled()
    assert not shown("question")
    assert not fresh.pip
    assert not fresh.torch


def test_a_script_need_not_be_asked(fresh: Slicer) -> None:
    from MedContextSegmentLib.Setup import Install

    assert Install.ensureInstalled(ask=False)
    assert not shown("question")
    assert fresh.pip


def test_no_means_that_nothing_is_installed(fresh: Slicer) -> None:
    from harness import dialogs
    from MedContextSegmentLib.Setup import Install

    dialogs.answers.append(False)
    assert not Install.ensureInstalled()
    assert not fresh.torch
    assert not fresh.pip
    assert not shown("error")
    assert Install.missingPackages()


def test_without_the_extension_pytorch_the_sentence_says_where_to_get_it(
    fresh: Slicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedContextSegmentLib.Setup import Install

    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    assert not Install.ensureInstalled()
    assert "Extensions Manager" in shown("error")[0].text
    assert not shown("question")
    assert not fresh.pip


@pytest.mark.parametrize("version", ["2.9.0", "1.13.1"])
def test_a_torch_that_does_not_fit_is_named_and_left_alone(fresh: Slicer, version: str) -> None:
    from MedContextSegmentLib.Setup import Install

    fresh.add("torch", version)
    assert not Install.ensureInstalled()
    assert version in shown("error")[0].text
    assert not fresh.torch
    assert not fresh.pip


def test_a_mac_on_which_pytorch_ended_is_refused_before_anybody_is_asked(
    fresh: Slicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedContextSegmentLib.Setup import Install

    monkeypatch.setattr(Install, "unsupported", lambda: "PyTorch ends at version 2.2 here.")
    assert not Install.ensureInstalled()
    assert "PyTorch ends" in shown("error")[0].text
    assert not shown("question")
    assert not fresh.torch


def test_a_failing_pip_is_one_sentence(fresh: Slicer) -> None:
    from MedContextSegmentLib.Setup import Install

    fresh.working = False
    assert not Install.ensureInstalled()
    (error,) = shown("error")
    assert "Installing failed: pip ended with code 1" in error.text
    assert "Command" not in error.text
    fresh.working = True
    assert Install.ensureInstalled()  # the next click tries again
    assert len(fresh.torch) == 1


def test_what_pip_did_not_bring_is_named(fresh: Slicer, monkeypatch: pytest.MonkeyPatch) -> None:
    from MedContextSegmentLib.Setup import Install

    monkeypatch.setattr(fresh, "install", lambda *_arguments: None)
    assert not Install.ensureInstalled()
    assert "einops" in shown("error")[0].text


@pytest.mark.parametrize("answer", [True, False])
def test_a_restart_is_offered_where_something_in_use_changed(
    fresh: Slicer, monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    import slicer

    from harness import dialogs
    from MedContextSegmentLib.Setup import Install

    restarts: list[int] = []
    monkeypatch.setattr(slicer.util, "restart", lambda: restarts.append(1))
    monkeypatch.setattr(Install, "sys", SimpleNamespace(modules={"einops": None}))
    dialogs.answers.extend([True, answer])
    assert Install.ensureInstalled()
    assert "einops" in shown("question")[1].text
    assert len(restarts) == answer
    assert fresh.pip


def test_nothing_is_installed_while_slicer_runs_its_tests(
    fresh: Slicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    from MedContextSegmentLib.Setup import Install

    monkeypatch.setattr(slicer.app, "_testing", True)
    assert not Install.ensureInstalled()
    assert not fresh.pip


def test_another_thread_is_refused(fresh: Slicer) -> None:
    from MedContextSegmentLib.Setup import Install

    errors: list[BaseException] = []

    def work() -> None:
        try:
            Install.ensureInstalled()
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors
    assert not fresh.pip


def test_a_second_click_while_it_installs_changes_nothing(
    fresh: Slicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedContextSegmentLib.Setup import Install

    again: list[bool] = []
    install = fresh.install

    def click_meanwhile(*arguments: Any) -> None:
        again.append(Install.ensureInstalled())
        install(*arguments)

    monkeypatch.setattr(fresh, "install", click_meanwhile)
    assert Install.ensureInstalled()
    assert again == [False]
    assert "Another installation" in shown("error")[0].text


@pytest.fixture
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh Python of its own for which pip really works; gives the folder of its packages."""
    import slicer

    from MedContextSegmentLib.Setup import Install
    from MedContextSegmentLib.Setup.Packages import Packages

    home = tmp_path / "Slicer ö"
    venv.create(home)
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    where = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    site = Path(where.stdout.strip())

    def pip_install(arguments: list[str]) -> None:
        command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", *arguments]
        subprocess.run(command, check=True, capture_output=True)

    monkeypatch.setattr(slicer.util, "pip_install", pip_install)
    monkeypatch.setattr(Install, "Packages", lambda: Packages([str(site)]))
    monkeypatch.setattr(Install, "sys", SimpleNamespace(modules={}))
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    return site


def make_a_pack(
    folder: Path, make_wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, needs: str
) -> Path:
    """A pack whose monai needs a numpy, of which the index has a newer one."""
    from medcontext.api import PackRequest, make_pack

    index = folder / "index"
    index.mkdir()
    for name, version in VERSIONS.items():
        make_wheel(index, name, version, requires=[needs] if name == "monai" else [])
    make_wheel(index, "numpy", "2.5")
    with monkeypatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(index))
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return make_pack(PackRequest(folder / "Päck 1", models=["hippocampus"], python=python))


@pytest.mark.slow
@pytest.mark.parametrize("needs", ["numpy>=1.26", "numpy>=2.1"])
def test_a_pack_is_installed_and_numpy_is_left_alone(
    computer: Path,
    make_wheel: Callable[..., Path],
    tmp_path: Path,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    needs: str,
) -> None:
    import slicer

    from harness import dialogs
    from MedContextSegmentLib.Setup import Install
    from MedContextSegmentLib.Setup.Settings import Settings

    slicer.util.pip_install(["--no-index", "--no-deps", str(make_wheel(tmp_path, "numpy", "2.0.2"))])
    folder = make_a_pack(tmp_path, make_wheel, monkeypatch, needs)
    dialogs.answers.append(str(folder))  # the file dialog
    fits = needs == "numpy>=1.26"
    assert Install.installFromPack() is fits
    assert (computer / "numpy-2.0.2.dist-info").is_dir()
    assert not (computer / "numpy-2.5.dist-info").exists()
    assert (Install.missingPackages() == []) is fits
    assert (own_home / "models" / "hippocampus" / "model.json").is_file() is fits
    assert Settings().offlinePack == (str(folder) if fits else "")
    if not fits:
        assert "Installing failed" in shown("error")[0].text
        assert "--constraints" in shown("error")[0].text


def test_a_pack_that_nobody_chose_changes_nothing(computer: Path) -> None:
    from MedContextSegmentLib.Setup import Install

    assert not Install.installFromPack()
    assert not shown("error")
    assert not list(computer.glob("*.dist-info"))


def test_a_damaged_pack_is_refused_before_anything_is_installed(computer: Path, tmp_path: Path) -> None:
    from MedContextSegmentLib.Setup import Install

    assert not Install.installFromPack(tmp_path / "nowhere")
    assert "no offline pack" in shown("error")[0].text
    assert not shown("question")
    assert not list(computer.glob("*.dist-info"))
