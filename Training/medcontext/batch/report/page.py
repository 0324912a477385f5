"""The whole page: head, failures, strips and cards in the order in which they need a person."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from medcontext.batch.report import facts
from medcontext.batch.report.cases import Card, failed_cases, part, skipped_places
from medcontext.batch.report.strips import Color, spread
from medcontext.batch_ledger import (
    DONE,
    FAILED,
    SKIPPED,
    Layout,
    Row,
    find_outliers,
    read_reviews,
    read_rows,
    review_order,
    standing_reviews,
)
from medcontext.errors import InputError
from medcontext.io.atomic import replacing
from medcontext.jobs.files import read_json


def write_report(out: Path) -> Path:
    """Write ``report.html`` from the ledgers, reviews and ``batch.json`` of an output folder, whole or not at all.

    One file that needs no network; thumbnails are read from ``report/`` as they come into view.

    Returns:
        The file.

    Raises:
        InputError: a ledger cannot be read or the page cannot be written.
        ResourceError: the disk is full.
    """
    layout = Layout(out)
    page = _page(layout)
    with replacing(layout.report) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return layout.report


def _page(layout: Layout) -> str:
    rows, run = read_rows(layout.root), _run(layout)
    reviews, void = standing_reviews(rows, read_reviews(layout.root))
    outliers = find_outliers(rows)
    order = review_order(rows, outliers)
    places = {case: f"c{index}" for index, case in enumerate(order)}
    pictures = _names_in(layout.thumbnail("x").parent)
    cards = [
        Card(
            case,
            rows[case],
            place,
            outliers.get(case, ()),
            reviews.get(case),
            void.get(case),
            layout.thumbnail(case).name in pictures,
        )
        for case, place in places.items()
    ]
    template = (files("medcontext") / "resources" / "batch_report.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        title=escape(facts.title(run)),
        subtitle=escape(facts.subtitle(rows)),
        counts=facts.counts(rows, len(outliers), len(reviews)),
        facts=facts.about(rows, run),
        failed=failed_cases(_with_state(rows, FAILED)),
        strips=spread(layout, _with_state(rows, DONE), outliers, places, _colors(run)),
        empty="" if cards else "No case is finished yet.",
        cards="\n".join(card.html() for card in cards),
        skipped=skipped_places(_with_state(rows, SKIPPED)),
    )


def _run(layout: Layout) -> dict[str, Any]:
    try:
        return read_json(layout.run) or {}
    except InputError:  # the page is about the cases; it then says less of the run
        return {}


def _with_state(rows: dict[str, Row], state: str) -> dict[str, Row]:
    return {case: rows[case] for case in sorted(rows) if rows[case].get("state") == state}


def _names_in(folder: Path) -> set[str]:
    """One look at the folder instead of one for each case."""
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _colors(run: dict[str, Any]) -> dict[str, Color]:
    labels = part(run, "model").get("labels")
    found: dict[str, Color] = {}
    for label in labels if isinstance(labels, list) else ():
        color = label.get("color") if isinstance(label, dict) else None
        if isinstance(color, list) and len(color) == 3 and all(isinstance(value, int) for value in color):
            found[str(label.get("name"))] = (color[0], color[1], color[2])
    return found
