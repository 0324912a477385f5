"""Scans without labels: linked where a file holds exactly what is on screen, copied only when that was said before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

from harness.runs import CASE, SAMPLE
from medcontext.case_list import StoreSummary, read_store
from medcontext.data.store import CaseStore
from medcontext.errors import InputError
from medcontext.labels import LabelSet
from MedContextSegmentLib.Learn.UnlabelledScans import AddUnlabelledRun, planFolder, planVolumes
from MedContextSegmentLib.Scene.ScanFiles import scanFiles

Finish = Callable[[Any], Any]


@pytest.fixture
def store(tmp_path: Path) -> StoreSummary:
    CaseStore.create(tmp_path / "store", LabelSet.from_names({1: "a"}), [("T1", "MR")], name="mine")
    return read_store(tmp_path / "store")


def load(folder: Path, ending: str = ".nii.gz", case: str = CASE) -> Any:
    """A sample scan as a volume read from a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{case.split('.')[0]}.nii.gz"
    shutil.copy(SAMPLE / "images" / case, path)
    node = slicer.util.loadVolume(str(path))
    if ending != ".nii.gz":
        path = path.with_name(path.name.replace(".nii.gz", ending))
        assert slicer.util.saveNode(node, str(path))
    return node


@pytest.mark.parametrize("ofScene", [False, True])
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_a_volume_that_is_as_in_its_file_is_linked(
    worker: Any,
    root: Path,
    tmp_path: Path,
    finish: Finish,
    store: StoreSummary,
    ending: str,
    ofScene: bool,
    request: pytest.FixtureRequest,
) -> None:
    before = slicer.mrmlScene.GetRootDirectory()
    request.addfinalizer(lambda: slicer.mrmlScene.SetRootDirectory(before))
    slicer.mrmlScene.SetRootDirectory(str(tmp_path / "a scene") if ofScene else "")
    node = load(tmp_path / "my scans", ending)
    plan = planVolumes([node], store)
    assert (plan.copies, plan.question, len(plan.paths)) == ((), "", 1)
    assert plan.paths[0].name.endswith(ending)
    result = finish(AddUnlabelledRun(worker, plan, store.folder, None, root))
    (case,) = read_store(store.folder).cases
    assert (result.added, result.cases, case.linked) == ((case.id,), 1, True)
    assert case.images[0].resolve() == plan.paths[0].resolve()
    assert not list(store.folder.rglob("*.nii.gz"))


def edited(folder: Path) -> Any:
    node = load(folder)
    slicer.util.arrayFromVolume(node)[0, 0, 0] += 1
    slicer.util.arrayFromVolumeModified(node)
    return node


def moved(folder: Path) -> Any:
    node = load(folder)
    node.SetSpacing(2, 2, 2)
    return node


def vanished(folder: Path) -> Any:
    node = load(folder)
    Path(node.GetStorageNode().GetFullNameFromFileName()).unlink()
    return node


def made(_folder: Path) -> Any:
    return slicer.util.addVolumeFromArray(np.arange(1000, dtype=np.int16).reshape(10, 10, 10), name="made")


def downloaded(_folder: Path) -> Any:
    return load(Path(slicer.app.temporaryPath))


@pytest.mark.parametrize("make", [edited, moved, vanished, made, downloaded])
def test_any_other_volume_is_copied_and_that_is_said_before(
    worker: Any, root: Path, tmp_path: Path, finish: Finish, store: StoreSummary, make: Callable[[Path], Any]
) -> None:
    node = make(tmp_path / "my scans")
    node.SetName("the scan")
    plan = planVolumes([node], store)
    assert plan.paths == ()
    assert plan.copies == ((node,),)
    assert "copied into the case store 'mine' (up to 1 MB): the scan" in plan.question
    result = finish(AddUnlabelledRun(worker, plan, store.folder, None, root))
    (case,) = read_store(store.folder).cases
    assert (result.added, case.kind, case.linked) == ((case.id,), "unlabelled", False)
    assert case.id == "the_scan"
    image = CaseStore.open(store.folder).read_image(CaseStore.open(store.folder).case(case.id))
    np.testing.assert_array_equal(image.array[0], slicer.util.arrayFromVolume(node))


def test_some_are_linked_and_some_are_copied_and_one_is_there_already(
    worker: Any, root: Path, tmp_path: Path, finish: Finish, store: StoreSummary
) -> None:
    linked = load(tmp_path / "a")
    copied = edited(tmp_path / "b")
    again = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, copied, "again")
    plan = planVolumes([linked, copied, again], store)
    assert len(plan.paths) == 1
    assert len(plan.copies) == 2
    result = finish(AddUnlabelledRun(worker, plan, store.folder, None, root))
    assert len(result.added) == 2
    assert len(read_store(store.folder).cases) == 2
    assert [name for name, _reason in result.skipped] == ["again"]
    assert "is in the case store as" in result.skipped[0][1]


def test_a_volume_that_cannot_be_added_does_not_keep_the_others_out(
    worker: Any, root: Path, finish: Finish, store: StoreSummary
) -> None:
    broken = slicer.util.addVolumeFromArray(np.full((5, 5, 5), np.nan, np.float32), name="broken")
    plan = planVolumes([broken, made(Path())], store)
    result = finish(AddUnlabelledRun(worker, plan, store.folder, None, root))
    assert result.added == ("made",)
    assert result.skipped[0][0] == "broken"
    assert "not finite" in result.skipped[0][1]


def test_a_folder_is_linked_and_nothing_is_copied(
    worker: Any, root: Path, tmp_path: Path, finish: Finish, store: StoreSummary
) -> None:
    shutil.copytree(SAMPLE / "images", tmp_path / "many")
    plan = planFolder(tmp_path / "many")
    assert plan.question == ""
    result = finish(AddUnlabelledRun(worker, plan, store.folder, None, root))
    assert len(result.added) == len(list((tmp_path / "many").iterdir()))
    assert all(case.linked for case in read_store(store.folder).cases)


def test_the_channels_of_one_scan_are_copied_together(
    worker: Any, root: Path, tmp_path: Path, finish: Finish
) -> None:
    CaseStore.create(tmp_path / "two", LabelSet(), [("T1", "MR"), ("FLAIR", "MR")])
    store = read_store(tmp_path / "two")
    nodes = [made(tmp_path), made(tmp_path)]
    slicer.util.arrayFromVolume(nodes[1])[:] += 7
    with pytest.raises(InputError, match=r"2 channel\(s\)"):
        planVolumes(nodes[:1], store)
    plan = planVolumes(nodes, store)
    result = finish(AddUnlabelledRun(worker, plan, store.folder, None, root))
    case = CaseStore.open(store.folder).case(result.added[0])
    assert len(case.images) == 2


def test_what_is_no_scan_or_no_folder_is_one_sentence(tmp_path: Path, store: StoreSummary) -> None:
    with pytest.raises(InputError, match="is not there"):
        planFolder(tmp_path / "nowhere")
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "x")
    slicer.util.updateVolumeFromArray(labels, np.zeros((5, 5, 5), np.uint8))
    with pytest.raises(InputError, match="label map"):
        planVolumes([labels], store)


def test_a_dicom_series_is_its_folder_when_that_holds_nothing_else(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "dicom_oddities" / "mr_hippocrop_study1"
    while not any(path.is_file() for path in source.iterdir()):
        source = next(path for path in sorted(source.iterdir()) if path.is_dir())
    shutil.copytree(source, tmp_path / "series")
    for path in (tmp_path / "series").iterdir():
        if path.suffix == ".json":
            path.unlink()
    node = slicer.util.loadVolume(str(sorted((tmp_path / "series").iterdir())[0]))
    assert scanFiles(node) == (tmp_path / "series",)
    shutil.copy(SAMPLE / "images" / CASE, tmp_path / "series")
    assert scanFiles(node) == ()


def test_stopping_leaves_the_store_as_it_was(
    worker: Any, root: Path, finish: Finish, store: StoreSummary
) -> None:
    from medcontext.errors import CancelledError

    before = (store.folder / "dataset.json").read_bytes()
    run = AddUnlabelledRun(worker, planVolumes([made(Path())], store), store.folder, None, root)
    run.poll()
    run.cancel()
    with pytest.raises(CancelledError):
        finish(run)
    assert (store.folder / "dataset.json").read_bytes() == before
