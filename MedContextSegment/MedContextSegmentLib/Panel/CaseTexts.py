"""What is said about cases, in one line each."""

from __future__ import annotations

from collections.abc import Sequence

from slicer.i18n import tr as _

from medcontext.case_list import CaseSummary, StoreSummary
from MedContextSegmentLib.Learn.AddCase import AddedCase, CaseProposal
from MedContextSegmentLib.Learn.UnlabelledScans import AddedScans
from MedContextSegmentLib.Scene.PaintedSlices import slicesText

NAMED_CASES = 8
"""So many cases are named in a question."""


def named(cases: Sequence[CaseSummary]) -> str:
    """The cases by name; of many only the first."""
    names = ", ".join(f"'{case.id}'" for case in cases[:NAMED_CASES])
    more = len(cases) - NAMED_CASES
    return names if more <= 0 else _("{names} and {count} more").format(names=names, count=more)


def addedText(added: AddedCase, proposal: CaseProposal) -> str:
    """What was added: the case, its labels, and which part of it is finished."""
    names = {label.value: label.name for label in proposal.known}
    labels = ", ".join(names[value] for value in proposal.finished if value in names)
    text = _("'{case}' is in the case store: {labels}; {part}.")
    if proposal.heldOut:
        text = _("'{case}' is in the case store and held out: {labels}; {part}.")
    elif added.heldOut:
        text = _(
            "'{case}' is in the case store: {labels}; {part}. This scan was held out once and stays held out."
        )
    return text.format(case=added.case, labels=labels, part=partText(proposal))


def partText(proposal: CaseProposal) -> str:
    """Which part of an image is finished."""
    if proposal.region == "slices":
        return _("slices {numbers}").format(numbers=slicesText(proposal.slices))
    if proposal.region == "as before":
        return _("the same part as before")
    return _("inside the ROI") if proposal.region == "roi" else _("the whole image")


def scansText(scans: AddedScans) -> str:
    """How many scans were added, and why others were not."""
    count = len(scans.added)
    lines = [_("1 scan was added.") if count == 1 else _("{count} scans were added.").format(count=count)]
    if scans.skipped:
        path, reason = scans.skipped[0]
        text = _("{path} was skipped: {reason}")
        if len(scans.skipped) > 1:
            text = _("{path} and {more} more were skipped: {reason}")
        lines.append(text.format(path=path, more=len(scans.skipped) - 1, reason=reason))
    return " ".join(lines)


def storeProblem(store: StoreSummary | None) -> str:
    """Why no case can be added to a store, in one sentence; "" where one can."""
    if store is None:
        return ""
    if store.problem is not None:
        return store.problem
    text = _("The folder {folder} cannot be written to: its cases can be used, but none can be added.")
    return "" if store.writable else text.format(folder=store.folder)


def storeText(store: StoreSummary) -> str:
    """What a store holds: its title where the folder is called otherwise, counts, labels."""
    counts: dict[str, int] = {}
    for case in store.cases:
        counts[case.kind] = counts.get(case.kind, 0) + 1
    parts = [
        _("{count} annotated").format(count=counts.get("annotated", 0)),
        _("{count} unlabelled").format(count=counts.get("unlabelled", 0)),
        _("{count} held out").format(count=counts.get("held_out", 0)),
    ]
    if counts.get("test"):
        parts.append(_("{count} for testing").format(count=counts["test"]))
    lines = [store.name] if store.name != store.folder.name else []
    lines.append(" · ".join(parts))
    if store.labels:
        names = ", ".join(label.name for label in store.labels)
        lines.append(_("Labels: {names}").format(names=names))
    return "\n".join(lines)
