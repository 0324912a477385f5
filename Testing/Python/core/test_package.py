"""What importing costs: the package and its help load nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "monai", "SimpleITK", "scipy", "matplotlib", "accelerate", "pydicom", "slicerio"}
FLOOR_0 = ["errors", "geometry", "labels", "events", "cards", "jobs", "home", "exchange", "redo_forms"]


def loaded_after(code: str) -> set[str]:
    """The top-level modules in memory after a fresh interpreter ran ``code``."""
    script = f"import sys\n{code}\nimport json\nsys.stderr.write('\\n' + json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(result.stderr.splitlines()[-1])}


def test_importing_the_package_loads_only_the_standard_library() -> None:
    heavy = loaded_after("import medcontext") & (HEAVY | {"numpy", "pydantic", "typer", "rich"})
    assert heavy == set()


def test_importing_the_api_loads_nothing_heavy() -> None:
    heavy = loaded_after("import medcontext.api") & HEAVY
    assert heavy == set()


@pytest.mark.parametrize("command", [["--help"], ["segment", "--help"], ["train", "--help"]])
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    code = (
        "from medcontext.__main__ import main\n"
        f"sys.argv = ['medcontext', *{command!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )
    heavy = loaded_after(code) & (HEAVY | {"numpy"})
    assert heavy == set()


def test_floor_0_works_where_only_numpy_is_installed() -> None:
    """3D Slicer's own Python has neither pydantic nor torch, typer, safetensors or psutil."""
    code = (
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        top = name.split('.')[0]\n"
        "        if top not in sys.stdlib_module_names | {'numpy', 'medcontext'}:\n"
        "            raise ImportError(f'{name} is not there')\n"
        "sys.meta_path.insert(0, Blocker())\n" + "\n".join(f"import medcontext.{name}" for name in FLOOR_0)
    )
    assert "medcontext" in loaded_after(code)
