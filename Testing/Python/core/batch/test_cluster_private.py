"""What is said of a patient stays here when a case is sent to a worker, which then knows it by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medcontext.batch.case import BatchCase
from medcontext.batch.cluster_messages import Errand
from medcontext.batch.cluster_private import as_received, to_send
from medcontext.batch.find import find_cases
from medcontext.batch.identifiers import scrub
from medcontext.batch.options import BatchOptions, FixedPlan
from medcontext.card_schema import ModelCard
from medcontext.events import Reporter
from medcontext.geometry import Volume


def find(folder: Path, card: ModelCard, keep: bool = False) -> BatchCase:
    output = folder.parent / "out"
    (case,), _ = find_cases([folder], card, output=output, keep_identifiers=keep, reporter=Reporter())
    return case


def message(case: BatchCase) -> str:
    errand = Errand(case=case, options=BatchOptions(model="m"), plan=FixedPlan(), sharers={}, look=True)
    return errand.model_dump_json()


def test_what_headers_say_does_not_travel(
    tmp_path: Path, card: ModelCard, write_dicom: Any, a_scan: Volume, secrets: dict[str, str]
) -> None:
    write_dicom(tmp_path / "in" / "Ward 7", a_scan, **secrets)
    case = find(tmp_path / "in", card)
    assert any(secret in message(case) for secret in secrets.values())

    sent = to_send(case)
    assert [secret for secret in secrets.values() if secret in message(sent)] == []

    told = f"{secrets['PatientID']} of Johanna Doe, Ward 7: {case.series[0]}"
    assert (
        scrub(told, as_received(sent))
        == scrub(told, case)
        == "[removed] of [removed] [removed], [removed]: [removed]"
    )
    assert set(as_received(sent).private) == set(case.private)


def test_a_second_channel_and_a_damaged_header(tmp_path: Path, write_dicom: Any, a_scan: Volume) -> None:
    one = write_dicom(tmp_path / "one", a_scan, PatientName="Doe^Johanna")
    two = write_dicom(tmp_path / "two", a_scan, PatientName="Quack^Emil")
    case = BatchCase(
        "x", (one[0], two[0]), tuple(one), (tuple(two),), private=(str(tmp_path / "one"), "Emil")
    )
    sent = to_send(case)
    assert sent.private == (str(tmp_path / "one"),)
    assert scrub("Emil and Johanna", as_received(sent)) == "[removed] and [removed]"
    two[0].write_bytes(b"")
    assert scrub("Emil and Johanna", as_received(sent)) == "Emil and [removed]"


def test_where_identifiers_are_kept_nothing_is_taken_out(
    tmp_path: Path, card: ModelCard, write_dicom: Any, a_scan: Volume
) -> None:
    write_dicom(tmp_path / "in", a_scan, PatientName="Doe^Johanna")
    case = find(tmp_path / "in", card, keep=True)
    assert as_received(to_send(case)) == case
