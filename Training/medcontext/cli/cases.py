"""``medcontext data link``, ``remove`` and ``list``: which cases a data set has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medcontext.cli.console import session
from medcontext.cli.options import Json
from medcontext.errors import InputError

if TYPE_CHECKING:
    from medcontext.case_list import CaseSummary, StoreSummary

StoreFolder = Annotated[
    Path, typer.Argument(help="Data set: a folder with dataset.json.", show_default=False)
]

KINDS = {"annotated": "annotated", "unlabelled": "unlabelled", "held_out": "held out", "test": "test"}


def link(
    store: StoreFolder,
    paths: Annotated[
        list[Path],
        typer.Argument(help="Scans: files, DICOM folders, or folders of either.", show_default=False),
    ],
    json: Json = False,
) -> None:
    """List scans without labels where they are. Nothing is copied; training leaves out what vanished."""
    with session(json, gentle=True) as console:
        from medcontext.data.store import CaseStore

        opened = CaseStore.open(store)
        linked = opened.link(paths, console.reporter)
        count = len(opened.cases)
        skipped = [{"path": str(path), "reason": reason} for path, reason in linked.skipped]
        console.result(added=list(linked.added), skipped=skipped, cases=count)
        reasons = [reason if str(path) in reason else f"{path}: {reason}" for path, reason in linked.skipped]
        if not linked.added and len(reasons) == 1:
            raise InputError(reasons[0], "No scan was added.")
        for reason in reasons:
            console.say(f"Left out: {reason}")
        if not linked.added:
            raise InputError(f"None of these {len(reasons)} scans could be added; each is named above.")
        console.say(f"Linked {len(linked.added)} unlabelled scans; {opened.folder} now holds {count} cases.")


def remove(
    store: StoreFolder,
    cases: Annotated[list[str], typer.Argument(help="Ids of the cases.", show_default=False)],
    json: Json = False,
) -> None:
    """Take cases out of a data set. Their files go to its folder 'removed'; linked scans stay untouched."""
    with session(json) as console:
        from medcontext.data.store import CaseStore

        opened = CaseStore.open(store)
        kept = opened.remove(cases)
        console.say(f"Removed {', '.join(cases)}; what was known of them is kept in {kept}.")
        console.result(removed=list(cases), kept=str(kept), cases=len(opened.cases))


def list_cases(store: StoreFolder, json: Json = False) -> None:
    """Show what a data set holds, and which models learnt from each case."""
    with session(json) as console:
        from medcontext.cards import list_cards
        from medcontext.case_list import read_store

        summary = read_store(store)
        if summary.problem is not None:
            raise InputError(summary.problem)
        models = [(card.id, frozenset(card.case_hashes)) for card in list_cards()]
        learnt = [_learnt_by(case, models) for case in summary.cases]
        names = {label.value: label.name for label in summary.labels}
        rows = [
            (case.id, KINDS[case.kind], _labels(case, names), _place(case), case.group, ", ".join(by))
            for case, by in zip(summary.cases, learnt, strict=True)
        ]
        if rows:
            console.table(["Case", "Kind", "Labels", "Where", "Patient", "Learnt by"], rows)
        console.say(f"{len(rows)} cases in {summary.folder}.")
        facts = [_facts(case, by) for case, by in zip(summary.cases, learnt, strict=True)]
        console.result(cases=facts, **_about(summary))


def _learnt_by(case: CaseSummary, models: Sequence[tuple[str, frozenset[str]]]) -> list[str]:
    """Ids of the models whose card names the case's image, as far as its hashes were recorded."""
    hashes = {case.content_hash, case.voxels} - {""}
    return sorted({name for name, seen in models if hashes & seen})


def _labels(case: CaseSummary, names: dict[int, str]) -> str:
    if case.label is None:
        return ""
    if case.labels is None:
        return "all"
    return ", ".join(names.get(value, str(value)) for value in case.labels)


def _place(case: CaseSummary) -> str:
    """How much of the case was annotated, and whether its image was copied into the store."""
    region = "" if case.label is None else case.region
    if case.label is not None and case.region == "slices":
        region = f"{len(case.slices)} slices ({case.axis})"
    parts = [region, "linked" if case.linked else "", "missing" if case.missing else ""]
    return ", ".join(filter(None, parts))


def _facts(case: CaseSummary, learnt_by: list[str]) -> dict[str, Any]:
    return {
        "id": case.id,
        "kind": case.kind,
        "images": list(case.images),
        "label": case.label,
        "labels": case.labels,
        "region": case.region,
        "group": case.group,
        "linked": case.linked,
        "missing": case.missing,
        "learnt_by": learnt_by,
    }


def _about(summary: StoreSummary) -> dict[str, Any]:
    channels = [{"name": name, "modality": modality} for name, modality in summary.channels]
    return {"store": summary.folder, "channels": channels, "labels": summary.labels.to_json()}
