"""What to annotate next: the odd one first, then one unlike it; never what is held out, whatever is broken."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from medcontext.cli.app import app
from medcontext.data.adding import NewCase
from medcontext.data.case import Case
from medcontext.data.store import CaseStore
from medcontext.errors import CancelledError, InputError
from medcontext.events import Event, Reporter
from medcontext.geometry import Volume
from medcontext.inference.second_look import Look
from medcontext.labels import LabelSet
from medcontext.library import load_model
from medcontext.library.write import save_model
from medcontext.workflows.ranking import rank
from medcontext.workflows.suggest import suggest

Ball = Callable[..., tuple[Volume, Volume]]
PLAIN = [f"plain_{seed}" for seed in range(20, 26)]


def odd(image: Volume) -> Volume:
    """The scan with a bright bar through the ball, as metal makes it."""
    array = image.array.copy()
    array[0, 6:9, :, 7:11] = 400
    return replace(image, array=array)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, a_store: Path, ball: Ball) -> Path:
    """The store of balls with six scans without labels and an odd one."""
    folder = tmp_path_factory.mktemp("pool") / "store"
    shutil.copytree(a_store, folder)
    store = CaseStore.open(folder)
    for name in PLAIN:
        store.add_case(NewCase([ball(int(name[-2:]))[0]], case_id=name))
    store.add_case(NewCase([odd(ball(30)[0])], case_id="odd"))
    return folder


@pytest.fixture
def pool(tmp_path: Path, filled: Path) -> CaseStore:
    """A copy of that store, to be changed."""
    return CaseStore.open(Path(shutil.copytree(filled, tmp_path / "store")))


def test_the_odd_scan_comes_first(filled: Path, a_model: Path) -> None:
    found = suggest(filled, a_model, device="cpu")
    first = found.ranking[0]
    assert first.case == "odd"
    assert set(first.reasons) == {"unsure", "unlike"}
    assert {entry.case for entry in found.ranking} == {*PLAIN, "odd"}
    assert (found.unlabelled, found.skipped) == (7, {})
    scores = [entry.score for entry in found.ranking]
    assert scores == sorted(scores, reverse=True)
    assert max(scores) <= 1
    assert first.images[0].is_file()
    again = suggest(filled, load_model(a_model), device="cpu")
    assert [entry.case for entry in again.ranking] == [entry.case for entry in found.ranking]


def test_a_scan_of_nothing_but_noise_does_not_look_sure(pool: CaseStore, a_model: Path) -> None:
    noise = np.random.default_rng(5).normal(0, 10, (1, 14, 16, 18)).astype(np.float32)
    geometry = pool.read_image(pool.case("odd")).geometry
    pool.add_case(NewCase([Volume(noise, geometry)], case_id="noise"))
    by_case = {entry.case: entry for entry in suggest(pool.folder, a_model, device="cpu").ranking}
    assert by_case["noise"].uncertainty > max(by_case[name].uncertainty for name in PLAIN)


def test_the_same_numbers_at_any_place_and_orientation(pool: CaseStore, a_model: Path, ball: Ball) -> None:
    turned = ball(20)[0].permute((2, 0, 1)).flip((1,))
    pool.add_case(NewCase([turned], case_id="turned"))
    by_case = {entry.case: entry for entry in suggest(pool.folder, a_model, device="cpu").ranking}
    assert by_case["turned"].uncertainty == pytest.approx(by_case["plain_20"].uncertainty, abs=1e-3)


def test_labelled_cases_can_be_ranked_as_if_they_had_no_labels(filled: Path, a_model: Path) -> None:
    found = suggest(filled, a_model, candidates=["ball_1", "ball_2"], device="cpu")
    assert {entry.case for entry in found.ranking} == {"ball_1", "ball_2"}
    assert all(entry.novelty is not None for entry in found.ranking)  # how far they are from ball_0
    with pytest.raises(InputError, match="no case 'nobody'"):
        suggest(filled, a_model, candidates=["nobody"], device="cpu")


def test_patients_who_are_held_out_are_not_suggested(pool: CaseStore, a_model: Path, ball: Ball) -> None:
    scan, label = ball(40)
    pool.add_case(NewCase([scan], label, case_id="scored", group="patient 7", held_out=True))
    pool.add_case(NewCase([odd(ball(41)[0])], case_id="same_patient", group="patient 7"))
    found = suggest(pool.folder, a_model, device="cpu")
    assert "same_patient" not in {entry.case for entry in found.ranking}
    assert "held out" in found.skipped["same_patient"]
    assert found.unlabelled == 7


def test_a_scan_that_was_annotated_meanwhile_is_not_suggested(pool: CaseStore, a_model: Path) -> None:
    index = pool.folder / "dataset.json"
    data = json.loads(index.read_text(encoding="utf-8"))
    shutil.copy(pool.case("ball_0").images[0], pool.folder / "copy.nii.gz")
    data["unlabelled"].append({"image": "copy.nii.gz", "id": "copy"})
    index.write_text(json.dumps(data), encoding="utf-8")
    found = suggest(pool.folder, a_model, device="cpu")
    assert "with labels" in found.skipped["copy"]


def test_a_broken_scan_is_skipped_and_named(pool: CaseStore, a_model: Path) -> None:
    pool.case("plain_20").images[0].write_bytes(b"no image")
    pool.case("plain_21").images[0].unlink()
    found = suggest(pool.folder, a_model, device="cpu")
    assert {entry.case for entry in found.ranking} == {*PLAIN[2:], "odd"}
    assert set(found.skipped) == {"plain_20", "plain_21"}
    assert all(found.skipped.values())


def test_a_broken_annotated_case_is_told_and_does_not_stop_it(pool: CaseStore, a_model: Path) -> None:
    pool.case("ball_0").images[0].write_bytes(b"no image")
    events: list[Event] = []
    found = suggest(pool.folder, a_model, device="cpu", reporter=Reporter(events.append))
    assert len(found.ranking) == 7
    assert any(e["event"] == "warning" and "ball_0" in e["message"] for e in events)


def test_only_broken_scans_are_one_sentence(pool: CaseStore, a_model: Path) -> None:
    for name in (*PLAIN, "odd"):
        pool.case(name).images[0].write_bytes(b"no image")
    with pytest.raises(InputError, match="None of 7 scans could be looked at"):
        suggest(pool.folder, a_model, device="cpu")


def test_a_store_without_unlabelled_scans_is_one_sentence(a_store: Path, a_model: Path) -> None:
    with pytest.raises(InputError, match="no unlabelled scan"):
        suggest(a_store, a_model, device="cpu")


def test_a_model_of_other_channels_is_one_sentence(tmp_path: Path, a_model: Path, ball: Ball) -> None:
    labels = LabelSet.from_names({1: "Upper"})
    store = CaseStore.create(tmp_path / "two", labels, [("T1", "MRI"), ("T2", "MRI")])
    scan = ball(1)[0]
    store.add_case(NewCase([scan, replace(scan, array=scan.array + 1)], case_id="both"))
    with pytest.raises(InputError, match=r"takes 1 channel\(s\), T1; the scans of .* have 2"):
        suggest(store.folder, a_model, device="cpu")


def test_a_limit_looks_at_a_part_and_says_so(filled: Path, a_model: Path) -> None:
    events: list[Event] = []
    found = suggest(filled, a_model, limit=3, seed=1, device="cpu", reporter=Reporter(events.append))
    assert (len(found.ranking), found.unlabelled) == (3, 7)
    assert any("3 of 7" in event.get("message", "") for event in events)
    same, other = (suggest(filled, a_model, limit=3, seed=seed, device="cpu") for seed in (1, 2))
    assert [entry.case for entry in same.ranking] == [entry.case for entry in found.ranking]
    assert {entry.case for entry in other.ranking} != {entry.case for entry in found.ranking}
    with pytest.raises(InputError, match="At least one scan"):
        suggest(filled, a_model, limit=0, device="cpu")


def test_it_stops_on_request_and_tells_how_far_it_is(filled: Path, a_model: Path) -> None:
    shares: list[float] = []

    def take(event: Event) -> None:
        if event["event"] == "progress" and event["stage"] == "suggest":
            shares.append(event["value"])

    with pytest.raises(CancelledError):
        suggest(filled, a_model, device="cpu", reporter=Reporter(take, lambda: len(shares) > 4))
    assert shares == sorted(shares)
    assert len(shares) == 5
    assert shares[-1] < 1


def test_a_teacher_in_the_model_folder_is_one_more_view(filled: Path, a_model: Path, tmp_path: Path) -> None:
    loaded = load_model(a_model)
    state = loaded.networks[0].state_dict()
    noisy = {
        name: value + 0.3 * value.std() if value.is_floating_point() and value.ndim > 1 else value
        for name, value in state.items()
    }
    card = loaded.card.model_copy(update={"id": "with-teacher", "weights": [], "plan": {}})
    save_model(tmp_path / "with-teacher", card, [state], teacher_state=noisy)
    alone, both = (
        {entry.case: entry.uncertainty for entry in suggest(filled, model, device="cpu").ranking}
        for model in (a_model, tmp_path / "with-teacher")
    )
    assert all(both[case] != alone[case] for case in alone)


def looks(*rows: tuple[float, list[float]]) -> list[tuple[Case, Look]]:
    return [
        (Case(f"case {number}", []), Look(uncertainty, 1.0, np.array(features, np.float32)))
        for number, (uncertainty, features) in enumerate(rows)
    ]


def test_suggestions_differ_from_each_other() -> None:
    """Two odd ones alike: after the first the second is nothing new, and another one comes before it."""
    pool = looks((0.5, [9, 0]), (0.5, [9, 0.1]), (0.5, [0, 5]), (0.5, [0.1, 0]), (0.5, [0, 0.1]))
    order = [entry.case for entry in rank(pool, [np.zeros(2, np.float32)])]
    assert "case 2" in order[:2]
    assert {"case 0", "case 1"} & set(order[:2])


def test_with_nothing_annotated_the_least_sure_comes_first() -> None:
    ranking = rank(looks((0.2, [0, 0]), (0.6, [1, 1]), (0.4, [5, 0])), [])
    assert ranking[0].case == "case 1"
    assert ranking[0].novelty is None
    assert ranking[1].novelty is not None


def test_the_only_scan_needs_no_reason() -> None:
    (only,) = rank(looks((0.2, [0, 0])), [np.ones(2, np.float32)])
    assert only.reasons == ()


def test_the_command_gives_a_table_and_a_file(filled: Path, a_model: Path, tmp_path: Path) -> None:
    table, data = tmp_path / "ranking.csv", tmp_path / "ranking.json"
    basis = ["next", "--data", str(filled), "-m", str(a_model), "--device", "cpu"]
    shown = CliRunner().invoke(app, [*basis, "--count", "2", "-o", str(table)])
    assert shown.exit_code == 0
    assert "odd" in shown.stdout
    assert "unlike" in shown.stdout
    assert sum(name in shown.stdout for name in PLAIN) == 1
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["case"] == "odd"
    assert len(rows) == 7
    assert Path(rows[0]["images"]).is_file()
    result = CliRunner().invoke(app, [*basis, "--json", "-o", str(data)])
    final = json.loads(result.stdout.splitlines()[-1])
    assert final["event"] == "result"
    written = json.loads(data.read_text(encoding="utf-8"))
    assert {key: final[key] for key in written} == written
    assert written["ranking"][0]["case"] == "odd"


def test_the_command_names_what_is_broken(pool: CaseStore, a_model: Path) -> None:
    pool.case("plain_20").images[0].write_bytes(b"no image")
    arguments = ["next", "--data", str(pool.folder), "-m", str(a_model), "--device", "cpu"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "Not looked at: plain_20" in result.stdout
    one = CliRunner().invoke(app, [*arguments, "--limit", "1", "--seed", "1"], env={"COLUMNS": "200"})
    assert "the only one looked at" in one.stdout  # not an empty column
    wrong = CliRunner().invoke(app, [*arguments, "-o", "ranking.txt"])
    assert wrong.exit_code == 2
    assert "ends in .json or .csv" in wrong.stderr
