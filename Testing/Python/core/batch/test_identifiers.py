"""Names of cases, and what identifies a patient staying out of all that is written or told."""

from __future__ import annotations

import json
import logging
import re
import traceback
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from medcontext.batch.case import BatchCase
from medcontext.batch.find import find_cases
from medcontext.batch.identifiers import Names, safe_id, scrub, silence_dicom_libraries, unique_ids
from medcontext.batch.reading import read_case
from medcontext.card_schema import ModelCard
from medcontext.errors import MedContextError
from medcontext.events import Event, Reporter
from medcontext.geometry import Volume

EXPORT = "DOE^JOHANNA"
PRIVATE = re.compile(
    "johanna|doe(?!s)|4711|1961|0704|acc99|kopf|verlauf|st5544|quack|emil|haus|1\\.2\\.3\\.4|IM_",
    re.IGNORECASE,
)
"""What of the patient, of the folders and of the files must never be told."""


@pytest.fixture
def export(
    tmp_path: Path,
    write_dicom: Any,
    write_frames: Any,
    write_report: Any,
    a_scan: Volume,
    secrets: dict[str, str],
) -> Path:
    """A hospital's export: one good series and one of each kind of trouble, all of one patient."""
    root = tmp_path / "export" / EXPORT / "19610704"
    tilted = [(0.0, k * 1.0, k * 3.0) for k in range(7)]
    uneven = [(0.0, 0.0, k * 3.0 + (k > 3)) for k in range(7)]
    shared = [(0.0, 0.0, (k % 4) * 3.0) for k in range(7)]
    lacking = [(0.0, 0.0, k * 3.0 + 90 * (k > 3)) for k in range(7)]
    kinds = {"good": None, "tilted": tilted, "uneven": uneven, "shared": shared, "lacking": lacking}
    fields: dict[str, Any] = secrets
    for number, (kind, places) in enumerate(kinds.items()):
        uid = f"1.2.3.4.{number}"
        write_dicom(root / kind, a_scan, places, names="IM_{:03d}", SeriesInstanceUID=uid, **fields)
    broken = write_dicom(root / "pixels", a_scan, names="IM_{:03d}", SeriesInstanceUID="1.2.3.4.77", **fields)
    content = broken[2].read_bytes()
    broken[2].write_bytes(content[:-40])
    scout = {**fields, "SeriesDescription": "Scout Doe"}
    write_dicom(root / "scout", a_scan, names="IM_{:03d}", SeriesInstanceUID="1.2.3.4.78", **scout)
    write_frames(root / "frames" / "IM_all", a_scan, uneven, SeriesInstanceUID="1.2.3.4.79", **fields)
    write_report(root / "good" / "IM_report", **fields)
    (root / "scout" / "IM_empty.dcm").write_bytes(b"")
    return tmp_path / "export"


def _told(export: Path, card: ModelCard, keep: bool) -> tuple[list[str], list[BatchCase]]:
    """All that a search and reading, with tilted and uneven slices taken and refused, says."""
    events: list[Event] = []
    reporter = Reporter(events.append)
    cases, skipped = find_cases(
        [export], card, output=export / "out", keep_identifiers=keep, reporter=reporter
    )
    said = [text for entry in skipped for text in (entry.place, entry.reason)]
    for case in cases:
        said += [case.id, *case.remarks, case.trouble]
        for odd in ("resample", "refuse"):
            try:
                read_case(case, reporter, odd=odd)  # type: ignore[arg-type]
            except MedContextError as error:
                said += [error.message, error.hint, "".join(traceback.format_exception(error))]
    return [*said, *(json.dumps(event, default=str) for event in events)], cases


def test_nothing_that_is_told_says_whose_scans_they_are(
    export: Path, card: ModelCard, caplog: Any, capfd: Any
) -> None:
    with warnings.catch_warnings(record=True) as warned, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        said, cases = _told(export, card, keep=False)
    assert len(cases) == 7
    assert any("at the same place" in text for text in said)
    assert any("lacks slices" in text for text in said)
    assert any("damaged" in text for text in said)
    streams = capfd.readouterr()
    everything = [*said, caplog.text, streams.out, streams.err, *(str(entry.message) for entry in warned)]
    assert [text for text in everything if PRIVATE.search(text.replace(str(export.parent), ""))] == []


@pytest.mark.parametrize("silent", [False, True])
def test_libraries_quote_no_headers(caplog: Any, silent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("pydicom"), "level", logging.WARNING)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        if silent:
            silence_dicom_libraries()
        Dataset().PatientBirthDate = "Doe_0704"  # as when a result takes over what its scan says
    said = [caplog.text, *(str(entry.message) for entry in warned)]
    assert any("Doe_0704" in text for text in said) is not silent


def test_identifiers_are_kept_where_asked(export: Path, card: ModelCard) -> None:
    said, cases = _told(export, card, keep=True)
    assert all(case.private == () for case in cases)
    assert any("Johanna" in text for text in said)
    good = next(case for case in cases if case.series[0].parent.name == "good")
    assert good.id == "Doe_Johanna_MRN-4711-X_Verlauf_Doe_7_Kopf_Frau_Doe-" + good.id[-6:]


def test_pseudonyms_are_the_same_each_time_and_wherever_the_files_lie(
    tmp_path: Path, card: ModelCard, write_dicom: Any, a_scan: Volume
) -> None:
    ids = []
    for place in ("here", "there"):
        write_dicom(tmp_path / place, a_scan)
        cases, _ = find_cases(
            [tmp_path / place],
            card,
            output=tmp_path / f"o {place}",
            keep_identifiers=False,
            reporter=Reporter(),
        )
        ids.append(cases[0].id)
    assert ids[0] == ids[1]
    assert re.fullmatch("series-[0-9a-f]{12}", ids[0])


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 192", "山田^太郎"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
    ],
)
def test_names_in_other_letters(
    tmp_path: Path, card: ModelCard, write_dicom: Any, a_scan: Volume, charset: Any, name: str
) -> None:
    write_dicom(tmp_path / "scans", a_scan, SpecificCharacterSet=charset, PatientName=name)
    for keep in (False, True):
        (case,), _ = find_cases(
            [tmp_path / "scans"], card, output=tmp_path / "o", keep_identifiers=keep, reporter=Reporter()
        )
        json.dumps(asdict(case), default=str, ensure_ascii=False).encode()  # fit for any file
        words = [word for word in re.split(r"[\^=]", name) if word]
        if keep:
            assert all(word in case.id for word in words)
        else:
            assert scrub(f"of {words[-1]}, {words[0]}: {name}", case) == "of [removed], [removed]: [removed]"


def test_scrubbing_leaves_other_words(tmp_path: Path) -> None:
    file = tmp_path / "LI^WEI" / "IM1.dcm"
    case = BatchCase("x", (file,), (file,), private=("LI^WEI", "LI", "WEI", "19610704", str(file.parent)))
    assert (
        scrub("A list of slices, 3.0 mm apart, lies in Linz", case)
        == "A list of slices, 3.0 mm apart, lies in Linz"
    )
    assert scrub(f"{file}: li and Wei_T1, born 19610704.", case) == (
        "[removed]: [removed] and [removed]_T1, born [removed]."
    )
    assert scrub("IM1.dcm is damaged", case) == "[removed] is damaged"
    kept = BatchCase("x", (file,), (file,))
    assert scrub(f"{file}: li", kept) == f"{file}: li"


def test_ids_are_fit_for_files_on_every_system() -> None:
    assert safe_id("a b/c\\d:e*f?g") == "a_b_c_d_e_f_g"
    assert safe_id("...") == safe_id("") == "case"
    assert safe_id("NUL") == "case_NUL"
    assert safe_id("lpt1.nii") == "case_lpt1.nii"
    assert safe_id("u\u0308") == "\u00fc"
    for name in ("x" * 121, "\u8111" * 119, "x" * 500):
        short = safe_id(name)
        assert len(short) <= 120
        assert len(short.encode()) <= 180
        assert short != safe_id(name + "y")


def test_ids_never_meet() -> None:
    names = [
        Names(("a", "p_a"), "1"),
        Names(("A", "q_a"), "2"),
        Names(("p_a",), "3"),
        Names(("b",), "4"),
        Names(("b",), "5"),
        Names(("c",), "6"),
    ]
    ids = unique_ids(names, taken=["C"])
    assert len({name.casefold() for name in (*ids, "C")}) == 7
    assert ids[1] == "q_a"
    shuffled = [names[index] for index in (4, 2, 0, 5, 1, 3)]
    assert sorted(unique_ids(shuffled, taken=["C"])) == sorted(ids)
