"""Parts of a run for machines that know nothing of each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medcontext.batch.case import BatchCase
from medcontext.batch.find import find_cases
from medcontext.batch.fit import read_model_card
from medcontext.batch.options import BatchOptions
from medcontext.batch.run import BatchSummary, run_batch
from medcontext.batch.shard import cases_of, parse_shard, part_of
from medcontext.batch_ledger import Layout, LedgerWriter, read_rows
from medcontext.errors import InputError
from medcontext.events import Reporter
from medcontext.geometry import Volume


def some(count: int) -> list[BatchCase]:
    return [BatchCase(f"case_{number}", (Path(f"{number}.nii.gz"),)) for number in range(count)]


def ids(cases: list[BatchCase]) -> set[str]:
    return {case.id for case in cases}


def test_each_case_belongs_to_exactly_one_part() -> None:
    cases = some(200)
    parts = [ids(cases_of(cases, (index, 7))) for index in range(1, 8)]
    assert sum(map(len, parts)) == 200
    assert set().union(*parts) == ids(cases)
    assert min(map(len, parts)) > 10


def test_the_part_of_a_case_does_not_depend_on_others() -> None:
    cases = some(50)
    part = ids(cases_of(cases, (2, 3)))
    assert ids(cases_of(list(reversed(cases))[:20], (2, 3))) == part & ids(cases[30:])
    assert cases_of(cases, None) == cases
    assert cases_of(cases, (1, 1)) == cases


def test_names_that_differ_in_letter_case_only_belong_together() -> None:
    one, other = (BatchCase(name, (Path("a"),)) for name in ("Straße", "STRASSE"))
    for index in range(1, 6):
        assert len(cases_of([one, other], (index, 5))) in (0, 2)


@pytest.mark.parametrize("text", ["3", "3/", "/3", "0/3", "4/3", "a/b", "1/2/3", "-1/3", "1.0/2", "²/3"])
def test_what_is_no_part_is_a_sentence(text: str) -> None:
    with pytest.raises(InputError, match="is no part of a run"):
        parse_shard(text)


def test_a_part_is_counted_from_one() -> None:
    assert parse_shard("3/16") == (3, 16)
    with pytest.raises(InputError, match="there is no part 0 of 2"):
        BatchOptions.parse({"model": "m", "shard": (0, 2)}, "The command")


def test_parts_share_a_folder_and_the_report_tells_of_all(
    tmp_path: Path, write_scans: Callable[..., list[Path]], tiny_model: Path
) -> None:
    write_scans(tmp_path / "in", 7)
    out, done = tmp_path / "out", 0
    for index in (2, 1):
        options = BatchOptions(model=str(tiny_model), device="cpu", precision="fp32", shard=(index, 2))
        done += run_batch(tmp_path / "in", out, options).done
    assert done == 7
    rows = read_rows(out)
    assert len(rows) == 7
    assert {row["shard"] for row in rows.values()} == {"1-of-2", "2-of-2"}
    assert {path.name for path in out.glob("ledger*.jsonl")} == {"ledger.1-of-2.jsonl", "ledger.2-of-2.jsonl"}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert all(case in page for case in rows)
    assert len((out / "ledger.csv").read_text(encoding="utf-8-sig").splitlines()) == 8
    # All parts compute as the first one, and a run of the whole afterwards finds nothing left.
    plans = [json.loads(path.read_text())["execution"] for path in out.glob("batch*.json")]
    assert len(plans) == 3
    assert plans[0] == plans[1] == plans[2]
    whole = BatchOptions(model=str(tiny_model), device="cpu", precision="fp32")
    assert run_batch(tmp_path / "in", out, whole).reused == 7


@pytest.mark.parametrize(
    ("other", "mine"), [(None, (1, 2)), ((1, 2), None), ((1, 2), (1, 3)), ((1, 2), (2, 2))]
)
def test_runs_that_divide_the_cases_differently_do_not_work_at_the_same_time(
    tmp_path: Path,
    write_scans: Callable[..., list[Path]],
    tiny_model: Path,
    other: tuple[int, int] | None,
    mine: tuple[int, int] | None,
) -> None:
    write_scans(tmp_path / "in", 2)
    out = tmp_path / "out"
    options = BatchOptions(model=str(tiny_model), device="cpu", precision="fp32", shard=mine)
    with LedgerWriter(Layout(out).ledger(other)):
        live = out / "segmentations" / ".0123abcd-scan_0.nii.gz"
        live.parent.mkdir()
        live.write_bytes(b"half")
        if other and mine and other[1] == mine[1]:
            run_batch(tmp_path / "in", out, options)
        else:
            with pytest.raises(InputError, match="has been writing"):
                run_batch(tmp_path / "in", out, options)
            assert live.exists()
    run_batch(tmp_path / "in", out, options)


def test_a_part_without_dicom_does_not_tell_where_the_others_come_from(
    tmp_path: Path,
    write_scans: Callable[..., list[Path]],
    write_dicom: Callable[..., list[Path]],
    a_scan: Volume,
    tiny_model: Path,
) -> None:
    folder = tmp_path / "Doe Johanna"
    write_scans(folder, 3)
    write_dicom(folder / "ct", a_scan)
    found = find_cases(
        [folder],
        read_model_card(str(tiny_model)),
        output=tmp_path,
        keep_identifiers=False,
        reporter=Reporter(),
    )[0]
    (dicom,) = [case for case in found if case.is_dicom]
    part = 3 - part_of(dicom.id, 2)
    options = BatchOptions(model=str(tiny_model), device="cpu", precision="fp32", shard=(part, 2))
    run_batch(folder, tmp_path / "out", options)
    assert json.loads((tmp_path / "out" / "batch.json").read_text())["input"] == []


def test_the_later_run_counts_whatever_clocks_say(
    tmp_path: Path, write_scans: Callable[..., list[Path]], tiny_model: Path
) -> None:
    (scan,) = write_scans(tmp_path / "in", 1)
    out, good = tmp_path / "out", scan.read_bytes()

    def run(**more: Any) -> BatchSummary:
        chosen = {"model": str(tiny_model), "device": "cpu", "precision": "fp32"} | more
        return run_batch(tmp_path / "in", out, BatchOptions(**chosen))

    scan.write_bytes(b"broken")
    assert run(shard=(1, 1)).failed == 1
    with LedgerWriter(Layout(out).ledger((1, 1))) as writer:  # of a machine whose clock is ahead
        writer.append(read_rows(out)["scan_0"] | {"time": 4e9})
    scan.write_bytes(good)
    assert run().done == 1
    assert read_rows(out)["scan_0"]["state"] == "done"
    assert run().reused == 1
