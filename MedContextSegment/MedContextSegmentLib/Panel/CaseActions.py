"""What a person can do with a case store: start one, add, open, hold out, remove."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from medcontext.case_list import CaseSummary, StoreSummary
from medcontext.errors import MedContextError
from MedContextSegmentLib.Learn.AddCase import AddCaseRun, AddedCase, CaseProposal
from MedContextSegmentLib.Learn.StoreEdits import StoreRequest
from MedContextSegmentLib.Learn.TrainedOn import modelsByHash, trainedOn
from MedContextSegmentLib.Panel.AddCaseDialog import AddCaseDialog
from MedContextSegmentLib.Panel.CaseWork import CaseWork
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.NewStoreDialog import NewStoreDialog
from MedContextSegmentLib.Scene.PaintedSlices import slicesText

NAMED_CASES = 8
"""So many cases are named in a question."""


class CaseActions:
    """Asks, then lets the worker do it.

    Args:
        logic: a :class:`Logic.MedContextSegmentLogic`.
        install: has ``ensureInstalled()``, see :mod:`Install`.
        context: the panel around.
        work: runs what takes time.
        say: shows what came of it.
    """

    def __init__(
        self, logic: Any, install: Any, context: LearnContext, work: CaseWork, say: Callable[[str], None]
    ) -> None:
        self._logic, self._install, self._context, self._work, self._say = logic, install, context, work, say
        self.onStore: Callable[[Path], None] = lambda _folder: None

    # Stores

    def newStore(self, folder: Path | None = None) -> None:
        """Ask for a new store and make it.

        Args:
            folder: where a person wants it, or None.
        """
        wanted = NewStoreDialog(folder, self._context.volumes()).ask()
        if wanted is None or not self._install.ensureInstalled():
            return
        fields = {
            "folder": str(wanted.folder),
            "name": wanted.name,
            "labels": [],
            "channels": [{"name": name, "modality": modality} for name, modality in wanted.channels],
        }

        def made(_run: Any) -> None:
            self._say(_("The case store {folder} was made.").format(folder=wanted.folder))
            self.onStore(wanted.folder)

        self._request(_("Making the case store"), "create_store", fields, made)

    # Cases

    def addCase(self) -> None:
        """Ask what of the image and the segments on screen is to be learnt from, and add it."""
        store = self._context.store()
        if store is None:
            wanted = NewStoreDialog(None, self._context.volumes(), goesOn=True).ask()
            if wanted is None:
                return
            store = StoreSummary(wanted.folder, wanted.name, wanted.channels, writable=True)
        dialog = AddCaseDialog(store, self._context.volumes(), self._context.segmentation())
        proposal = dialog.ask()
        if proposal is not None and self._install.ensureInstalled():
            self._add(store, proposal)

    def openCase(self, case: CaseSummary) -> tuple[Any, Any] | None:
        """Bring a case into the scene and choose it; None where that failed."""
        store = self._context.store()
        if store is None:
            return None
        from MedContextSegmentLib.Learn.OpenCase import openCase

        try:
            nodes = openCase(store, case)
        except MedContextError as error:
            slicer.util.errorDisplay(str(error))
            return None
        self._context.choose([nodes[0]], nodes[1])
        self._say(_("'{case}' was opened.").format(case=case.id))
        return nodes

    def holdOut(self, cases: Sequence[CaseSummary]) -> None:
        """Keep cases for scoring, for good, after asking."""
        text = _(
            "Hold out {cases}? Models will be scored on this, and no training will ever learn from it. "
            "This cannot be undone."
        )
        if cases and slicer.util.confirmOkCancelDisplay(text.format(cases=named(cases)), _("Hold out")):
            self._edit("hold_out", cases, _("Holding out"), _("Held out: {cases}."))

    def remove(self, cases: Sequence[CaseSummary]) -> None:
        """Take cases out of the store, after asking."""
        store = self._context.store()
        if not cases or store is None:
            return
        text = _(
            "Remove {cases} from the case store? Images and labels are moved to a folder inside {folder}, "
            "from where they can be brought back."
        )
        question = text.format(cases=named(cases), folder=store.folder)
        if slicer.util.confirmOkCancelDisplay(question, _("Remove")):
            self._edit("remove", cases, _("Removing"), _("Removed: {cases}."))

    def addUnlabelled(self) -> None:
        """Ask for scans without labels and add them."""

    def sceneCloses(self) -> None:
        """What reads from the scene cannot go on."""

    def modelsOf(self, store: StoreSummary | None) -> dict[str, tuple[str, ...]]:
        """Titles of the models that learnt from each case, by its id."""
        models = modelsByHash(self._context.models())
        cases = store.cases if store is not None else ()
        return {case.id: tuple(trainedOn(case, models)) for case in cases} if models else {}

    def _edit(self, action: str, cases: Sequence[CaseSummary], title: str, done: str) -> None:
        store = self._context.store()
        if store is None or not self._install.ensureInstalled():
            return
        names = [case.id for case in cases]
        fields = {"store": str(store.folder), "action": action, "cases": names}

        def ended(run: Any) -> None:
            text = done.format(cases=named(cases))
            if run.result.get("kept"):
                text += " " + _("The files are kept in {folder}.").format(folder=run.result["kept"])
            self._say(text)
            self._context.refreshCases()

        self._request(title, "edit_store", fields, ended)

    def _request(self, title: str, kind: str, fields: dict[str, Any], ended: Callable[[Any], None]) -> None:
        self._say("")
        self._work.start(
            title, lambda listener: StoreRequest(self._logic.worker, kind, fields, listener), ended
        )

    def _add(self, store: StoreSummary, proposal: CaseProposal, replacing: str | None = None) -> None:
        """Add a case to a store, which is made where there is none; asks before anything is replaced."""
        logic = self._logic

        def begin(listener: Any) -> AddCaseRun:
            return AddCaseRun(logic.worker, proposal, store.folder, listener, logic.exchangeRoot, replacing)

        self._say("")
        self._work.start(_("Adding the case"), begin, lambda run: self._added(store, proposal, run.result))

    def _added(self, store: StoreSummary, proposal: CaseProposal, added: AddedCase) -> None:
        if self._context.storeFolder() != store.folder:
            self.onStore(store.folder)
        if added.taken:
            text = _(
                "The case store holds this image already, as '{case}'. Replace what is annotated there? "
                "The old files are kept aside."
            )
            if slicer.util.confirmOkCancelDisplay(text.format(case=added.taken), _("Add case")):
                self._add(store, proposal, added.taken)
            else:
                self._say(_("Nothing was added."))
            return
        names = {label.value: label.name for label in proposal.known}
        text = _("'{case}' is in the case store: {labels}; {part}.")
        labels = ", ".join(names[value] for value in proposal.finished if value in names)
        self._say(text.format(case=added.case, labels=labels, part=partText(proposal)))
        self._context.refreshCases(added.case)


def partText(proposal: CaseProposal) -> str:
    """Which part of an image is finished."""
    if proposal.region == "slices":
        return _("slices {numbers}").format(numbers=slicesText(proposal.slices))
    return _("inside the ROI") if proposal.region == "roi" else _("the whole image")


def named(cases: Sequence[CaseSummary]) -> str:
    """The cases by name; of many only the first."""
    names = ", ".join(f"'{case.id}'" for case in cases[:NAMED_CASES])
    more = len(cases) - NAMED_CASES
    return names if more <= 0 else _("{names} and {count} more").format(names=names, count=more)
