"""Fixtures that every part may use."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository; tests that ask for it skip without it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data not found: {folder} does not exist")
    return folder


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty library and job folder, so that no test sees or changes what the user has."""
    folder = tmp_path_factory.mktemp("medcontext_home")
    monkeypatch.setenv("MEDCONTEXT_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def known_names() -> dict[str, list[str]]:
    """See :func:`names_once`."""
    return {}


@pytest.fixture
def names_once(known_names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Find out once for networks that are alike which tensors are the encoder's: it takes half a second or so."""
    from medcontext.engine import encoder_student
    from medcontext.networks import encoder

    find = encoder.encoder_names

    def names(network: Any) -> list[str]:
        alike = f"{network.name} {network.in_channels} {network.classes} {network.kwargs}"
        if alike not in known_names:
            known_names[alike] = find(network)
        return list(known_names[alike])

    for module in (encoder, encoder_student):
        monkeypatch.setattr(module, "encoder_names", names)


@pytest.fixture(scope="session")
def make_wheel() -> Callable[..., Path]:
    """``make_wheel(folder, name, version, tag="py3-none-any", requires=())``: a package that pip installs."""

    def make(
        folder: Path, name: str, version: str, tag: str = "py3-none-any", requires: Sequence[str] = ()
    ) -> Path:
        module = name.lower().replace("-", "_")
        info = f"{module}-{version}.dist-info"
        needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
        files = {
            f"{module}_stub.py": f"VERSION = '{version}'\n",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
            f"{info}/RECORD": "",
        }
        path = folder / f"{module}-{version}-{tag}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for place, text in files.items():
                archive.writestr(place, text)
        return path

    return make
