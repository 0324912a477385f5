"""What a person can do with a case store: start one, add to it, open a case of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from medcontext.case_list import CaseSummary, StoreSummary
from medcontext.errors import CancelledError, InputError, MedContextError
from MedContextSegmentLib.Learn.AddCase import AddCaseRun, AddedCase, CaseProposal
from MedContextSegmentLib.Learn.ChannelChoice import volumesOfModel
from MedContextSegmentLib.Learn.OpenCase import openAllOfCase
from MedContextSegmentLib.Learn.StoreEdits import StoreRequest
from MedContextSegmentLib.Learn.UnlabelledScans import (
    AddedScans,
    AddUnlabelledRun,
    UnlabelledPlan,
    planFolder,
)
from MedContextSegmentLib.Panel.AddCaseDialog import AddCaseDialog
from MedContextSegmentLib.Panel.CaseTexts import addedText, scansText, storeProblem
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.NewStoreDialog import NewStoreDialog
from MedContextSegmentLib.Panel.RunControl import Run, RunControl
from MedContextSegmentLib.Panel.UnlabelledDialog import UnlabelledDialog, planText
from MedContextSegmentLib.Run.RunListener import RunListener


class CaseActions:
    """Asks, then lets the worker do it.

    Args:
        logic: a :class:`Logic.MedContextSegmentLogic`.
        install: has ``ensureInstalled()``, see :mod:`Install`.
        context: the panel around.
        store: gives the chosen store; None where none is, or where it cannot be read now.
        control: keeps the work going.
        say: shows what came of it.
    """

    def __init__(
        self,
        logic: Any,
        install: Any,
        context: LearnContext,
        store: Callable[[], StoreSummary | None],
        control: RunControl,
        say: Callable[[str], None],
    ) -> None:
        self._logic, self._install, self._context = logic, install, context
        self.store, self._control, self.say = store, control, say
        self.onStore: Callable[[Path], None] = lambda _folder: None

    # Stores

    def newStore(self, folder: Path | None = None, then: Callable[[], None] | None = None) -> None:
        """Ask for a new store and make it.

        Args:
            folder: where a person wants it, or None.
            then: called when it was made and chosen.
        """
        wanted = NewStoreDialog(folder, self._context.volumes()).ask()
        if wanted is None:
            return
        fields = {
            "folder": str(wanted.folder),
            "name": wanted.name,
            "labels": [],
            "channels": [{"name": name, "modality": modality} for name, modality in wanted.channels],
        }

        def made(_result: Any) -> None:
            self.say(_("The case store {folder} was made.").format(folder=wanted.folder))
            self.onStore(wanted.folder)
            if then is not None:
                then()

        self.request("create_store", fields, made)

    # Cases

    def addCase(self) -> None:
        """Ask what of the image and the segments on screen is to be learnt from, and add it."""
        store = self.store()
        if not self.mayAdd(store):
            return
        isNew = store is None
        if store is None:
            wanted = NewStoreDialog(None, self._context.volumes(), goesOn=True).ask()
            if wanted is None:
                return
            store = StoreSummary(wanted.folder, wanted.name, wanted.channels, writable=True)
        card, volumes = self._context.chosenModel(), self._context.volumes()
        names = card.channels if card is not None and len(card.channels) == len(volumes) else ()
        proposal = AddCaseDialog(store, volumes, self._context.segmentation(), names, isNew).ask()
        if proposal is not None:
            self.add(store.folder, proposal, isNew)

    def openCase(self, case: CaseSummary) -> tuple[Any, Any] | None:
        """Bring a case into the scene and choose it; None where that failed, which is shown."""
        store = self.store()
        if store is None:
            return None
        qt.QApplication.setOverrideCursor(qt.QCursor(qt.Qt.WaitCursor))
        try:
            opened = openAllOfCase(store, case)
        except MedContextError as error:
            self._tell(error)
            return None
        finally:
            qt.QApplication.restoreOverrideCursor()
        volumes = volumesOfModel(self._context.chosenModel(), store, opened.volumes)
        self._context.choose(volumes, opened.segmentation)
        self.say(_("'{case}' was opened.").format(case=case.id))
        return opened.volumes[0], opened.segmentation

    def addFolder(self) -> None:
        """Ask for a folder of scans without labels and list them in the store."""
        self._withStore(self._addFolder)

    def addVolumes(self) -> None:
        """Ask for volumes of the scene and add them without labels."""
        self._withStore(self._addVolumes)

    def _withStore(self, do: Callable[[StoreSummary], None]) -> None:
        """Do something with the chosen store; one is made first where there is none."""

        def again() -> None:
            made = self.store()
            if made is not None:
                do(made)

        store = self.store()
        if not self.mayAdd(store):
            return
        if store is None:
            self.newStore(None, again)
        else:
            do(store)

    def mayAdd(self, store: StoreSummary | None) -> bool:
        """Whether cases can be added to the store, or to a new one where none is chosen; says why not."""
        folder = self._context.storeFolder()
        problem = storeProblem(store)
        if store is None and folder is not None:
            problem = _("The case store {folder} does not answer yet.").format(folder=folder)
        if problem:
            self._tell(InputError(problem, _("Choose another case store, or try again later.")))
        return not problem

    def _addFolder(self, store: StoreSummary) -> None:
        title = _("Folder of scans without labels")
        chosen = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title)
        if not chosen:
            return
        try:
            plan = planFolder(Path(str(chosen)))
        except MedContextError as error:
            self._tell(error)
            return
        if slicer.util.confirmOkCancelDisplay(planText(plan), _("Add unlabelled scans")):
            self._addScans(store, plan)

    def _addVolumes(self, store: StoreSummary) -> None:
        plan = UnlabelledDialog(store).ask()
        if plan is not None:
            self._addScans(store, plan)

    def _addScans(self, store: StoreSummary, plan: UnlabelledPlan) -> None:
        logic = self._logic

        def begin(listener: RunListener) -> Run:
            return AddUnlabelledRun(logic.worker, plan, store.folder, listener, logic.exchangeRoot)

        def added(scans: AddedScans) -> None:
            self.say(scansText(scans))
            self._context.refreshCases(scans.added[0] if len(scans.added) == 1 else "")

        self.run(begin, added)

    def add(
        self,
        store: Path,
        proposal: CaseProposal,
        isNew: bool,
        replacing: str | None = None,
        then: Callable[[bool], None] = lambda _added: None,
    ) -> None:
        """Add a case to a store, which is made where there is none and it ``isNew``; asks before anything is replaced.

        ``then`` is called at the end, with whether it was added.
        """
        logic = self._logic

        def begin(listener: RunListener) -> Run:
            return AddCaseRun(logic.worker, proposal, store, listener, logic.exchangeRoot, replacing, isNew)

        def over(run: Any) -> None:
            if (
                run.storeMade and self._context.storeFolder() != store
            ):  # also where the case could not be added
                self.onStore(store)
            if run.error is not None:
                then(False)

        def added(case: AddedCase) -> None:
            if self._context.storeFolder() != store:
                self.onStore(store)
            if not case.taken:
                self.say(addedText(case, proposal))
                self._context.refreshCases(case.case)
                then(True)
            elif self._mayReplace(case.taken):
                self.add(store, proposal, False, case.taken, then)
            else:
                self.say(_("Nothing was added."))
                then(False)

        self.run(begin, added, over)

    def _mayReplace(self, case: str) -> bool:
        text = _(
            "The case store holds this image already, as '{case}'. Replace it? What was annotated there before is "
            "kept aside in the folder of the store."
        )
        return bool(slicer.util.confirmOkCancelDisplay(text.format(case=case), _("Add case")))

    def request(self, kind: str, fields: dict[str, Any], done: Callable[[Any], None]) -> None:
        """Ask something of the worker; ``done`` gets its answer."""
        self.run(lambda listener: StoreRequest(self._logic.worker, kind, fields, listener), done)

    def run(
        self,
        begin: Callable[[RunListener], Run],
        done: Callable[[Any], None],
        over: Callable[[Any], None] = lambda _run: None,
    ) -> None:
        """Begin something after installing what is missing.

        Args:
            begin: starts the run.
            done: gets its result; errors are shown.
            over: gets the run when it has ended, before that, however it went.
        """
        self.say("")
        if self._control.running or not self._install.ensureInstalled():
            return

        def ended(run: Any) -> None:
            over(run)
            if run.error is None:
                done(run.result)
            else:
                self._tell(run.error)
                self._context.refreshCases()  # what went wrong may have to do with what it is now

        try:
            self._control.start(begin, ended)
        except MedContextError as error:
            self._tell(error)

    def _tell(self, error: MedContextError) -> None:
        self.say(error.message)
        if not isinstance(error, CancelledError):
            slicer.util.errorDisplay(str(error))
