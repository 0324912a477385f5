"""A run over many scans: each becomes a row, what is wrong is said first, and one failure stops no other."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext import io
from medcontext.batch import rows
from medcontext.batch.case import BatchCase
from medcontext.batch.fit import check_fit
from medcontext.batch.options import BatchOptions
from medcontext.batch.record import model_identity
from medcontext.batch.run import BatchSummary, run_batch
from medcontext.batch_ledger import LedgerWriter, read_rows
from medcontext.card_schema import ModelCard
from medcontext.errors import CancelledError, InputError, ResourceError
from medcontext.events import Event, Reporter
from medcontext.geometry import Volume
from medcontext.workflows.segment import segment

Scans = Callable[..., list[Path]]
Run = Callable[..., BatchSummary]


@pytest.fixture
def run(tiny_model: Path) -> Run:
    """``run(inputs, out, reporter=None, control=..., **options)`` with the tiny model on the CPU."""

    def start(
        inputs: Any, out: Path, reporter: Reporter | None = None, control: Any = lambda: None, **options: Any
    ) -> BatchSummary:
        chosen = {"model": str(tiny_model), "device": "cpu", "precision": "fp32"} | options
        return run_batch(inputs, out, BatchOptions(**chosen), reporter, control)

    return start


def newest_events(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event["event"] == kind]


def test_each_scan_becomes_a_row_with_what_is_known_of_it(
    tmp_path: Path, write_scans: Scans, run: Run, tiny_model: Path, told: tuple[Reporter, list[Event]]
) -> None:
    scans = write_scans(tmp_path / "in", 3)
    out = tmp_path / "out"
    reporter, events = told
    summary = run(tmp_path / "in", out, reporter, formats=["nii.gz", "seg.nrrd"], certainty_map=True)
    assert (summary.done, summary.reused, summary.failed, summary.skipped) == (3, 0, 0, 0)
    rows = read_rows(out)
    assert sorted(rows) == ["scan_0", "scan_1", "scan_2"]
    row = rows["scan_1"]
    (alone,) = segment(scans[1], str(tiny_model), tmp_path / "alone", device="cpu", precision="fp32")
    labelmap = io.read_labelmap(out / "segmentations" / "scan_1.nii.gz")
    assert np.array_equal(labelmap.array, io.read_labelmap(alone.files["nii.gz"]).array)
    assert row["state"] == "done"
    assert row["voxels"] == {
        "Front": int((labelmap.array == 1).sum()),
        "Back": int((labelmap.array == 4).sum()),
    }
    assert row["volumes_ml"]["Front"] == pytest.approx(row["voxels"]["Front"] / 1000)
    sure = io.read_volume(out / "certainty" / "scan_1.nii.gz").array
    assert row["certainty"] == pytest.approx(sure[labelmap.array > 0].mean() / 255, abs=1e-4)
    assert {"read", "hash", "preprocess", "segment", "label", "export", "total"} <= set(row["seconds"])
    assert {name: len(files) for name, files in row["outputs"].items()} == {
        "nii.gz": 1, "seg.nrrd": 1, "certainty": 1,
    }  # fmt: skip
    assert row["attempt"] == 1
    assert row["error"] is None
    assert row["device"] == "CPU"
    assert (out / "ledger.csv").is_file()
    assert (out / "report.html").is_file()
    assert (out / "report" / "scan_1.png").is_file()
    told_of = {event["case"]: event["status"] for event in newest_events(events, "case")}
    assert told_of == dict.fromkeys(rows, "done")
    shares = [e["value"] for e in newest_events(events, "progress") if e["stage"] == "cases"]
    assert shares[0] == 0
    assert shares[-1] == 1


def test_the_record_says_what_the_run_was(tmp_path: Path, write_scans: Scans, run: Run) -> None:
    write_scans(tmp_path / "in", 2)
    run(tmp_path / "in", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "batch.json").read_text())
    assert record["model"]["id"] == "tiny"
    assert [label["name"] for label in record["model"]["labels"]] == ["Front", "Back"]
    assert record["options"]["formats"] == ["nii.gz"]
    assert record["input"] == [str(tmp_path / "in")]
    assert record["execution"]["device"] == "CPU"
    assert record["execution"]["plan"]["precision"] == "fp32"
    assert record["memory"]["cases_at_once"] >= 1
    assert record["software"]["torch"]
    sources = json.loads((tmp_path / "out" / "sources.json").read_text())
    assert sources["scan_0"]["paths"] == [str(tmp_path / "in" / "scan_0.nii.gz")]


def test_a_broken_scan_stops_no_other(tmp_path: Path, write_scans: Scans, run: Run) -> None:
    write_scans(tmp_path / "in", 3)
    (tmp_path / "in" / "scan_1.nii.gz").write_bytes(b"no image at all")
    summary = run(tmp_path / "in", tmp_path / "out")
    assert (summary.done, summary.failed) == (2, 1)
    row = read_rows(tmp_path / "out")["scan_1"]
    assert row["state"] == "failed"
    assert row["error"]["kind"] == "input"
    assert "scan_1.nii.gz" in row["error"]["message"]
    assert not list((tmp_path / "out" / "segmentations").glob("scan_1*"))


def test_what_nobody_foresaw_is_one_failed_case_with_its_traceback_in_the_log(
    tmp_path: Path,
    write_scans: Scans,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from medcontext.batch import stages

    write_scans(tmp_path / "in", 3)
    honest = stages.write_outputs

    def broken(layout: Any, case: Any, *rest: Any) -> Any:
        if case.id == "scan_1":
            raise ZeroDivisionError("by zero")
        return honest(layout, case, *rest)

    monkeypatch.setattr(stages, "write_outputs", broken)
    with caplog.at_level(logging.ERROR):
        summary = run(tmp_path / "in", tmp_path / "out")
    assert (summary.done, summary.failed) == (2, 1)
    assert read_rows(tmp_path / "out")["scan_1"]["error"]["message"] == "ZeroDivisionError: by zero"
    assert "in broken" in caplog.text


def test_a_reference_gives_dice_and_a_region_restricts(tmp_path: Path, write_scans: Scans, run: Run) -> None:
    scans = write_scans(tmp_path / "in", 2)
    run(scans, tmp_path / "first")
    found = tmp_path / "first" / "segmentations" / "scan_0.nii.gz"
    manifest = tmp_path / "cases.csv"
    manifest.write_text(
        f'id,image,reference,roi,text\na,{scans[0]},{found},,of a ball\nb,{scans[1]},{found},"0:9,0:10,0:5",\n',
        encoding="utf-8",
    )
    out = tmp_path / "out"
    run(manifest, out)
    rows = read_rows(out)
    assert [value for value in rows["a"]["dice"].values() if value is not None] == pytest.approx([1.0, 1.0])
    assert rows["a"]["text"] == "of a ball"
    assert not io.read_labelmap(out / "segmentations" / "b.nii.gz").array[..., 5:].any()


def test_a_reference_of_another_scan_costs_nothing_but_dice(
    tmp_path: Path, write_scans: Scans, run: Run
) -> None:
    (scan,) = write_scans(tmp_path / "in", 1)
    (other,) = write_scans(tmp_path / "other", 1, shape=(5, 6, 7))
    run(other, tmp_path / "first")
    manifest = tmp_path / "cases.csv"
    manifest.write_text(
        f"id,image,reference\na,{scan},{tmp_path / 'first/segmentations/scan_0.nii.gz'}\n", encoding="utf-8"
    )
    assert run(manifest, tmp_path / "out").done == 1
    row = read_rows(tmp_path / "out")["a"]
    assert "dice" not in row
    assert any(text.startswith("No Dice:") for text in row["warnings"])


def test_a_stop_keeps_what_is_finished_and_says_how_to_go_on(
    tmp_path: Path, write_scans: Scans, run: Run
) -> None:
    write_scans(tmp_path / "in", 6)
    out, finished = tmp_path / "out", []

    def sink(event: Event) -> None:
        if event["event"] == "case":
            finished.append(event["case"])

    with pytest.raises(CancelledError, match=r"Stopped on request: \d of 6 cases finished\.") as stopped:
        run(tmp_path / "in", out, Reporter(sink), lambda: "stop" if finished else None)
    assert "Start the same command again" in stopped.value.hint
    done = [case for case, row in read_rows(out).items() if row["state"] == "done"]
    assert 1 <= len(done) < 6
    assert (out / "ledger.csv").is_file()
    assert (out / "report.html").is_file()
    summary = run(tmp_path / "in", out)
    assert (summary.reused, summary.done) == (len(done), 6 - len(done))


def test_a_pause_holds_the_run_until_it_is_taken_back(tmp_path: Path, write_scans: Scans, run: Run) -> None:
    write_scans(tmp_path / "in", 3)
    answers = iter(["pause"] * 4)
    asked: list[str | None] = []

    def control() -> str | None:
        asked.append(next(answers, None))
        return asked[-1]

    assert run(tmp_path / "in", tmp_path / "out", control=control).done == 3
    assert asked[:5] == ["pause", "pause", "pause", "pause", None]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are those of POSIX")
def test_a_full_disk_ends_the_run_and_fails_no_case(tmp_path: Path, write_scans: Scans, run: Run) -> None:
    import resource

    write_scans(tmp_path / "in", 4)
    out, limits = tmp_path / "out", resource.getrlimit(resource.RLIMIT_FSIZE)

    def sink(event: Event) -> None:
        if event["event"] == "case":
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))

    try:
        with pytest.raises(ResourceError, match=r"no room.* 1 of 4 cases finished\.") as ended:
            run(tmp_path / "in", out, Reporter(sink))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "goes on with the rest" in ended.value.hint
    states = [row["state"] for row in read_rows(out).values()]
    assert states.count("done") == 1
    assert "failed" not in states
    summary = run(tmp_path / "in", out)
    assert (summary.reused, summary.done, summary.failed) == (1, 3, 0)


@pytest.mark.parametrize("name", ["ledger.csv", "report.html"])
def test_a_table_that_a_spreadsheet_has_open_costs_nothing_else(
    tmp_path: Path, write_scans: Scans, run: Run, told: tuple[Reporter, list[Event]], name: str
) -> None:
    write_scans(tmp_path / "in", 1)
    out = tmp_path / "out"
    (out / name).mkdir(parents=True)  # what cannot be replaced
    reporter, events = told
    assert run(tmp_path / "in", out, reporter).done == 1
    (warning,) = [e["message"] for e in newest_events(events, "warning") if name in e["message"]]
    assert "The same command writes it." in warning
    assert {"ledger.csv": out / "report.html", "report.html": out / "ledger.csv"}[name].is_file()


def test_a_scan_that_is_still_copied_is_not_taken_for_finished(
    tmp_path: Path, write_scans: Scans, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medcontext.batch import stages

    scan, other = write_scans(tmp_path / "in", 2)
    honest = stages.read_case

    def read_case(case: BatchCase, *rest: Any, **options: Any) -> Any:
        found = honest(case, *rest, **options)
        if case.id == "scan_0":
            scan.write_bytes(other.read_bytes())
        return found

    monkeypatch.setattr(stages, "read_case", read_case)
    assert run(tmp_path / "in", tmp_path / "out").failed == 1
    message = read_rows(tmp_path / "out")["scan_0"]["error"]["message"]
    assert message == "The files of scan_0 changed while they were read."


def test_a_model_is_another_one_when_its_card_or_any_weights_differ(card: ModelCard) -> None:
    first = card.weights[0]
    ensemble = card.model_copy(update={"weights": [first, first.model_copy(update={"sha256": "1" * 64})]})
    warmer = card.model_copy(update={"inference": card.inference.model_copy(update={"temperature": 2.0})})
    titled = card.model_copy(update={"title": "Another title"})
    assert len({model_identity(one) for one in (card, ensemble, warmer)}) == 3
    assert model_identity(titled) == model_identity(card)


def test_texts_of_a_manifest_are_those_of_today(tmp_path: Path, write_scans: Scans, run: Run) -> None:
    (scan,) = write_scans(tmp_path / "in", 1)
    manifest = tmp_path / "cases.csv"
    for text in ("of a ball", "of a cube"):
        manifest.write_text(f"id,image,text\na,{scan},{text}\n", encoding="utf-8")
        run(manifest, tmp_path / "out")
        row = read_rows(tmp_path / "out")["a"]
        assert (row["text"], row["state"], row["attempt"]) == (text, "done", 1)


def test_a_file_whose_name_is_too_long_fails_alone(tmp_path: Path, write_scans: Scans, run: Run) -> None:
    (scan,) = write_scans(tmp_path / "in", 1)
    manifest = tmp_path / "cases.csv"
    manifest.write_text(f"id,image\na,{scan}\nb,{'x' * 300}.nii.gz\n", encoding="utf-8")
    summary = run(manifest, tmp_path / "out")
    assert (summary.done, summary.failed) == (1, 1)
    again = run(manifest, tmp_path / "out")
    assert (again.reused, again.failed) == (1, 1)


def test_identifiers_are_kept_or_not_in_one_folder(
    tmp_path: Path, write_dicom: Callable[..., list[Path]], a_scan: Volume, run: Run
) -> None:
    write_dicom(tmp_path / "in", a_scan)
    run(tmp_path / "in", tmp_path / "out", keep_identifiers=True)
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds a run with --keep-identifiers") as refused:
            run(tmp_path / "in", tmp_path / "out", overwrite=overwrite)
        assert refused.value.hint.startswith("Add --keep-identifiers")
    assert run(tmp_path / "in", tmp_path / "out", keep_identifiers=True).reused == 1


def test_names_of_dicom_files_stay_out_whichever_channel_they_are(
    tmp_path: Path, write_scans: Scans, write_dicom: Callable[..., list[Path]], a_scan: Volume
) -> None:
    (scan,) = write_scans(tmp_path / "in", 1)
    files = tuple(write_dicom(tmp_path / "in" / "ct", a_scan, names="Doe {:03d}.dcm"))
    case = BatchCase("case", (scan, files[0]), more_series=(files,), private=("Doe",))
    assert "Doe" not in json.dumps(rows.input_facts(case))


def test_folders_of_a_scan_stay_out_of_the_ledger(tmp_path: Path, write_scans: Scans, run: Run) -> None:
    folder = tmp_path / "Johanna Doe"
    write_scans(folder / "1961", 2)
    (folder / "1961" / "scan_1.nii.gz").write_bytes(b"no image at all")
    manifest = tmp_path / "Johanna Doe" / "cases.csv"
    manifest.write_text(
        "id,image,reference\na,1961/scan_0.nii.gz,1961/scan_1.nii.gz\nb,1961/scan_1.nii.gz,\n"
        "c,1961/scan_7.nii.gz,\n",
        encoding="utf-8",
    )
    out = tmp_path / "out"
    summary = run(manifest, out)
    assert (summary.done, summary.failed) == (1, 2)
    found = read_rows(out)
    assert any("scan_1.nii.gz" in text for text in found["a"]["warnings"])
    assert "scan_1.nii.gz" in found["b"]["error"]["message"]
    assert "scan_7.nii.gz" in found["c"]["error"]["message"]
    for name in ("ledger.jsonl", "ledger.csv", "report.html"):
        assert "Johanna" not in (out / name).read_text(encoding="utf-8-sig"), name


def test_a_folder_that_another_run_writes_is_left_to_it(tmp_path: Path, write_scans: Scans, run: Run) -> None:
    write_scans(tmp_path / "in", 1)
    out = tmp_path / "out"
    with LedgerWriter(out / "ledger.jsonl"), pytest.raises(InputError, match="has been writing"):
        run(tmp_path / "in", out)
    assert not (out / "batch.json").exists()


def test_a_model_for_other_channels_is_refused_before_torch_is_loaded(
    tmp_path: Path, write_scans: Scans, tiny_model: Path
) -> None:
    (scan,) = write_scans(tmp_path / "in", 1)
    image = io.read_volume(scan)
    io.write_volume(scan, Volume(np.concatenate([image.array, image.array]), image.geometry))
    tiny, asked = str(tiny_model), str(scan)
    program = f"""
import sys
from medcontext.batch.options import BatchOptions
from medcontext.batch.run import run_batch
from medcontext.errors import InputError
for scan, model in (({asked!r}, {tiny!r}), ({asked!r}, "no-such-model"), ("missing", {tiny!r})):
    try:
        run_batch(scan, {str(tmp_path / "out")!r}, BatchOptions(model=model))
    except InputError as error:
        print(error.message)
print("torch" in sys.modules)
"""
    lines = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "2 channel(s), the model 'Tiny' needs 1: T1 (MRI)" in lines[0]
    assert lines[1] == "There is no model 'no-such-model'."
    assert "missing does not exist" in lines[2]
    assert lines[3] == "False"


def test_each_channel_may_be_a_dicom_series(card: ModelCard, card_of_two: ModelCard) -> None:
    one, other = Path("one.dcm"), Path("other.dcm")
    case = BatchCase("case", (one, other), series=(one,), more_series=((other,),))
    check_fit([case], card_of_two)
    with pytest.raises(InputError, match="have 2 channel"):
        check_fit([case], card)


def test_identifiers_stay_out_of_everything_but_the_sources(
    tmp_path: Path,
    write_dicom: Callable[..., list[Path]],
    a_scan: Volume,
    secrets: dict[str, str],
    run: Run,
    told: tuple[Reporter, list[Event]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from medcontext.batch import stages

    folder = tmp_path / "in" / "Doe_Johanna"
    write_dicom(folder, a_scan, **secrets)
    bad = write_dicom(tmp_path / "in" / "Doe_Johanna_2", a_scan, SeriesInstanceUID="1.2.3.5", **secrets)
    honest = stages.check_contrast

    def broken(image: Volume, card: Any) -> None:
        if len(seen) == 1:
            raise RuntimeError(f"{bad[0]} of {secrets['PatientName']} met something")
        seen.append(1)
        honest(image, card)

    seen: list[int] = []
    monkeypatch.setattr(stages, "check_contrast", broken)
    out = tmp_path / "out"
    reporter, events = told
    with caplog.at_level(logging.DEBUG):
        summary = run(tmp_path / "in", out, reporter)
    assert (summary.done, summary.failed) == (1, 1)
    texts = {
        str(path.relative_to(out)): path.read_bytes().decode(errors="replace")
        for path in out.rglob("*")
        if path.is_file()
    }
    del texts["sources.json"]
    texts |= {"log": caplog.text, "events": json.dumps(events), "names": " ".join(texts)}
    for place, text in texts.items():
        for secret in ("Doe", "Johanna", "MRN-4711", "19610704", "ACC998877", "Quack"):
            assert secret not in text, (place, secret)
    assert "Doe_Johanna" in (out / "sources.json").read_text()


def test_results_may_lie_inside_the_input_folder_under_any_names(
    tmp_path: Path, write_scans: Scans, run: Run
) -> None:
    folder = tmp_path / "Aufnahmen von heute"
    scans = write_scans(folder, 3)
    scans[0].rename(folder / "größer als vorher 大きい.nii.gz")
    scans[1].rename(folder / f"{'lang' * 50}.nii.gz")
    out = folder / "Ergebnisse 2"
    assert run(folder, out).done == 3
    assert run(folder, out).reused == 3
    names = {path.name for path in (out / "segmentations").iterdir()}
    assert "größer_als_vorher_大きい.nii.gz" in names
    assert len(names) == 3
    assert max(map(len, names)) <= 127


@pytest.mark.parametrize("place", ["a file", "below a file", "read-only"])
def test_an_output_folder_that_cannot_be_written_is_a_sentence_before_anything_is_loaded(
    tmp_path: Path, write_scans: Scans, tiny_model: Path, place: str
) -> None:
    (scan,) = write_scans(tmp_path / "in", 1)
    (tmp_path / "file").write_text("in the way")
    out = {
        "a file": tmp_path / "file",
        "below a file": tmp_path / "file" / "out",
        "read-only": Path("/proc/out"),
    }[place]
    if place == "read-only" and not Path("/proc").is_dir():
        pytest.skip("needs a folder in which nobody may write")
    finished = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "medcontext", "batch", scan, "-m", tiny_model, "-o", out],
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 2
    (sentence,) = [line for line in finished.stderr.splitlines() if line.startswith("Error:")]
    assert str(out) in sentence
    assert not [line for line in finished.stderr.splitlines() if line.endswith("| torch")]
