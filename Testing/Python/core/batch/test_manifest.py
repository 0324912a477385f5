"""Manifests name cases one by one; a broken one says in which row, a missing file costs only its own row."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medcontext import io
from medcontext.batch.case import BatchCase
from medcontext.batch.find import find_cases
from medcontext.batch.identifiers import scrub
from medcontext.batch.reading import read_case
from medcontext.card_schema import ModelCard
from medcontext.errors import InputError
from medcontext.events import Event, Reporter
from medcontext.geometry import Geometry, Volume


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with the images a, b and c d, and a labelmap."""
    folder = tmp_path / "imgs"
    folder.mkdir()
    for number, name in enumerate(("a", "b", "c d")):
        volume = Volume(np.full((1, 3, 4, 5), number, np.float32), Geometry.from_spacing((3, 4, 5)))
        io.write_volume(folder / f"{name}.nii.gz", volume)
    io.write_labelmap(folder / "label.nii.gz", Volume(np.ones((1, 3, 4, 5), np.uint8), volume.geometry))
    return folder


@pytest.fixture
def read(tmp_path: Path, images: Path, card: ModelCard) -> Callable[..., list[BatchCase]]:
    """``read(text, name="list.csv", model=card)``: the cases of a manifest beside the folder of images."""

    def cases(
        text: str | bytes, name: str = "list.csv", model: ModelCard = card, reporter: Reporter | None = None
    ) -> list[BatchCase]:
        path = images.parent / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        found, skipped = find_cases(
            [path], model, output=tmp_path / "out", keep_identifiers=False, reporter=reporter or Reporter()
        )
        assert skipped == []
        return found

    return cases


TABLE = """id,image,roi,reference,text
one,imgs/a.nii.gz,"0:2,0:3,:",imgs/label.nii.gz,"a note, with a comma"
two,imgs/c d.nii.gz,imgs/label.nii.gz,,
"""


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table(read: Any, images: Path, separator: str) -> None:
    lines = TABLE.replace('"a note, with a comma"', "a note")
    if separator != ",":
        lines = lines.replace('"0:2,0:3,:"', "0:2#0:3#:").replace(",", separator).replace("#", ",")
    one, two = read(lines)
    assert (one.id, two.id) == ("one", "two")
    assert one.paths == (images / "a.nii.gz",)
    assert (one.roi, one.reference, one.text) == ("0:2,0:3,:", images / "label.nii.gz", "a note")
    assert (two.roi, two.reference, two.text) == (str(images / "label.nii.gz"), None, "")
    assert one.trouble == two.trouble == ""
    assert two.files == (images / "c d.nii.gz", images / "label.nii.gz")


def test_tables_as_spreadsheets_write_them(read: Any) -> None:
    text = '\ufeffID,Image,Text,\r\n\r\nx,imgs/a.nii.gz,"two\r\nlines",\r\n,imgs/b.nii.gz\r\n,,,\r\n'
    cases = read(text)
    assert [(case.id, case.text) for case in cases] == [("x", "two\r\nlines"), ("b", "")]


def test_a_list_of_objects(read: Any, images: Path) -> None:
    entries = [{"id": 7, "image": "imgs/a.nii.gz", "roi": None}, {"image": str(images / "b.nii.gz")}]
    assert [case.id for case in read(json.dumps(entries), "list.json")] == ["7", "b"]


def test_channels_in_three_ways(read: Any, images: Path, card_of_two: ModelCard) -> None:
    text = (
        "id,image,channels,flair,T1c\n"
        "p,,,imgs/a.nii.gz,imgs/b.nii.gz\n"
        "q,,T1c = imgs/b.nii.gz; FLAIR=imgs/a.nii.gz,,\n"
        "r,imgs/a.nii.gz,,,\n"
    )
    both = (images / "a.nii.gz", images / "b.nii.gz")
    assert [case.paths for case in read(text, model=card_of_two)] == [both, both, both[:1]]
    entries = [{"channels": {"T1c": "imgs/b.nii.gz", "FLAIR": "imgs/a.nii.gz"}}]
    (case,) = read(json.dumps(entries), "list.json", card_of_two)
    assert case.paths == both
    np.testing.assert_array_equal(read_case(case, Reporter(), odd="refuse").image.array[:, 0, 0, 0], [0, 1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,text\nx,y\n", "list.csv, its first line, has no column 'image'"),
        ("id,image,label\n", "its first line: there is no column 'label'"),
        ("image,Image\n", "has the column 'image' twice"),
        ("id,image\nx,imgs/a.nii.gz\ny,\n", "row 3, names no image"),
        ("image,channels\nimgs/a.nii.gz,MRI=b\n", "row 2, names its image in two ways"),
        ("image,text\nimgs/a.nii.gz,one,two\n", "row 2, has 3 cells under 2 columns"),
        ('image\n"imgs/a.nii.gz\n', "row 2, is broken"),
        ("channels\nimgs/a.nii.gz\n", "row 2: 'imgs/a.nii.gz' is not NAME=FILE"),
        ("channels\nT9=imgs/a.nii.gz\n", "row 2: the model needs the channels"),
        ("id,image\nx,imgs/a.nii.gz\n\nX,imgs/b.nii.gz\n", "row 2 and row 4 would both be called 'X'"),
        ("id,image\na/b,imgs/a.nii.gz\na b,imgs/b.nii.gz\n", "row 2 and row 3 would both be called 'a_b'"),
        ("id,image\n", "names no case"),
        ("", "names no case"),
        (b"image\nimgs/\xe4.nii.gz\n", "is not written in UTF-8"),
    ],
)
def test_a_broken_table_says_where(read: Any, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(text)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ('{"image": "a"}', "is no list of objects"),
        ('[{"image": "imgs/a.nii.gz"}, "b"]', "entry 2, is no object"),
        ('[{"image": ["imgs/a.nii.gz"]}]', "entry 1: 'image' is"),
        ('[{"id": "x"}]', "entry 1, has no column 'image'"),
        ('[{"image": "a", "label": "b"}]', "entry 1: there is no column 'label'"),
    ],
)
def test_a_broken_list_says_where(read: Any, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(text, "list.json")
    assert message in caught.value.message


def test_unknown_columns_name_the_allowed_ones(read: Any, card_of_two: ModelCard) -> None:
    with pytest.raises(InputError) as caught:
        read("id,image,T2\n", model=card_of_two)
    assert caught.value.hint == "Allowed are id, image, channels, roi, reference, text, FLAIR, T1c."


def test_a_missing_file_costs_its_own_row_only(read: Any) -> None:
    cases = read(
        "id,image,roi,reference\n"
        "good,imgs/a.nii.gz,,\n"
        "no_image,imgs/gone.nii.gz,,\n"
        "no_roi,imgs/a.nii.gz,gone.mrk.json,\n"
        "no_reference,imgs/a.nii.gz,,gone.nii.gz\n"
        "no_kind,list.csv,,\n"
        "empty,imgs,,\n"
    )
    said = {}
    for case in cases:
        try:
            read_case(case, Reporter(), odd="refuse")
        except InputError as error:
            said[case.id] = error.message
    assert said.keys() == {"no_image", "no_roi", "no_reference", "no_kind", "empty"}
    assert said["no_image"] == (
        "The image named in row 3 of the manifest (gone.nii.gz) cannot be used. It does not exist."
    )
    assert said["no_roi"].startswith("The region file named in row 4 of the manifest (gone.mrk.json)")
    assert said["no_reference"].startswith("The reference file named in row 5")
    assert "is not an image that can be read" in said["no_kind"]
    assert "The folder holds no DICOM series" in said["empty"]


def test_ids_fit_for_files_are_told(read: Any) -> None:
    events: list[Event] = []
    long = "y" * 200
    cases = read(
        f"id,image\nMüller 1/2,imgs/a.nii.gz\n{long},imgs/b.nii.gz\n,imgs/b.nii.gz\n,imgs/b.nii.gz\n",
        reporter=Reporter(events.append),
    )
    assert cases[0].id == "Müller_1_2"
    assert len(cases[1].id) == 120
    assert cases[1].id.startswith("y" * 100)
    assert len({case.id for case in cases}) == 4  # two rows of one image: each its own
    told = [event["message"] for event in events if event["event"] == "info"]
    assert len(told) == 1
    assert "'Müller 1/2' is 'Müller_1_2'" in told[0]


def test_dicom_in_a_manifest(
    read: Any, tmp_path: Path, write_dicom: Any, a_scan: Volume, secrets: dict[str, str]
) -> None:
    scans = tmp_path / "Doe Johanna"
    first = write_dicom(scans / "one", a_scan, **secrets)
    two = write_dicom(scans / "two", a_scan, names="a{}.dcm", SeriesInstanceUID="8.1", **secrets)
    write_dicom(scans / "two", a_scan, names="b{}.dcm", SeriesInstanceUID="8.2", **secrets)
    cases = read(
        "id,image\nby folder,Doe Johanna/one\n,Doe Johanna/one\n"
        f"by file,Doe Johanna/two/{two[3].name}\n,Doe Johanna/two\n,Doe Johanna/three\n"
    )
    assert [case.id.partition("-")[0] for case in cases] == [
        "by_folder",
        "series",
        "by_file",
        "row_5",
        "row_6",
    ]
    assert set(cases[0].series) == set(first)
    assert set(cases[2].series) == set(two)
    assert cases[3].trouble.endswith("The folder holds 2 DICOM series that are volumes; one is needed.")
    assert cases[4].trouble.endswith("It does not exist.")
    assert not any("johanna" in f"{case.id} {case.trouble}".casefold() for case in cases)
    for case in cases[:3]:
        np.testing.assert_array_equal(read_case(case, Reporter(), odd="refuse").image.array, a_scan.array)


def test_dicom_series_as_channels(
    read: Any, tmp_path: Path, write_dicom: Any, a_scan: Volume, card_of_two: ModelCard
) -> None:
    other = Volume(a_scan.array + 3, a_scan.geometry)
    flair = write_dicom(tmp_path / "flair", a_scan, SeriesInstanceUID="8.3")
    t1c = write_dicom(tmp_path / "t1c", other, SeriesInstanceUID="8.4")
    io.write_volume(tmp_path / "t1c.nii.gz", other)
    both, mixed = read("FLAIR,T1c\nflair,t1c\nflair,t1c.nii.gz\n", model=card_of_two)
    assert both.is_dicom
    assert set(both.files) == {*flair, *t1c}
    assert set(mixed.files) == {*flair, tmp_path / "t1c.nii.gz"}
    for case in (both, mixed):
        image = read_case(case, Reporter(), odd="refuse").image.array
        np.testing.assert_allclose(image, np.concatenate([a_scan.array, other.array]), atol=1e-3)


def test_a_manifest_is_given_alone(read: Any, images: Path, card: ModelCard, tmp_path: Path) -> None:
    read(TABLE)
    with pytest.raises(InputError, match="A manifest was given beside other inputs"):
        find_cases(
            [images.parent / "list.csv", images], card, output=tmp_path / "o", keep_identifiers=False,
            reporter=Reporter(),
        )  # fmt: skip


@pytest.mark.parametrize("column", ["image", "roi", "reference"])
def test_a_name_that_no_file_can_have_costs_its_own_row(read: Any, column: str) -> None:
    names = ["x" * 300 + ".nii.gz", "a\0b.nii.gz", "M\udcfcller.nii.gz", "b" * 120 + "/" + "c" * 300]
    entries = [{"id": "good", "image": "imgs/a.nii.gz"}]
    entries += [{"image": "imgs/b.nii.gz", column: name} for name in names]
    good, *bad = read(json.dumps(entries), "list.json")
    assert good.trouble == ""
    for number, case in enumerate(bad, start=2):
        assert f"named in entry {number} of the manifest" in case.trouble
        case.trouble.encode()
        case.id.encode()
        assert case.files
        with pytest.raises(InputError, match=f"entry {number}"):
            read_case(case, Reporter(), odd="refuse")


def test_texts_of_a_manifest_are_fit_for_any_file(read: Any) -> None:
    entries = [{"id": "a\udce4", "image": "imgs/a.nii.gz", "text": "\udce4"}]
    (case,) = read(json.dumps(entries), "list.json")
    assert (case.id, case.text) == ("a", "?")


def test_folders_of_reference_and_region_are_private_beside_dicom(
    tmp_path: Path, read: Any, write_dicom: Any, a_scan: Volume
) -> None:
    write_dicom(tmp_path / "imgs" / "series", a_scan)
    reference, region = (tmp_path / "DOE_JANE" / name / "x_jane.nii.gz" for name in ("truth", "ROE_JOHN"))
    (case,) = read(f"image,reference,roi\nimgs/series,{reference},{region}\n")
    assert "jane" not in case.trouble
    for path in (reference, region):
        said = scrub(f"{path} cannot be read; {path.parent.name}, {path.name}", case)
        assert not {"DOE_JANE", "ROE_JOHN", "x_jane"} & set(re.split(r"[ /,;.]", said)), said
