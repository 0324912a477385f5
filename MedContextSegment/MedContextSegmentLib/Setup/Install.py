"""Installing what Slicer does not ship: asked once, on the main thread, and nothing that is there is replaced."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from medcontext.errors import CancelledError, InputError, MedContextError
from MedContextSegmentLib.Setup.ModelImport import importModels
from MedContextSegmentLib.Setup.OfflinePack import openPack
from MedContextSegmentLib.Setup.Packages import (
    SEGMENT,
    TORCH,
    Packages,
    importedAndChanged,
    requirementsOf,
    unsupported,
)
from MedContextSegmentLib.Setup.Settings import Settings

REQUESTER = "MedContext"

_FAILURES = (ImportError, OSError, RuntimeError, ValueError)
"""What the extension that installs PyTorch raises when it fails, beside what pip says."""

_installing = threading.Lock()


def missingPackages(purpose: str = SEGMENT) -> list[str]:
    """What is still needed, as pip writes it; nothing is imported and no network is used.

    Args:
        purpose: see :func:`requirementsOf`.
    """
    return [str(requirement) for requirement in Packages().missing(requirementsOf(purpose))]


def ensureInstalled(ask: bool = True, purpose: str = SEGMENT) -> bool:
    """Install what is missing; to be called where it is needed, on the main thread.

    Args:
        ask: whether the person is asked first. Scripts may do without.
        purpose: see :func:`requirementsOf`.

    Returns:
        Whether everything is there. Where it is not, the person has been told why.
    """
    return _told(lambda: install(purpose, ask))


def installFromPack(folder: Path | None = None, ask: bool = True) -> bool:
    """Install packages and models from an offline pack, without a network.

    Args:
        folder: the pack; the person chooses one when None.
        ask: whether the person is asked before anything is installed.

    Returns:
        Whether everything in it is installed. Where it is not, the person has been told why.
    """
    settings = Settings()
    if folder is None:
        caption = _("Choose the folder of an offline pack")
        chosen = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), caption, settings.offlinePack)
        if not chosen:
            return False
        folder = Path(chosen)
    pack = folder
    done = _told(lambda: _installPack(pack, ask))
    if done:
        settings.offlinePack = str(folder)
    return done


def _told(work: Callable[[], None]) -> bool:
    try:
        with _alone():
            work()
    except CancelledError as error:
        logging.info(error.message)
        slicer.util.showStatusMessage(error.message, 5000)
        return False
    except MedContextError as error:
        slicer.util.errorDisplay(str(error), windowTitle=REQUESTER)
        return False
    return True


@contextmanager
def _alone() -> Iterator[None]:
    """pip in another thread hangs Slicer, and two at once leave neither package whole."""
    if threading.current_thread() is not threading.main_thread():
        error = "Packages are installed on the main thread only."
        raise RuntimeError(error)
    packaging = _packaging()
    if (packaging and packaging.isPipInstallInProgress()) or not _installing.acquire(blocking=False):
        raise InputError(_("Another installation is running."), _("Wait until it has ended."))
    try:
        yield
    finally:
        _installing.release()


def install(purpose: str = SEGMENT, ask: bool = True) -> None:
    """Install what is missing.

    Args:
        purpose: see :func:`requirementsOf`.
        ask: whether the person is asked first.

    Raises:
        CancelledError: the person does not want to.
        InputError: it cannot be installed here, or did not work.
    """
    packages = Packages()
    missing = packages.missing(requirementsOf(purpose))
    if not missing:
        return
    _checkPossible(missing, packages)
    torch = [requirement for requirement in missing if requirement.name == TORCH]
    rest = [requirement for requirement in missing if requirement.name != TORCH]
    logic = _torchLogic() if torch else None
    if ask:
        _confirm(_question(len(missing), bool(torch)), missing)
    with _restartOffered(packages):
        if logic is not None:
            _installTorch(logic, torch[0])
        if rest:
            with _constraintsFile(packages.constraints(rest)) as constraints:
                _explained(lambda: _installRest(rest, constraints))
    _checkInstalled(missing, packages)


def _checkPossible(missing: Sequence[Any], packages: Packages) -> None:
    if slicer.app.testingEnabled():
        raise CancelledError(_("Nothing is installed while Slicer runs its tests."))
    problem = unsupported()
    if problem:
        raise InputError(problem, _("On a Mac with an Apple processor use the Slicer that is made for it."))
    version = packages.versions(TORCH).get(TORCH)
    wanted = next((requirement for requirement in missing if requirement.name == TORCH), None)
    if version is not None and wanted is not None:
        text = _("PyTorch {version} is installed, and MedContext needs {wanted}.")
        raise InputError(
            text.format(version=version, wanted=wanted.specifier),
            _("Uninstall it in the module PyTorch Utils, restart Slicer and try again."),
        )


def _torchLogic() -> Any:
    """The logic of the extension that finds the PyTorch for this computer's graphics card."""
    try:
        import PyTorchUtils
    except ImportError as error:
        raise InputError(
            _("The extension PyTorch is not installed, which MedContext needs to install PyTorch."),
            _("Install it in the Extensions Manager and restart Slicer, or install from an offline pack."),
        ) from error
    return PyTorchUtils.PyTorchUtilsLogic()


def _question(count: int, torch: bool) -> str:
    text = _("MedContext needs {count} Python package(s) that this Slicer does not have.").format(count=count)
    if torch:
        text += " " + _("PyTorch is among them: up to 3 GB are downloaded, which can take several minutes.")
    return text + "\n\n" + _("Install them now?")


def _confirm(text: str, items: Sequence[Any]) -> None:
    details = "\n".join(f"- {item}" for item in items)
    title = _("MedContext - Install Python packages")
    if not slicer.util.confirmOkCancelDisplay(text, title, detailedText=details):
        raise CancelledError(
            _("Nothing was installed; MedContext will ask again when it needs the packages.")
        )


def _installTorch(logic: Any, requirement: Any) -> None:
    found = _explained(
        lambda: logic.installTorch(askConfirmation=False, torchVersionRequirement=str(requirement.specifier))
    )
    if found is None:
        raise CancelledError(_("PyTorch was not installed."))


def _installRest(requirements: list[Any], constraints: Path) -> None:
    packaging = _packaging()
    if packaging is not None:
        packaging.pip_ensure(
            requirements,
            constraints=constraints,
            prompt_install=False,
            prompt_restart=False,
            requester=REQUESTER,
        )
    else:
        with slicer.util.WaitCursor():
            slicer.util.pip_install(["-c", str(constraints), *map(str, requirements)])


def _packaging() -> Any:
    """``slicer.packaging``; None in Slicer 5.10, which does not have it."""
    try:
        return importlib.import_module("slicer.packaging")
    except ImportError:
        return None


def _explained(work: Callable[[], Any], hint: str = "") -> Any:
    try:
        return work()
    except subprocess.CalledProcessError as error:
        logging.exception("Installing failed")
        raise InputError(
            _("Installing failed: pip ended with code {code}, the Python console says why.").format(
                code=error.returncode
            ),
            hint or _("An offline pack can be installed instead."),
        ) from error
    except _FAILURES as error:
        logging.exception("Installing failed")
        reason = str(error).rstrip(".")
        raise InputError(_("Installing failed: {reason}.").format(reason=reason), hint) from error


@contextmanager
def _constraintsFile(text: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="medcontext") as folder:
        path = Path(folder) / "constraints.txt"
        path.write_text(text, encoding="utf-8")
        yield path


def _checkInstalled(requirements: Sequence[Any], packages: Packages) -> None:
    importlib.invalidate_caches()  # pip is another process
    still = ", ".join(str(requirement) for requirement in packages.missing(requirements))
    if still:
        text = _("After installing, these packages are still missing: {names}.")
        raise InputError(text.format(names=still), _("The Python console says why."))


@contextmanager
def _restartOffered(packages: Packages) -> Iterator[None]:
    """Ask for a restart where something was installed that is in use in another version."""
    before, loaded = packages.versions(), set(sys.modules)
    yield
    importlib.invalidate_caches()
    changed = importedAndChanged(before, packages.versions(), loaded)
    if changed:
        text = _(
            "These packages were in use and changed: {names}. They work after a restart. Restart Slicer now?"
        )
        if slicer.util.confirmYesNoDisplay(text.format(names=", ".join(changed)), windowTitle=REQUESTER):
            slicer.util.restart()


def _installPack(folder: Path, ask: bool) -> None:
    pack = openPack(folder, slicer.app.processEvents)
    packages = Packages()
    missing = packages.missing(requirementsOf(pack.purpose))
    if missing:
        _checkPossible(missing, packages)
    if ask:
        text = _("Install {packages} Python package(s) and {models} model(s) from the offline pack?")
        names = [*missing, *(path.name for path in pack.models)]
        _confirm(text.format(packages=len(missing), models=len(pack.models)), names)
    if missing:
        with _restartOffered(packages), _constraintsFile(packages.constraints(missing)) as constraints:
            source = ["--no-index", "--find-links", str(pack.wheels), "--only-binary", ":all:"]
            arguments = [*source, "-c", str(constraints), *map(str, missing)]
            _explained(lambda: slicer.util.pip_install(arguments), _packHint())
        _checkInstalled(missing, packages)
    importModels(pack.models)


def _packHint() -> str:
    return _(
        "If its packages do not fit those of this Slicer: make the pack again with 'medcontext pack --constraints' "
        "and what 'PythonSlicer -m pip freeze' says here."
    )
