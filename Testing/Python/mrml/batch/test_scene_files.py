"""Scenes are made once, again where they have to be, and never over what somebody else left there."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

from harness.runs import segmentations
from harness.scripted_batch import Batch
from medcontext.batch_ledger import DONE, FAILED, RUNNING, Layout, LedgerWriter, read_rows
from medcontext.errors import InputError, ResourceError
from MedContextSegmentLib.Batch.CaseReading import CaseReader
from MedContextSegmentLib.Batch.SceneBundle import writeBundle
from MedContextSegmentLib.Batch.SceneFiles import SceneFiles

Make = Callable[..., SceneFiles]


@pytest.fixture
def layout(batch: Batch, tmp_path: Path) -> Layout:
    """A copy of the finished batch."""
    shutil.copytree(batch.folder, tmp_path / "out")
    return Layout(tmp_path / "out")


@pytest.fixture
def make(batch: Batch, layout: Layout, worker: Any) -> Make:
    """``make(*cases, overwrite=False)``: let scenes be made; of all finished cases when none is named."""

    def make(*cases: str, overwrite: bool = False) -> SceneFiles:
        scenes = SceneFiles(layout.root, CaseReader(layout.root, worker), overwrite=overwrite)
        for case in cases or batch.done:
            scenes.add(case)
        try:
            while scenes.waiting:
                scenes.step()
        finally:
            scenes.close()
        return scenes

    return make


def counts(scenes: SceneFiles) -> tuple[int, int, int]:
    return scenes.made, scenes.kept, scenes.failed


def record(layout: Layout, case: str) -> dict[str, Any]:
    return read_rows(layout.scene(case).parent)[case]


def test_finished_scenes_are_not_made_again(make: Make, layout: Layout, batch: Batch) -> None:
    before = {case: layout.scene(case).stat().st_mtime_ns for case in batch.done}
    assert counts(make()) == (0, 3, 0)
    assert {case: layout.scene(case).stat().st_mtime_ns for case in batch.done} == before
    layout.scene("crop").unlink()
    assert counts(make()) == (1, 2, 0)
    assert layout.scene("crop").is_file()
    assert segmentations() == []  # memory does not grow with the cases


def test_a_case_that_was_done_again_gets_a_new_scene(make: Make, layout: Layout) -> None:
    row = read_rows(layout.root)["crop"]
    row["outputs"]["nii.gz"][0]["mtime_ns"] += 1
    with LedgerWriter(layout.ledger()) as ledger:
        ledger.append(row)
    before = record(layout, "crop")
    assert counts(make()) == (1, 2, 0)
    assert record(layout, "crop")["of"] != before["of"]


def test_what_somebody_changed_is_replaced_only_when_asked_for(make: Make, layout: Layout) -> None:
    layout.scene("crop").write_bytes(b"with my notes")
    assert counts(make("crop")) == (0, 0, 1)
    assert layout.scene("crop").read_bytes() == b"with my notes"
    failed = record(layout, "crop")
    assert failed["state"] == FAILED
    assert "was changed since" in failed["error"]["message"]
    assert "--overwrite" in failed["error"]["hint"]
    assert counts(make("crop", overwrite=True)) == (1, 0, 0)
    assert record(layout, "crop")["state"] == DONE


def test_what_a_killed_run_left_is_replaced(make: Make, layout: Layout) -> None:
    scene = layout.scene("crop")
    scene.write_bytes(b"half")
    (scene.parent / ".making").mkdir()
    (scene.parent / ".making" / "crop.mrb").write_bytes(b"a quarter")
    with LedgerWriter(Layout(scene.parent).ledger()) as ledger:
        ledger.append({"case": "crop", "state": RUNNING, "time": 1.0})
    assert counts(make("crop")) == (1, 0, 0)
    assert not (scene.parent / ".making").exists()
    assert scene.stat().st_size > 1000


def test_a_scan_that_is_gone_stops_no_other(make: Make, layout: Layout, batch: Batch) -> None:
    sources = json.loads(layout.sources.read_text(encoding="utf-8"))
    sources["crop"]["paths"] = [str(layout.root / "gone.nii.gz")]
    series = [str(layout.root / "Doe_Johanna" / Path(file).name) for file in sources[batch.dicom]["series"]]
    sources[batch.dicom] |= {"paths": [str(layout.root / "Doe_Johanna")], "series": series}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in sources.items())
    layout.sources.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    for case in batch.done:
        layout.scene(case).unlink()
    assert counts(make()) == (1, 0, 2)
    assert "gone.nii.gz" in record(layout, "crop")["error"]["message"]
    hidden = record(layout, batch.dicom)["error"]
    assert hidden["kind"] == "input"
    assert "Johanna" not in json.dumps(hidden)
    assert "IM_TIEF" not in json.dumps(hidden)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (RuntimeError("/export/Doe_Johanna/IM_1"), "RuntimeError"),
        (MemoryError("/export/Doe_Johanna"), "Memory ran out"),
    ],
)
def test_a_fault_of_a_library_stops_no_other_scene_and_names_nobody(
    batch: Batch, layout: Layout, worker: Any, fault: Exception, words: str
) -> None:
    class Breaking(CaseReader):
        def read(self, case: str, row: Any) -> Any:
            if case == batch.dicom:
                raise fault
            return super().read(case, row)

    scenes = SceneFiles(layout.root, Breaking(layout.root, worker))
    for case in batch.done:
        layout.scene(case).unlink()
        scenes.add(case)
    told = ""
    while scenes.waiting:
        told += scenes.step()
    scenes.close()
    assert counts(scenes) == (2, 0, 1)
    assert words in record(layout, batch.dicom)["error"]["message"]
    assert "Johanna" not in told + json.dumps(record(layout, batch.dicom))


def test_a_case_without_a_label_map_says_what_to_do(make: Make, layout: Layout) -> None:
    row = read_rows(layout.root)["crop"]
    row["outputs"] = {"stl": []}
    with LedgerWriter(layout.ledger()) as ledger:
        ledger.append(row)
    assert counts(make("crop")) == (0, 0, 1)
    assert "--format nii.gz" in record(layout, "crop")["error"]["hint"]


def test_two_processes_do_not_make_the_same_scenes(make: Make, layout: Layout, worker: Any) -> None:
    first = SceneFiles(layout.root, CaseReader(layout.root, worker))
    with pytest.raises(InputError, match=r"scenes.*ledger"):
        make()
    first.close()
    assert counts(make()) == (0, 3, 0)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As on a full disk: no file grows beyond this."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no limit to the size of files")
@pytest.mark.parametrize("size", [1000, 60_000, 110_000, 125_000])
def test_a_bundle_is_there_whole_or_not_at_all(tmp_path: Path, size: int) -> None:
    noise = np.random.default_rng(0).integers(0, 30_000, (16, 64, 64), np.int16)
    slicer.util.addVolumeFromArray(noise, name="scan")
    writeBundle(tmp_path / "whole.mrb", tmp_path / "work")
    place = tmp_path / "scene.mrb"
    place.write_bytes(b"earlier")
    assert (tmp_path / "whole.mrb").stat().st_size > size
    with largest_file(size), pytest.raises((ResourceError, InputError)):
        writeBundle(place, tmp_path / "work")
    assert place.read_bytes() == b"earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.mrb", "whole.mrb"]
