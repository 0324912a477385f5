"""What a person can do with cases that are in a case store: hold them out, take them away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from medcontext.case_list import CaseSummary
from MedContextSegmentLib.Panel.CaseActions import CaseActions
from MedContextSegmentLib.Panel.CaseTexts import named
from MedContextSegmentLib.Panel.LearnContext import LearnContext


class CaseEdits:
    """Asks, then lets the worker do it.

    Args:
        actions: do the work.
        context: the panel around.
    """

    def __init__(self, actions: CaseActions, context: LearnContext) -> None:
        self._actions, self._context = actions, context

    def holdOut(self, cases: Sequence[CaseSummary]) -> None:
        """Keep cases for scoring, for good, after asking."""
        text = _(
            "Hold out {cases}, for ever? Models are scored on what is held out, and no training will ever learn "
            "from it. This cannot be undone."
        )
        if cases and slicer.util.confirmOkCancelDisplay(text.format(cases=named(cases)), _("Hold out")):
            self._edit("hold_out", cases, _("Held out: {cases}."))

    def remove(self, cases: Sequence[CaseSummary]) -> None:
        """Take cases out of the store, after asking."""
        store = self._actions.store()
        if not cases or store is None:
            return
        text = _(
            "Remove {cases} from the case store? Images and labels that lie in it are kept aside in a folder inside "
            "{folder}; others stay where they are."
        )
        question = text.format(cases=named(cases), folder=store.folder)
        if slicer.util.confirmOkCancelDisplay(question, _("Remove")):
            self._edit("remove", cases, _("Removed: {cases}."))

    def _edit(self, action: str, cases: Sequence[CaseSummary], done: str) -> None:
        store = self._actions.store()
        if store is None:
            return
        fields = {"store": str(store.folder), "action": action, "cases": [case.id for case in cases]}

        def edited(result: Any) -> None:
            lines = [done.format(cases=named(cases))]
            if result.get("kept"):
                lines.append(_("The files are kept in {folder}.").format(folder=result["kept"]))
            self._actions.say(" ".join(lines))
            self._context.refreshCases()

        self._actions.request("edit_store", fields, edited)
