"""The page on which a person skims a batch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from medcontext.batch.report import write_report
from medcontext.batch.thumbnail import write_thumbnail
from medcontext.batch_ledger import (
    DONE,
    FAILED,
    RUNNING,
    SKIPPED,
    Layout,
    LedgerWriter,
    Review,
    append_review,
)
from medcontext.errors import InputError
from medcontext.geometry import Geometry, Volume
from medcontext.jobs.files import write_json
from medcontext.labels import LabelSet

VOID = {"meta", "input", "img", "br", "link"}
LABELS = LabelSet.from_names({1: "Anterior", 2: "Posterior"})


class Page(HTMLParser):
    """A page as a reader takes it in; fails on tags that do not close each other."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: dict[str, str] = {}
        self._article = ""
        self.script = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        assert len(found) == len(attrs)
        self.tags.append((tag, found))
        if tag == "article":
            self._article = found["id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "article":
            self._article = ""

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.script += data
        elif self.open[-1:] != ["style"]:
            self.words[self._article] = self.words.get(self._article, "") + data

    def found(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def cards(self) -> list[str]:
        """The cases in the order of their cards."""
        return [attributes["data-name"] for attributes in self.found("article")]

    @property
    def head(self) -> str:
        """All words outside cards."""
        return self.words[""]


def done(case: str, anterior: float = 1.5, posterior: float = 1.4, **more: Any) -> dict[str, Any]:
    return {
        "case": case, "state": DONE, "time": 1_700_000_000.0, "certainty": 0.9,
        "volumes_ml": {"Anterior": anterior, "Posterior": posterior},
        "seconds": {"read": 0.5, "segment": 1.5, "total": 2.0}, "warnings": [], **more,
    }  # fmt: skip


def write(out: Path, *rows: dict[str, Any]) -> Layout:
    layout = Layout(out)
    with LedgerWriter(layout.ledger()) as writer:
        for row in rows:
            writer.append(row)
    return layout


def page(out: Path) -> Page:
    return Page(write_report(out).read_text(encoding="utf-8"))


def run_record(out: Path) -> None:
    write_json(
        Layout(out).run,
        {
            "input": ["/data/MUSTER_ERIKA"],
            "model": {
                "id": "hippocampus",
                "version": "1.0.0",
                "sha256": "ab" * 32,
                "labels": LABELS.to_json(),
            },
            "options": {
                "model": "/home/erika/model",
                "cluster": "slurm:/home/erika/x.yaml",
                "formats": ["nii.gz"],
            },
            "execution": {"device": "CPU", "plan": {"precision": "bf16", "threads": None}},
            "memory": {"budget_bytes": 2_000_000_000, "case_bytes": 3_100_000, "cases_at_once": 5},
            "software": {"torch": "2.9"},
        },
    )


def many() -> list[dict[str, Any]]:
    volumes = np.random.default_rng(0).normal(1.5, 0.1, 20)
    return [done(f"case{index:02}", float(volume)) for index, volume in enumerate(volumes)]


def test_what_needs_a_look_comes_first_with_its_reason(tmp_path: Path) -> None:
    write(
        tmp_path,
        *many(),
        done("tiny", 0.2),
        done("unsure", certainty=0.3),
        done("warned", warnings=["Odd gaps."]),
    )
    found = page(tmp_path)
    assert set(found.cards[:2]) == {"tiny", "unsure"}
    assert len(found.cards) == 23
    words = dict(zip(found.cards, (found.words[card["id"]] for card in found.found("article")), strict=True))
    assert re.search(r"Anterior 0\.2 mL, usual 1\.\d+ to 1\.\d+", words["tiny"])
    assert "certainty 0.30, usual" in words["unsure"]
    assert "Odd gaps." in words["warned"]
    assert "23 finished" in found.head
    assert "2 far from the rest" in found.head


def test_a_mark_in_a_strip_leads_to_its_card(tmp_path: Path) -> None:
    write(tmp_path, *many(), done("tiny", 0.2), done("without", 0.0))
    found = page(tmp_path)
    targets = [link["href"].removeprefix("#") for link in found.found("a")]
    by_place = dict(zip((card["id"] for card in found.found("article")), found.cards, strict=True))
    assert {by_place[target] for target in targets} == {"tiny", "without"}
    assert "found in 21 of 22 cases" in found.head
    for circle in found.found("circle"):
        assert 0 <= float(circle["cx"]) <= 320


def test_failures_are_said_first_and_together_by_reason(tmp_path: Path) -> None:
    def failed(case: str, message: str) -> dict[str, Any]:
        error = {"kind": "input", "message": message, "hint": "Copy it again."}
        return {"case": case, "state": FAILED, "time": 1.0, "error": error}

    damaged = [failed(f"scan{index}", f"scan{index}.nii.gz is damaged.") for index in range(8)]
    left_out = {"case": "localiser", "state": SKIPPED, "error": {"message": "A localiser."}}
    write(
        tmp_path,
        done("a"),
        *damaged,
        failed("b", "Memory ran out."),
        left_out,
        {"case": "c", "state": RUNNING},
    )
    found = page(tmp_path)
    assert "9 cases failed" in found.head
    assert found.head.index("….nii.gz is damaged. Copy it again.") < found.head.index("Memory ran out.")
    assert found.head.count("is damaged.") == 1
    assert "scan0, scan1, scan2, scan3, scan4" in found.head
    assert "3 more" in found.head
    assert "1 left out" in found.head
    assert "A localiser." in found.head
    assert "1 begun, not finished" in found.head
    assert found.cards == ["a"]


def test_the_page_needs_nothing_but_its_pictures(tmp_path: Path) -> None:
    layout = write(tmp_path, *many(), done("größer & 50%"))
    geometry = Geometry.from_spacing((8, 8, 8))
    volume = Volume(np.zeros((1, 8, 8, 8), np.uint8), geometry)
    for case in ("case00", "größer & 50%"):
        write_thumbnail(layout.thumbnail(case), volume, volume, LABELS)
    found = page(tmp_path)
    pictures = found.found("img")
    assert {unquote(picture["src"]) for picture in pictures} == {
        "report/case00.png",
        "report/größer & 50%.png",
    }
    assert all((tmp_path / unquote(picture["src"])).is_file() for picture in pictures)
    assert all(picture["loading"] == "lazy" and picture["alt"] for picture in pictures)
    assert not found.found("link")
    text = layout.report.read_text(encoding="utf-8")
    assert not re.search(r"https?:|@import|url\(|<script [^>]*src", text)
    assert "prefers-color-scheme: dark" in text


def test_names_and_words_of_others_stay_text(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script>\"'&$title ${x}"
    error = {"kind": "input", "message": nasty, "hint": nasty}
    write(
        tmp_path,
        *many(),
        done(nasty, 9.0, warnings=[nasty], dice={nasty: 0.5}),
        {"case": nasty + "2", "state": FAILED, "error": error},
        {"case": nasty + "3", "state": SKIPPED, "error": error},
    )
    append_review(tmp_path, Review(nasty, "reject", note=nasty))
    run_record(tmp_path)
    found = page(tmp_path)
    assert len(found.found("script")) == 1
    assert found.cards[0] == nasty


def test_the_input_and_paths_of_the_run_are_not_named(tmp_path: Path) -> None:
    write(tmp_path, done("a"))
    run_record(tmp_path)
    found = page(tmp_path)
    text = Layout(tmp_path).report.read_text(encoding="utf-8").casefold()
    assert "muster" not in text
    assert "/home" not in text
    for words in (
        "hippocampus 1.0.0",
        "precision bf16",
        "budget 2 GB",
        "case 3.1 MB",
        "torch 2.9",
        "segment 1.5 s (75%)",
    ):
        assert words in found.head
    assert "None" not in found.head


def test_verdicts_are_on_the_cards(tmp_path: Path) -> None:
    write(tmp_path, done("a"), done("b"), done("c"))
    append_review(tmp_path, Review("a", "reject", note="wrong side"))
    append_review(tmp_path, Review("b", "accept"))
    append_review(tmp_path, Review("gone", "accept"))
    found = page(tmp_path)
    kinds = {card["data-name"]: card["data-kinds"].split() for card in found.found("article")}
    assert kinds == {"a": ["reject"], "b": ["accept"], "c": ["open"]}
    assert "2 reviewed" in found.head
    assert "a rejected" in found.words["c0"]


def test_a_verdict_on_an_earlier_result_is_said_and_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, done("a"))
    append_review(tmp_path, Review("a", "accept", result="of the run before"))
    found = page(tmp_path)
    assert found.found("article")[0]["data-kinds"].split() == ["open"]
    assert "a accepted: an earlier result" in found.words["c0"]
    assert "1 reviewed" not in found.head


def test_many_labels_are_folded_away_and_unusual_ones_shown(tmp_path: Path) -> None:
    labels = {f"Label {index}": 1.0 + index for index in range(60)}
    rows = [
        done(f"case{index}", volumes_ml={k: v * (1 + index / 500) for k, v in labels.items()})
        for index in range(20)
    ]
    odd = done("odd", volumes_ml={**labels, "Label 59": 900.0, "Label 0": 0.01})
    write(tmp_path, *rows, odd)
    found = page(tmp_path)
    assert "49 more" in found.head
    shown = found.head[: found.head.index("49 more")]
    assert "Label 59" in shown
    assert "Label 0 " in shown
    assert found.cards[0] == "odd"
    assert "Label 0 0.01" in found.words["c0"]
    assert "Label 30 " not in found.words["c0"]


@pytest.mark.parametrize("rows", [[], [{"case": "a", "state": RUNNING}]])
def test_a_run_without_a_finished_case_has_a_page(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    write(tmp_path, *rows)
    Layout(tmp_path).run.write_text("{damaged", encoding="utf-8")
    found = page(tmp_path)
    assert found.cards == []
    assert "No case is finished yet." in found.head


def test_rows_with_gaps_do_not_end_the_report(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"case": "a", "state": DONE},
        done("b", volumes_ml=None, seconds=None, certainty=None, warnings=None, dice=[1]),
        {"case": "c", "state": FAILED, "error": None},
    )
    found = page(tmp_path)
    assert set(found.cards) == {"a", "b"}
    assert "No reason was recorded." in found.head


def test_an_older_page_stays_where_a_new_one_cannot_be_written(tmp_path: Path) -> None:
    layout = write(tmp_path, done("a"))
    layout.report.mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_report(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if "report" in path.name] == ["report.html"]


DOCUMENT = """
function element(id) {
  return {id: id, value: "", hidden: true, textContent: "", heard: {}, children: [],
    addEventListener: function (name, told) { this.heard[name] = told; },
    append: function (one) { for (const child of one.parts || [one]) {
      this.children = this.children.filter(other => other !== child); this.children.push(child); } } };
}
const elements = {};
for (const id of ["cards", "tools", "words", "kind", "order", "shown"]) { elements[id] = element(id); }
elements.order.value = "first";
elements.cards.children = CARDS;
const document = {
  getElementById: id => elements[id],
  createDocumentFragment: () => ({parts: [], append: function (one) { this.parts.push(one); }}),
};
const location = {hash: ""};
function addEventListener() {}
function set(id, value, event) { elements[id].value = value; elements[id].heard[event](); }
function count() { return elements.shown.textContent; }
function names() { return elements.cards.children.filter(c => !c.hidden).map(c => c.dataset.name).join(" "); }
"""


ENGINE = """
import json, sys
from PySide6.QtCore import QCoreApplication
from PySide6.QtQml import QJSEngine
application, engine = QCoreApplication([]), QJSEngine()
print(json.dumps([engine.evaluate(step).toString() for step in json.load(sys.stdin)]))
"""


def test_cards_can_be_sorted_and_filtered(tmp_path: Path) -> None:
    pytest.importorskip("PySide6.QtQml", reason="the script of the page is run by Qt's engine")
    write(
        tmp_path,
        done("scan2", certainty=0.8, seconds={"total": 9.0}),
        done("scan3", certainty=None, seconds={"total": 20.0}, warnings=["Odd gaps."]),
        done("scan1", certainty=0.7, seconds=None),
    )
    append_review(tmp_path, Review("scan1", "accept"))
    found = page(tmp_path)
    cards = [
        {
            "dataset": {
                name.removeprefix("data-"): value for name, value in card.items() if name.startswith("data-")
            },
            "textContent": found.words[card["id"]],
        }
        for card in found.found("article")
    ]
    steps = {
        DOCUMENT.replace("CARDS", json.dumps(cards)) + found.script + "elements.tools.hidden": "false",
        "names()": "scan1 scan2 scan3",
        "set('order', 'name', 'change'); names()": "scan1 scan2 scan3",
        "set('order', 'slow', 'change'); names()": "scan3 scan2 scan1",
        "set('order', 'certainty', 'change'); names()": "scan1 scan2 scan3",
        "set('words', 'ODD gaps', 'input'); names() + ' ' + count()": "scan3 1 of 3",
        "set('words', '', 'input'); set('kind', 'open', 'change'); names()": "scan2 scan3",
        "set('kind', 'accept', 'change'); names()": "scan1",
        "set('kind', '', 'change'); set('order', 'first', 'change'); names()": "scan1 scan2 scan3",
    }
    # In a process of its own: the engine needs an application, and a process has only one.
    ran = subprocess.run(
        [sys.executable, "-c", ENGINE],
        input=json.dumps(list(steps)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == list(steps.values())
