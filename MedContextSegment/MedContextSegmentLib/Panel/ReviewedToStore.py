"""*Corrected, add case*: a reviewed case of a batch goes into the case store, in one key where nothing is unclear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from medcontext.case_list import StoreSummary
from MedContextSegmentLib.Batch.ReviewedCase import ReviewedCase
from MedContextSegmentLib.Learn.CaseProposal import CaseProposal
from MedContextSegmentLib.Learn.ChannelChoice import volumesFor
from MedContextSegmentLib.Learn.WholeCase import WholeCaseRun, proposingWhole
from MedContextSegmentLib.Panel.AddCaseDialog import AddCaseDialog
from MedContextSegmentLib.Panel.CaseActions import CaseActions
from MedContextSegmentLib.Panel.NewStoreDialog import NewStoreDialog
from MedContextSegmentLib.Panel.RunControl import Run
from MedContextSegmentLib.Run.RunListener import RunListener

Then = Callable[[bool], None]


class ReviewedToStore:
    """Adds cases as *Add case* does; all of the scan counts as finished.

    Args:
        actions: those of the cases of *Learn*.
        logic: a :class:`Logic.MedContextSegmentLogic`.
    """

    def __init__(self, actions: CaseActions, logic: Any) -> None:
        self._actions, self._logic = actions, logic

    def begin(self, case: ReviewedCase, then: Then) -> None:
        """Add a case to the chosen store; a person is asked only what is not clear.

        Args:
            case: the case, whose nodes must stay until the end.
            then: called at the end with whether it was added; not where a person gave up in a dialog.
        """
        store = self._actions.store()
        if not self._actions.mayAdd(store):
            return
        if store is None:
            self._addToNew(case, then)
            return
        volumes = volumesFor(store, case.volumes, case.channels)
        if len(store.channels) != len(case.volumes) or None in volumes:
            self._ask(case, store, then)
        else:
            self._propose(case, store, volumes, then)

    def _addToNew(self, case: ReviewedCase, then: Then) -> None:
        wanted = NewStoreDialog(None, case.volumes, goesOn=True).ask()
        if wanted is not None:
            store = StoreSummary(wanted.folder, wanted.name, wanted.channels, writable=True)
            self._ask(case, store, then, isNew=True)

    def _propose(self, case: ReviewedCase, store: StoreSummary, volumes: list[Any], then: Then) -> None:
        steps = proposingWhole(volumes, case.segmentation, store, case.case)

        def begin(listener: RunListener) -> Run:
            return WholeCaseRun(self._logic.worker, steps, listener)

        def proposed(proposal: CaseProposal) -> None:
            if proposal.problem:
                self._ask(case, store, then)
            else:
                self._actions.add(store.folder, proposal, False, then=then)

        self._actions.run(begin, proposed)

    def _ask(self, case: ReviewedCase, store: StoreSummary, then: Then, isNew: bool = False) -> None:
        dialog = AddCaseDialog(store, case.volumes, case.segmentation, case.channels, isNew, whole=True)
        proposal = dialog.ask()
        if proposal is not None:
            proposal.name = case.case
            self._actions.add(store.folder, proposal, isNew, then=then)
