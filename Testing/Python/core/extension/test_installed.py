"""What is on the disk is what the extension brings: by comparing lists, and by a real installation with CMake."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[4]
MODULE = REPOSITORY / "MedContextSegment"
PACKAGE = REPOSITORY / "Training" / "medcontext"
SCRIPTED = "lib/Slicer-5.10/qt-scripted-modules"

SLICER = """
# Stands in for a build of Slicer: says where things go, and installs a module's files as Slicer's own macro does.
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/use.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/nothing.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/nothing.cmake")
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "@SCRIPTED@")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "@SCRIPTED@")
"""
USE = """
function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS OR NOT MY_NAME)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule: ${ARGN}")
  endif()
  foreach(file IN LISTS MY_SCRIPTS MY_RESOURCES)
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
      message(FATAL_ERROR "${file} does not exist")
    endif()
    configure_file("${file}" "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}/${file}" COPYONLY)
    get_filename_component(folder "${file}" DIRECTORY)
    install(FILES "${file}" DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}/${folder}"
      COMPONENT RuntimeLibraries)
  endforeach()
endfunction()
function(slicer_add_python_unittest)
endfunction()
"""


def files_of(folder: Path) -> set[str]:
    """Files below a folder that belong to it; what Python and desktops leave lying about does not."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != ".DS_Store"
    }


def listed(name: str) -> list[str]:
    text = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    (block,) = re.findall(rf"^set\({name}\n(.*?)\n  \)", text, flags=re.M | re.S)
    return [line.strip().replace("${MODULE_NAME}", "MedContextSegment") for line in block.splitlines()]


def test_every_script_is_listed_and_every_listed_one_exists() -> None:
    scripts = listed("MODULE_PYTHON_SCRIPTS")
    assert len(set(scripts)) == len(scripts)
    assert set(scripts) == {name for name in files_of(MODULE) if name.endswith(".py")}


def test_every_resource_is_listed_and_every_listed_one_exists() -> None:
    resources = listed("MODULE_PYTHON_RESOURCES")
    assert len(set(resources)) == len(resources)
    assert set(resources) == {name for name in files_of(MODULE) if name.startswith("Resources/")}


def test_the_module_folder_holds_nothing_else() -> None:
    others = files_of(MODULE) - set(listed("MODULE_PYTHON_SCRIPTS")) - set(listed("MODULE_PYTHON_RESOURCES"))
    assert others == {"CMakeLists.txt"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The scripted-module folders of a build tree and of an installation from it."""
    cmake = shutil.which("cmake")
    if cmake is None or not (shutil.which("cc") and shutil.which("c++")):
        pytest.skip("needs cmake and a compiler, as building an extension does")
    folder = tmp_path_factory.mktemp("extension build ö")
    slicer, build, prefix = folder / "slicer", folder / "build", folder / "installed"
    slicer.mkdir()
    for name, text in {"SlicerConfig": SLICER, "use": USE, "nothing": ""}.items():
        (slicer / f"{name}.cmake").write_text(text.replace("@SCRIPTED@", SCRIPTED), encoding="utf-8")
    for command in (
        [cmake, "-S", str(REPOSITORY), "-B", str(build), f"-DSlicer_DIR={slicer}", "-DBUILD_TESTING=ON"],
        [cmake, "--build", str(build)],
        [cmake, "--install", str(build), "--prefix", str(prefix), "--component", "RuntimeLibraries"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return build / SCRIPTED, prefix / SCRIPTED


@pytest.mark.parametrize("which", [0, 1], ids=["build tree", "installed"])
def test_everything_is_there_and_nothing_else(built: tuple[Path, Path], which: int) -> None:
    there = {path.relative_to(built[which]).as_posix() for path in built[which].rglob("*") if path.is_file()}
    package = {f"medcontext/{name}" for name in files_of(PACKAGE)}
    module = files_of(MODULE) - {"CMakeLists.txt"}
    assert there == package | module


def test_the_package_brings_its_models_samples_and_configurations(built: tuple[Path, Path]) -> None:
    for name in (
        "py.typed",
        "resources/models/hippocampus/weights.safetensors",
        "resources/samples/hippocampus/dataset.json",
        "resources/configs/hippocampus.yaml",
    ):
        assert (built[1] / "medcontext" / name).is_file()


@pytest.mark.parametrize("which", [0, 1], ids=["build tree", "installed"])
def test_the_module_there_finds_the_package_beside_it(built: tuple[Path, Path], which: int) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from MedContextSegmentLib.Setup.PackagePath import addPackageToPath\n"
        "addPackageToPath()\n"
        "from medcontext.cards import list_cards\n"
        "sys.stdout.buffer.write('\\n'.join(str(card.folder) for card in list_cards()).encode())"
    )
    command = [sys.executable, "-B", "-c", code, str(built[which])]
    result = subprocess.run(command, capture_output=True, check=True)
    folders = result.stdout.decode().splitlines()
    assert str(built[which] / "medcontext" / "resources" / "models" / "hippocampus") in folders


def test_slicer_takes_no_script_for_a_module(built: tuple[Path, Path]) -> None:
    """It loads every file in that folder, and none below it, as a module with a class of that name."""
    assert [path.name for path in built[1].glob("*.py")] == ["MedContextSegment.py"]


@pytest.mark.parametrize("which", [0, 1], ids=["build tree", "installed"])
def test_the_batch_script_there_finds_the_rest(built: tuple[Path, Path], which: int) -> None:
    pytest.importorskip("slicer_core")
    script = built[which] / "Scripts" / "MedContextBatch.py"
    result = subprocess.run([sys.executable, "-B", str(script)], capture_output=True, check=False, text=True)
    assert (result.returncode, result.stderr.count("No scans were given.")) == (2, 1), result.stderr
