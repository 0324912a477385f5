"""The doctor says what is wrong and what to do, also where nothing is installed, and what the worker found."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

DEADLINE = 120.0


def findings(worker: Any = None) -> dict[str, Any]:
    from MedContextSegmentLib.Setup.Doctor import faceFindings

    return {finding.name: finding for finding in faceFindings(worker)}


@pytest.fixture
def worker() -> Iterator[Any]:
    from MedContextSegmentLib.Worker.WorkerProcess import WorkerProcess

    made = WorkerProcess()
    yield made
    made.close()


@pytest.fixture
def dialog(worker: Any) -> Iterator[Callable[..., Any]]:
    """``dialog(other=None)``: opens the window, for ``worker`` or another one."""
    from MedContextSegmentLib.Setup import Doctor

    opened: list[Any] = []

    def show(other: Any = None) -> Any:
        opened.append(Doctor.showReport(SimpleNamespace(worker=other or worker)))
        return opened[-1]

    yield show
    for shown in set(opened) & set(Doctor._open):
        shown.dialog.close()


def test_a_good_computer_is_ok() -> None:
    found = findings()
    assert {"3D Slicer", "Python", "MedContext", "Packages", "Models", "Temporary folder"} <= set(found)
    assert all(finding.ok for finding in found.values()), found
    assert sys.version.split()[0] in found["Python"].value


def test_the_worker_is_described_without_being_started(worker: Any) -> None:
    assert "not started" in findings(worker)["Worker"].value
    assert not worker.running


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from MedContextSegmentLib.Setup import Doctor

    monkeypatch.setattr(Doctor, "missingPackages", lambda: ["monai>=1.5"])
    finding = findings()["Packages"]
    assert not finding.ok
    assert "monai>=1.5" in finding.value
    assert finding.advice


def test_a_library_that_cannot_be_written_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("MEDCONTEXT_HOME", str(tmp_path / "file"))
    finding = findings()["Models"]
    assert not finding.ok
    assert "MEDCONTEXT_HOME" in finding.advice


def test_a_broken_model_is_named(own_home: Path) -> None:
    (own_home / "models" / "liver").mkdir(parents=True)
    (own_home / "models" / "liver" / "model.json").write_text("{}", encoding="utf-8")
    finding = findings()["Model"]
    assert not finding.ok
    assert "liver" in finding.value


def test_little_room_for_temporary_files_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=10**8))
    finding = findings()["Temporary folder"]
    assert not finding.ok
    assert "0.1 GB" in finding.value


def test_the_text_marks_what_needs_attention() -> None:
    from MedContextSegmentLib.Setup.Doctor import Finding, reportText

    text = reportText([Finding("A", "fine"), Finding("B", "broken", False, "Mend it.")])
    assert text.splitlines() == ["ok    A: fine", "LOOK  B: broken", "      -> Mend it."]


def test_the_window_shows_what_the_worker_found_and_copies_it(
    app: Any, dialog: Callable[..., Any], kept_worker: Any
) -> None:
    import qt

    shown = dialog(kept_worker)
    assert "3D Slicer" in shown.text.toPlainText()
    assert shown.waiting
    assert shown.status.text
    ends = time.monotonic() + DEADLINE
    while shown.waiting:
        assert time.monotonic() < ends
        app.processEvents()
        time.sleep(0.01)
    assert "Device" in shown.text.toPlainText()
    shown.copyButton.click()
    assert qt.QApplication.clipboard().text() == shown.report
    assert shown.status.text


def test_where_packages_are_missing_no_worker_is_started(
    worker: Any, dialog: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedContextSegmentLib.Setup import Doctor

    monkeypatch.setattr(Doctor, "missingPackages", lambda: ["monai>=1.5"])
    shown = dialog()
    assert not shown.waiting
    assert not worker.running
    assert "monai" in shown.text.toPlainText()


def test_a_worker_that_cannot_start_is_a_line_of_the_report(
    app: Any, dialog: Callable[..., Any], worker: Any
) -> None:
    worker._command = ["/nowhere/PythonSlicer"]
    shown = dialog()
    ends = time.monotonic() + 10
    while shown.waiting:
        assert time.monotonic() < ends
        app.processEvents()
    assert "LOOK  Worker" in shown.text.toPlainText()


def test_the_window_can_be_closed_while_the_worker_looks(app: Any, dialog: Callable[..., Any]) -> None:
    from MedContextSegmentLib.Setup import Doctor

    shown = dialog()
    shown.closeButton.click()
    app.processEvents()
    assert not Doctor._open
