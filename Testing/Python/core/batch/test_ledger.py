"""A ledger survives kills, full disks and second writers, and everybody reads the same from it."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext.batch_ledger import (
    DONE,
    FAILED,
    RUNNING,
    SKIPPED,
    Layout,
    LedgerWriter,
    Review,
    Tail,
    append_review,
    read_reviews,
    read_rows,
    result_id,
    write_csv,
)
from medcontext.errors import InputError, ResourceError
from medcontext.jobs.files import write_json


def row(case: str, state: str = DONE, **more: Any) -> dict[str, Any]:
    return {"case": case, "state": state, "time": 1000.0, **more}


def write(out: Path, *rows: dict[str, Any], shard: tuple[int, int] | None = None) -> Path:
    path = Layout(out).ledger(shard)
    with LedgerWriter(path) as writer:
        for entry in rows:
            writer.append(entry)
    return path


def test_the_newest_row_of_a_case_counts(tmp_path: Path) -> None:
    write(tmp_path, row("a", RUNNING), row("b", RUNNING), row("a"), row("b", FAILED), row("b", attempt=2))
    rows = read_rows(tmp_path)
    assert {case: entry["state"] for case, entry in rows.items()} == {"a": DONE, "b": DONE}
    assert rows["b"]["attempt"] == 2


def test_within_a_ledger_the_order_counts_and_not_the_clock(tmp_path: Path) -> None:
    write(tmp_path, row("a", FAILED, time=2000.0), row("a", DONE, time=1000.0))
    assert read_rows(tmp_path)["a"]["state"] == DONE


def test_rows_of_all_shards_are_read_and_the_later_one_counts(tmp_path: Path) -> None:
    write(tmp_path, row("a", FAILED, time=1.0), row("b", time=5.0), shard=(1, 2))
    write(tmp_path, row("a", DONE, time=2.0), row("c"), shard=(2, 2))
    write(tmp_path, row("b", FAILED, time=4.0))
    assert {case: entry["state"] for case, entry in read_rows(tmp_path).items()} == {
        "a": DONE, "b": DONE, "c": DONE,
    }  # fmt: skip


def test_there_may_be_nothing_yet(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "later") == {}
    assert Tail(tmp_path / "later").poll() == []
    assert read_reviews(tmp_path / "later") == {}


def test_numbers_of_numpy_and_paths_become_plain(tmp_path: Path) -> None:
    values = {"Anterior": np.float32(1.5), "Posterior": np.float64("nan")}
    write(tmp_path, row("ü x", volumes_ml=values, voxels={"Anterior": np.int64(3)}, file=Path("x") / "y"))
    found = read_rows(tmp_path)["ü x"]
    assert found["volumes_ml"] == {"Anterior": 1.5, "Posterior": None}
    assert found["voxels"] == {"Anterior": 3}
    assert found["file"] == str(Path("x") / "y")


@pytest.mark.parametrize(
    "wrong", [{"state": DONE}, {"case": "", "state": DONE}, {"case": "a", "state": "ok"}]
)
def test_a_row_that_could_not_be_found_again_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="needs a case"):
        write(tmp_path, wrong)


@pytest.mark.parametrize("torn", [b'{"case": "b", "sta', b"\0" * 5000, b"x" * 200_000])
def test_a_torn_last_line_is_passed_over_and_repaired(tmp_path: Path, torn: bytes) -> None:
    path = write(tmp_path, row("a"))
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert set(read_rows(tmp_path)) == {"a"}
    write(tmp_path, row("c"))
    assert path.read_bytes().startswith(whole + b'{"case":"c"')
    assert set(read_rows(tmp_path)) == {"a", "c"}


def test_a_last_line_that_lacks_only_its_end_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path, row("a"), row("b"))
    path.write_bytes(path.read_bytes()[:-1])
    write(tmp_path, row("c"))
    assert set(read_rows(tmp_path)) == {"a", "b", "c"}


def test_lines_that_are_no_rows_are_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path, row("a"))
    with path.open("ab") as stream:
        stream.write(b'\n[1]\nnull\n{"case": 3}\n\xff\xfe\n{"state": "done"}\n')
    write(tmp_path, row("b"))
    assert set(read_rows(tmp_path)) == {"a", "b"}
    assert [found["case"] for found in Tail(tmp_path).poll()] == ["a", "b"]


def test_finished_rows_are_pushed_to_the_disk_and_running_ones_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = []
    with LedgerWriter(Layout(tmp_path).ledger()) as writer:
        real = os.fsync
        monkeypatch.setattr(os, "fsync", lambda file: (pushed.append(file), real(file)))
        writer.append(row("a", RUNNING))
        assert not pushed
        writer.sync()
        writer.sync()
        assert len(pushed) == 1
        writer.append(row("b", RUNNING))
        writer.append(row("a"))
        assert len(pushed) == 2
        writer.sync()
        assert len(pushed) == 2


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    with LedgerWriter(Layout(tmp_path).ledger()) as writer:

        def work(name: int) -> None:
            for number in range(50):
                writer.append(row(f"{name}-{number}", RUNNING, text="x" * 500))

        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(read_rows(tmp_path)) == 200
    assert len(Layout(tmp_path).ledger().read_bytes().splitlines()) == 200


def test_a_full_disk_leaves_whole_lines_and_writing_goes_on_later(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = write(tmp_path, row("a"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with LedgerWriter(path) as writer:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 40, limits[1]))
        try:
            with pytest.raises(ResourceError, match="no room"):
                writer.append(row("b", text="x" * 500))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert len(path.read_bytes().splitlines()) == 1
        writer.append(row("c"))
    assert set(read_rows(tmp_path)) == {"a", "c"}


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be written"):
        LedgerWriter(tmp_path / "file" / "ledger.jsonl")


WRITE_FOREVER = """
import sys
from pathlib import Path
from medcontext.batch_ledger import LedgerWriter
with LedgerWriter(Path(sys.argv[1])) as writer:
    print("open", flush=True)
    for number in range(10**9):
        writer.append({"case": f"case{number}", "state": "done", "text": "x" * (number % 3000)})
        print(number, flush=True)
"""


@pytest.fixture
def another(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes rows and says which are safe."""
    command = [sys.executable, "-c", WRITE_FOREVER, str(Layout(tmp_path).ledger())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def test_a_second_writer_is_told_who_writes(tmp_path: Path, another: subprocess.Popen[str]) -> None:
    with pytest.raises(InputError, match=rf"Process {another.pid} on .* has been writing .* since") as caught:
        LedgerWriter(Layout(tmp_path).ledger())
    assert "Wait until it ends" in caught.value.hint
    LedgerWriter(Layout(tmp_path).ledger((1, 2))).close()  # a shard is another file


def test_a_second_writer_in_the_same_process_is_refused_as_well(tmp_path: Path) -> None:
    with LedgerWriter(Layout(tmp_path).ledger()) as writer:
        with pytest.raises(InputError, match=str(os.getpid())):
            LedgerWriter(Layout(tmp_path).ledger())
        writer.append(row("a"))
    LedgerWriter(Layout(tmp_path).ledger()).close()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_killed_writer_loses_no_row_it_had_written_and_does_not_block(
    tmp_path: Path, another: subprocess.Popen[str]
) -> None:
    assert another.stdout is not None
    for _ in range(40):
        another.stdout.readline()
    another.send_signal(signal.SIGKILL)
    said = [line for line in another.stdout.read().splitlines() if line.isdigit()]
    another.wait()
    write(tmp_path, row("afterwards"))
    found = read_rows(tmp_path)
    assert {f"case{number}" for number in range(int(said[-1]) if said else 39)} < set(found)
    assert "afterwards" in found
    for line in Layout(tmp_path).ledger().read_bytes().splitlines():
        json.loads(line)


@pytest.mark.skipif(sys.platform == "win32", reason="the locks of POSIX")
def test_a_file_system_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    said: list[str] = []
    with LedgerWriter(Layout(tmp_path).ledger(), said.append) as writer:
        writer.append(row("a"))
    assert len(said) == 1
    assert "knows no locks" in said[0]


def test_a_tail_gives_each_row_once(tmp_path: Path) -> None:
    tail = Tail(tmp_path)
    with LedgerWriter(Layout(tmp_path).ledger()) as writer:
        writer.append(row("a", RUNNING))
        assert [found["state"] for found in tail.poll()] == [RUNNING]
        assert tail.poll() == []
        writer.append(row("a"))
        with LedgerWriter(Layout(tmp_path).ledger((2, 2))) as other:
            other.append(row("b"))
        assert sorted(found["case"] for found in tail.poll()) == ["a", "b"]


def test_a_tail_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    path = write(tmp_path, row("a"))
    tail = Tail(tmp_path)
    tail.poll()
    with path.open("ab", buffering=0) as stream:
        stream.write(b'{"case": "b", "st')
        assert tail.poll() == []
        stream.write(b'ate": "done"}\n')
        assert [found["case"] for found in tail.poll()] == ["b"]


def test_a_tail_reads_a_long_ledger_in_pieces_even_where_many_lines_are_damaged(tmp_path: Path) -> None:
    path = write(tmp_path, *(row(f"a{number}", RUNNING) for number in range(50)))
    with path.open("ab") as stream:
        stream.write(b"damaged\n" * 500)
    write(tmp_path, *(row(f"b{number}", RUNNING) for number in range(50)))
    tail, pieces = Tail(tmp_path), []
    while piece := tail.poll(limit=300):
        pieces.append(piece)
    assert len(pieces) > 5
    assert len({found["case"] for piece in pieces for found in piece}) == 100


def test_the_newest_verdict_counts_and_damaged_lines_do_not(tmp_path: Path) -> None:
    append_review(tmp_path, Review("a", "accept", time=5.0))
    with Layout(tmp_path).reviews.open("ab") as stream:
        stream.write(b'garbage\n{"case": "b", "verdict": "perhaps"}\n{"case": "c", "verdict"')
    corrected = Layout(tmp_path).relative(Layout(tmp_path).corrected("a"))
    append_review(tmp_path, Review("a", "correct", corrected=corrected, note="tail cut off"))
    found = read_reviews(tmp_path)
    assert set(found) == {"a"}
    assert (found["a"].verdict, found["a"].corrected) == ("correct", "corrected/a.seg.nrrd")
    assert found["a"].time > 5.0


def test_several_people_may_review_at_once(tmp_path: Path) -> None:
    def work(name: int) -> None:
        for number in range(10):
            append_review(tmp_path, Review(f"{name}-{number}", "accept"))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_reviews(tmp_path)) == 30


def test_a_review_is_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no verdict 'fine'"):
        Review("a", "fine")
    with pytest.raises(InputError, match="no place below"):
        append_review(tmp_path, Review("a", "correct", corrected="../elsewhere.nrrd"))


def table(out: Path) -> list[dict[str, str]]:
    text = write_csv(out).read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_table_has_one_row_a_case_in_the_order_of_their_names(tmp_path: Path) -> None:
    ml, voxels = {"Anterior": 1.25, "Posterior": 0.0}, {"Anterior": 1250, "Posterior": 0}
    seconds = {"read": 0.1, "segment": 2.0, "magic": 1.0, "total": 3.1}
    inputs = [{"name": "b.nii.gz", "size": 3, "mtime_ns": 4}]
    outputs = {"nii.gz": [{"path": "segmentations/b.nii.gz", "size": 5, "mtime_ns": 6}]}
    error = {"kind": "input", "message": "a.nii.gz is damaged.", "hint": "Copy it again."}
    write(
        tmp_path,
        row("b", volumes_ml=ml, voxels=voxels, certainty=0.9, seconds=seconds, warnings=["odd", "old"],
            inputs=inputs, outputs=outputs, time=0.0),
        row("A", FAILED, error=error),
        row("c", SKIPPED),
    )  # fmt: skip
    append_review(tmp_path, Review("b", "reject", note="wrong side"))
    rows = table(tmp_path)
    assert [entry["case"] for entry in rows] == ["A", "b", "c"]
    failed, done, _ = rows
    assert (done["Anterior mL"], done["Posterior mL"], done["Anterior voxels"]) == ("1.25", "0.0", "1250")
    assert (done["verdict"], done["note"], done["warnings"]) == ("reject", "wrong side", "odd; old")
    assert (done["seconds_segment"], done["seconds_magic"], done["seconds_label"]) == ("2.0", "1.0", "")
    assert (done["inputs"], done["outputs"]) == ("b.nii.gz", "segmentations/b.nii.gz")
    assert done["time"] == "1970-01-01T00:00:00Z"
    assert (failed["error_kind"], failed["error"], failed["hint"]) == tuple(error.values())
    assert failed["Anterior mL"] == ""


@pytest.mark.parametrize("how", ["again", "other input", "failed", "untold"])
def test_a_verdict_ends_with_the_result_on_which_it_was_given(tmp_path: Path, how: str) -> None:
    outputs = {"nii.gz": [{"path": "segmentations/a.nii.gz", "size": 5, "mtime_ns": 6}]}
    first = row("a", outputs=outputs, input_sha256="1", time=10.0)
    write(tmp_path, first)
    said = "" if how == "untold" else result_id(first)
    append_review(tmp_path, Review("a", "correct", "corrected/a.seg.nrrd", "tip cut", time=11.0, result=said))
    (entry,) = table(tmp_path)
    assert (entry["verdict"], entry["corrected"]) == ("correct", "corrected/a.seg.nrrd")
    write(tmp_path, row("a", RUNNING), {**first, "inputs": [{"name": "moved"}]})  # the same result is there
    assert table(tmp_path)[0]["verdict"] == "correct"
    anew = {"nii.gz": [{**outputs["nii.gz"][0], "mtime_ns": 7}]}
    changes = {
        "again": {"outputs": anew},
        "other input": {"input_sha256": "2"},
        "failed": {"state": FAILED},
        "untold": {"time": 12.0},
    }
    write(tmp_path, {**first, **changes[how]})
    (entry,) = table(tmp_path)
    assert (entry["verdict"], entry["corrected"]) == ("void", "")
    assert entry["note"] == "correct, of an earlier result. tip cut"


def test_a_verdict_that_was_taken_back_is_none(tmp_path: Path) -> None:
    write(tmp_path, row("a"))
    append_review(tmp_path, Review("a", "accept"))
    append_review(tmp_path, Review("a", "open", "corrected/a.seg.nrrd"))
    assert (table(tmp_path)[0]["verdict"], table(tmp_path)[0]["corrected"]) == ("", "")


def test_the_columns_do_not_depend_on_which_case_came_first(tmp_path: Path) -> None:
    labels = [{"value": 2, "name": "Tail"}, {"value": 1, "name": "Head"}, {"value": 3, "name": "Never found"}]
    write_json(Layout(tmp_path).run, {"model": {"labels": labels}})
    write(tmp_path, row("a", FAILED), row("b", volumes_ml={"Head": 1.0, "Tail": 2.0}, dice={"Head": 0.5}))
    columns = list(table(tmp_path)[0])
    units = ("mL", "voxels", "Dice")
    wanted = [f"{name} {unit}" for unit in units for name in ("Tail", "Head", "Never found")]
    assert [name for name in columns if name.endswith(units)] == wanted
    assert columns[:3] == ["case", "state", "verdict"]


def test_the_table_says_in_words_what_is_unusual(tmp_path: Path) -> None:
    write(tmp_path, *(row(f"{n}", volumes_ml={"Head": 1 + n / 100}) for n in range(10)))
    write(tmp_path, row("odd", volumes_ml={"Head": 9.0}))
    assert [entry["case"] for entry in table(tmp_path) if "Head 9 mL, usual" in entry["outlier"]] == ["odd"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\N{FULLWIDTH EQUALS SIGN}1"])
def test_text_is_no_formula_for_a_spreadsheet(tmp_path: Path, text: str) -> None:
    write(tmp_path, row(text, text=text, warnings=[text], volumes_ml={text: 1.0}))
    write_csv(tmp_path)
    for line in csv.reader(Layout(tmp_path).table.read_text(encoding="utf-8-sig").splitlines()):
        for cell in line:
            assert cell == "" or cell[0] not in "=+-@\t\N{FULLWIDTH EQUALS SIGN}", cell


def test_the_table_starts_with_the_mark_by_which_excel_knows_utf_8(tmp_path: Path) -> None:
    write(tmp_path, row("größer", text="two\nlines, and a comma"))
    raw = write_csv(tmp_path).read_bytes()
    assert raw.startswith(b"\xef\xbb\xbfcase,")
    assert table(tmp_path)[0]["case"] == "größer"
    assert table(tmp_path)[0]["text"] == "two lines, and a comma"


def test_a_broken_record_of_the_run_does_not_keep_the_table(tmp_path: Path) -> None:
    Layout(tmp_path).run.write_text("{", encoding="utf-8")
    write(tmp_path, row("a", volumes_ml={"Head": 1.0}))
    assert table(tmp_path)[0]["Head mL"] == "1.0"
