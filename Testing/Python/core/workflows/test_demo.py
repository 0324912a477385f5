"""The demo tells its story from beginning to end, twice in a row, and deletes nothing that is not its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from medcontext.cards import read_summary
from medcontext.errors import InputError
from medcontext.events import Event, Reporter
from medcontext.workflows import demo as module
from medcontext.workflows.demo import demo


@pytest.fixture
def on_balls(monkeypatch: pytest.MonkeyPatch, a_store: Path, a_model: Path) -> None:
    """The demo with balls instead of the sample scans and their model as the bundled one."""
    monkeypatch.setattr(module, "SAMPLE", a_store)
    bundled = replace(read_summary(a_model), id="hippocampus", bundled=True)
    monkeypatch.setattr(module, "list_cards", lambda: [bundled])


@pytest.mark.usefixtures("on_balls")
def test_it_segments_learns_compares_and_says_where_things_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medcontext.engine.timing.LEAST_STEPS", 10)
    monkeypatch.setattr("medcontext.engine.loop.TIMED_STEPS", 4)
    output = tmp_path / "demo"
    (output / "old").mkdir(parents=True)
    (output / "medcontext-demo.json").write_text("{}", encoding="utf-8")
    result = demo(output, minutes=0.001, device="cpu")
    assert not (output / "old").exists()
    assert [row.name for row in result.table] == ["Bundled model", "Supervised", "MedContext"]
    assert all(len(cells) == len(result.columns) for cells in result.rows())
    assert result.table[0].evaluation.mean_dice > 0.7
    for path in result.files.values():
        assert path.exists()
    suffixes = {"".join(path.suffixes) for path in result.files.values()}
    assert {".png", ".nii.gz", ".seg.nrrd", ".csv"} <= suffixes
    said = "\n".join(result.closing_lines())
    assert str(result.files["Picture"]) in said
    assert "medcontext segment" in said


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("years of work", encoding="utf-8")
    with pytest.raises(InputError, match="not from a demo"):
        demo(tmp_path)
    assert (tmp_path / "thesis.docx").read_text(encoding="utf-8") == "years of work"


def test_without_the_bundled_model_it_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a_store: Path
) -> None:
    monkeypatch.setattr(module, "SAMPLE", a_store)
    monkeypatch.setattr(module, "list_cards", list)
    events: list[Event] = []

    def stop(*_: object) -> None:
        raise InputError("enough seen")

    monkeypatch.setattr(module, "train", stop)
    with pytest.raises(InputError, match="enough seen"):
        demo(tmp_path / "demo", reporter=Reporter(events.append))
    assert "is left out" in next(e["message"] for e in events if e["event"] == "warning")
