"""The worker keeps case stores for a program that cannot write them itself; torch is not loaded for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext.case_list import CaseSummary, read_store
from medcontext.data.store import CaseStore
from medcontext.exchange import ExchangeFolder
from medcontext.geometry import Geometry, Volume
from medcontext.io import write_labelmap, write_volume

SHAPE = (6, 8, 10)
GRID = Geometry(SHAPE, np.array([[-1, 0, 0, 5], [0, 1, 0, -7], [0, 0, 2.5, 9], [0, 0, 0, 1.0]]))
LABELS = [
    {"value": 1, "name": "liver", "color": [200, 10, 20], "terminology": None},
    {
        "value": 4,
        "name": "Zyste ä",
        "color": [1, 2, 3],
        "terminology": {
            "category": {
                "scheme": "SCT",
                "value": "49755003",
                "meaning": "Morphologically Altered Structure",
            },
            "type": {"scheme": "SCT", "value": "441457006", "meaning": "Cyst"},
        },
    },
]


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 900, SHAPE).astype(np.int16)


def label(value: int = 1) -> np.ndarray:
    array = np.zeros(SHAPE, np.uint8)
    array[2:4, 2:6, 3:7] = value
    return array


class Desk:
    """A store, and a worker that is asked to change it.

    Attributes:
        store: the folder.
        last: request of the last call.
    """

    def __init__(self, worker: Any, exchange: ExchangeFolder, store: Path) -> None:
        self.worker, self.exchange, self.store = worker, exchange, store

    def volume(self, array: np.ndarray, affine: np.ndarray = GRID.affine) -> dict[str, Any]:
        return {"array": self.exchange.write("a", array).to_json(), "affine": affine.tolist()}

    def fields(self, seed: int, painted: np.ndarray | None = None, **more: Any) -> dict[str, Any]:
        fields: dict[str, Any] = {"store": str(self.store), "images": [self.volume(image(seed))]}
        if painted is not None:
            fields["label"] = self.volume(painted)
        return {"name": f"scan {seed}", **fields, **more}

    def add(self, seed: int, painted: np.ndarray | None = None, **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.worker.ask("add_case", **self.fields(seed, painted, **more))
        return answer

    def case(self, case_id: str) -> CaseSummary:
        summary = read_store(self.store)
        assert summary.problem is None
        return next(case for case in summary.cases if case.id == case_id)


@pytest.fixture
def desk(worker: Any, folder: ExchangeFolder, tmp_path: Path) -> Desk:
    """A store for one channel, named in unicode, with blanks."""
    channels = [{"name": "T1", "modality": "MRI"}]
    where = tmp_path / "Fälle & mehr" / "store"
    made = worker.ask("create_store", folder=str(where), name="Toy", labels=LABELS, channels=channels)
    assert made["event"] == "result", made
    assert made["folder"] == str(where)
    return Desk(worker, folder, where)


def test_a_new_store_has_names_colours_codes_and_channels(desk: Desk) -> None:
    summary = read_store(desk.store)
    assert (summary.name, summary.channels, summary.problem) == ("Toy", (("T1", "MRI"),), None)
    assert [entry.to_json() for entry in summary.labels] == [
        {key: value for key, value in entry.items() if value is not None} for entry in LABELS
    ]
    again = desk.worker.ask("create_store", folder=str(desk.store), channels=[{"name": "T1"}])
    assert (again["kind"], "already holds a data set" in again["message"]) == ("input", True)


def test_a_case_arrives_as_it_was_sent(desk: Desk) -> None:
    answer = desk.add(1, label(), group="patient 3", provenance={"scene": "x.mrb"}, held_out=True)
    assert answer["event"] == "result", answer
    assert (answer["case"], answer["cases"], answer["held_out"]) == ("scan_1", 1, True)
    assert answer["seconds"]["total"] > 0
    assert {"check case", "write case", "list case"} < answer["seconds"].keys()
    store = CaseStore.open(desk.store)
    case = store.case("scan_1")
    assert (case.group, case.held_out, case.provenance["scene"]) == ("patient 3", True, "x.mrb")
    assert np.array_equal(store.read_image(case).array[0], image(1))
    assert store.read_image(case).geometry.same_grid(GRID)
    assert np.array_equal(store.read_labels(case).array[0], label())


def test_a_test_image_of_another_program_is_taken_also_when_it_arrives_flipped(
    desk: Desk, tmp_path: Path
) -> None:
    desk.store = tmp_path / "plain"
    desk.store.mkdir()
    write_volume(desk.store / "t.nii.gz", Volume(image(1)[None], GRID))
    write_labelmap(desk.store / "l.nii.gz", Volume(label()[None], GRID))
    index = {"labels": {"liver": 1, "background": 0}, "test": [{"image": "t.nii.gz", "label": "l.nii.gz"}]}
    (desk.store / "dataset.json").write_text(json.dumps(index))
    before = (desk.store / "dataset.json").read_bytes()
    flipped, painted = (Volume(array[None], GRID).flip((0,)) for array in (image(1), label()))
    fields = desk.fields(1, held_out=False)
    fields["images"] = [desk.volume(flipped.array[0], flipped.geometry.affine)]
    fields["label"] = desk.volume(painted.array[0], painted.geometry.affine)
    answer = desk.worker.ask("add_case", **fields)
    assert (answer.get("taken"), answer.get("cases")) == ("t", 1), answer
    assert (desk.store / "dataset.json").read_bytes() == before


def test_what_was_not_finished_is_ignored(desk: Desk) -> None:
    slices = {"labels": [1], "region": "slices", "axis": "j", "slices": [5, 3, 3]}
    assert desk.add(1, label(), annotated=slices)["event"] == "result"
    case = desk.case("scan_1")
    assert (case.region, case.axis, case.slices, case.labels) == ("slices", "j", (3, 5), (1,))
    looked = np.zeros(SHAPE, np.uint8)
    looked[1:5] = 7
    answer = desk.add(2, label(), annotated={"region": "mask"}, mask=desk.volume(looked))
    assert answer["event"] == "result", answer
    store = CaseStore.open(desk.store)
    read = store.read_labels(store.case("scan_2")).array[0]
    assert np.array_equal(read, np.where(looked > 0, label(), 255))


def test_new_structures_are_declared_with_the_case(desk: Desk) -> None:
    new = [{"value": 9, "name": "duct", "color": [9, 9, 9]}]
    assert desk.add(1, label(9), new_labels=new)["event"] == "result"
    assert [entry.name for entry in read_store(desk.store).labels] == ["liver", "Zyste ä", "duct"]
    wrong = desk.add(2, label(9), new_labels=[{"value": 1, "name": "spleen"}])
    assert "Label 1 is 'liver' in the data set" in wrong["message"]
    twice = desk.add(2, label(9), new_labels=[{"value": 11, "name": "LIVER"}])
    assert (twice["event"], twice["kind"]) == ("error", "input")


def test_the_same_image_again_is_named_and_changes_nothing(desk: Desk) -> None:
    desk.add(1, label())
    before = {path: path.read_bytes() for path in desk.store.rglob("*") if path.is_file()}
    answer = desk.add(1, label(4), name="other")
    assert answer["event"] == "result"
    assert (answer["taken"], answer["cases"]) == ("scan_1", 1)
    assert {path: path.read_bytes() for path in desk.store.rglob("*") if path.is_file()} == before


def test_replacing_keeps_the_old_label_and_what_is_held_out(desk: Desk) -> None:
    desk.add(1, label(), held_out=True, group="g")
    answer = desk.add(1, label(4), replacing="scan_1", held_out=False)
    assert (answer["case"], answer["cases"], answer["held_out"]) == ("scan_1", 1, True)
    store = CaseStore.open(desk.store)
    assert np.array_equal(store.read_labels(store.cases[0]).array[0], label(4))
    assert store.cases[0].group == "g"
    assert len(list(desk.store.glob("replaced/*/labels/*"))) == 1
    desk.add(2, label())
    other = desk.add(2, label(), replacing="scan_1")
    assert (other["event"], "case 'scan_2'" in other["message"]) == ("error", True)
    missing = desk.add(3, label(), replacing="nobody")
    assert (missing["event"], "no case 'nobody'" in missing["message"]) == ("error", True)


def test_scans_are_linked_and_not_copied_and_become_cases_when_painted(desk: Desk, tmp_path: Path) -> None:
    far = tmp_path / "far"
    write_volume(far / "u1.nii.gz", Volume(image(5)[None], GRID))
    write_volume(far / "u2.nii.gz", Volume(image(6)[None], GRID))
    size = sum(path.stat().st_size for path in desk.store.rglob("*"))
    answer = desk.worker.ask(
        "add_unlabelled", store=str(desk.store), paths=[str(far), str(tmp_path / "none.nii.gz")]
    )
    assert (answer["added"], answer["cases"]) == (["u1", "u2"], 2)
    assert [(Path(s["path"]).name, "does not exist" in s["reason"]) for s in answer["skipped"]] == [
        ("none.nii.gz", True)
    ]
    assert sum(path.stat().st_size for path in desk.store.rglob("*")) < size + 2000
    case = desk.case("u1")
    assert (case.kind, case.linked, case.images) == ("unlabelled", True, (far / "u1.nii.gz",))
    painted = desk.add(5, label(), provenance={"files": [str(far / "u1.nii.gz")]})
    assert painted["taken"] == "u1"
    painted = desk.add(5, label(), replacing="u1")
    assert (painted["case"], painted["cases"]) == ("u1", 2)
    assert (desk.case("u1").kind, desk.case("u1").linked) == ("annotated", False)
    assert (far / "u1.nii.gz").is_file()


def test_cases_are_removed_and_held_out(desk: Desk) -> None:
    for seed in (1, 2, 3):
        desk.add(seed, label())
    kept = desk.worker.ask("edit_store", store=str(desk.store), action="hold_out", cases=["scan_1"])
    assert (kept["cases"], kept["kept"]) == (3, None)
    assert desk.case("scan_1").kind == "held_out"
    gone = desk.worker.ask("edit_store", store=str(desk.store), action="remove", cases=["scan_1", "scan_2"])
    assert gone["cases"] == 1
    assert len(list(Path(gone["kept"]).glob("labels/*"))) == 2
    assert desk.add(1, label())["held_out"]  # for ever


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"store": "nowhere"}, "holds no dataset.json"),
        ({"images": []}, "images"),
        ({"images": "two"}, "2 channels; the data set has 1 channel: T1"),
        ({"label": "elsewhere"}, "grid of the label"),
        ({"label": "fractions"}, "fractions"),
        ({"label": "unknown"}, "label values 77"),
        ({"label": "empty"}, "no voxel of any structure"),
        ({"annotated": {"region": "slices"}}, "at least one slice"),
        ({"annotated": {"region": "slices", "slices": [99]}}, "too far"),
        ({"annotated": {"region": "slices", "slices": [0]}}, "no voxel of any structure"),
        ({"annotated": {"region": "mask"}}, "mask"),
        ({"annotated": {"labels": [4]}}, "not among those annotated"),
        ({"annotated": {"labels": [1, 50]}}, "not declared"),
        ({"new_labels": [{"name": "no value"}]}, "malformed"),
        ({"case_id": "../x"}, "cannot be the id"),
        ({"images": "nan"}, "not finite"),
        ({"colour": 1}, "colour"),
    ],
)
def test_what_does_not_fit_is_one_sentence_and_changes_nothing(
    desk: Desk, change: dict[str, Any], message: str
) -> None:
    desk.add(1, label())
    fields = desk.fields(2, label())
    broken = image(2).astype(np.float32)
    broken[0, 0, 0] = np.nan
    words = {
        "two": [desk.volume(image(2)), desk.volume(image(3))],
        "nan": [desk.volume(broken)],
        "elsewhere": desk.volume(label(), np.diag([1.0, 1, 1, 1])),
        "fractions": desk.volume(label() * np.float32(0.5)),
        "unknown": desk.volume(label(77)),
        "empty": desk.volume(label(0)),
    }
    fields |= {
        key: words.get(value, value) if isinstance(value, str) else value for key, value in change.items()
    }
    before = set(desk.store.rglob("*"))
    answer = desk.worker.ask("add_case", **fields)
    assert (answer["event"], answer["kind"]) == ("error", "input")
    assert message in answer["message"]
    assert "\n" not in answer["message"]
    assert set(desk.store.rglob("*")) == before


def test_adding_a_large_image_can_be_cancelled(desk: Desk) -> None:
    large = np.random.default_rng(0).integers(0, 3000, (250, 400, 400)).astype(np.int16)
    request = desk.worker.send("add_case", store=str(desk.store), images=[desk.volume(large)])
    desk.worker.wait_for(lambda event: event.get("stage") == "write case")
    desk.worker.send("cancel", target=request)
    assert desk.worker.answer(request)["kind"] == "cancelled"
    assert read_store(desk.store).cases == ()
    assert not list(desk.store.glob(".new-*"))


def test_a_full_disk_is_said_and_the_store_is_as_it_was(
    start: Callable[..., Any], folder: ExchangeFolder, desk: Desk
) -> None:
    pytest.importorskip("resource", reason="Windows has no limit on file size")
    desk.add(1, label())
    before = {path: path.read_bytes() for path in desk.store.rglob("*") if path.is_file()}
    code = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))\n"
        "from medcontext.worker.__main__ import main\nmain()"
    )
    narrow = Desk(start(code=code), folder, desk.store)
    for answer in (
        narrow.add(2, label()),
        narrow.worker.ask("edit_store", store=str(desk.store), action="remove", cases=["scan_1"]),
    ):
        assert (answer["event"], answer["kind"], answer["exit_code"]) == ("error", "resources", 4)
    after = {path: path.read_bytes() for path in desk.store.rglob("*") if path.is_file()}
    assert {path: after.get(path) for path in before} == before


NO_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "monai"):
            raise ImportError(name + " must not be needed")
sys.meta_path.insert(0, Refuse())
from medcontext.worker.__main__ import main
main()
"""


def test_nothing_of_it_needs_torch(start: Callable[..., Any], folder: ExchangeFolder, tmp_path: Path) -> None:
    worker = start(code=NO_TORCH)
    channels = [{"name": "T1", "modality": "MRI"}]
    worker.ask("create_store", folder=str(tmp_path / "s"), labels=LABELS, channels=channels)
    desk = Desk(worker, folder, tmp_path / "s")
    assert desk.add(1, label())["event"] == "result"
    assert desk.add(1, label(4), replacing="scan_1")["event"] == "result"
    write_volume(tmp_path / "u.nii.gz", Volume(image(9)[None], GRID))
    linked = worker.ask("add_unlabelled", store=str(desk.store), paths=[str(tmp_path / "u.nii.gz")])
    assert linked["added"] == ["u"]
    removed = worker.ask("edit_store", store=str(desk.store), action="remove", cases=["u"])
    assert json.loads((Path(removed["kept"]) / "cases.json").read_text())[0]["id"] == "u"
