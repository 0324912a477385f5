"""What to learn, from what and for how long: the choices of *Fine-tune*, and why they cannot be followed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from slicer.i18n import tr as _

from medcontext.cards import CardSummary
from medcontext.case_list import StoreSummary
from medcontext.label_matching import plain_name
from MedContextSegmentLib.Learn.Command import AUTO
from MedContextSegmentLib.Learn.FineTuneCommand import NONE, FineTuneRequest
from MedContextSegmentLib.Panel.LabelList import LabelList
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.ModelChooser import modelTitles
from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo, selectData, showRow, showText
from MedContextSegmentLib.Panel.TrainingChoices import TimeBudget, offerNetworks
from MedContextSegmentLib.Run.Models import ENCODER, encoderToolTip, modelKey, modelToolTip

SCRATCH = "from scratch"
MINUTES = ("5", "15", "60")


@dataclass(frozen=True)
class _Labels:
    """The labels of a case store as :class:`LabelList` shows them."""

    labels: tuple[str, ...]
    label_colors: tuple[tuple[int, int, int], ...]
    label_values: tuple[int, ...]


class FineTuneOptions:
    """Shows the choices and gives the request.

    Args:
        ui: the widgets of FineTune.ui.
        settings: a :class:`Settings.Settings`.
        context: the panel around.
        onChanged: called when anything was chosen.
    """

    def __init__(self, ui: Any, settings: Any, context: LearnContext, onChanged: Callable[[], None]) -> None:
        self._ui, self._settings, self._context, self._onChanged = ui, settings, context, onChanged
        self._cards: dict[str, CardSummary] = {}
        self._picked = ""  # what a person chose to start from; until then it is the model that segments
        self._shown: Any = None
        self._unticked: dict[Path, list[str]] = {}  # of each store, what a person took away
        widgets = SimpleNamespace(
            labelsList=ui.learntLabelsList,
            labelsLabel=ui.learntLabelsLabel,
            allLabelsButton=ui.allLearntLabelsButton,
            noLabelsButton=ui.noLearntLabelsButton,
        )
        self.labels = LabelList(widgets, self._labelsChanged)
        offerNetworks(ui, self._changed)
        self.budget = TimeBudget(ui.budgetSelector, settings, "trainingMinutes", MINUTES, onChanged)
        keeping = [
            (_("Keep"), AUTO, _("The new model goes on finding them, as well as the old one does.")),
            (_("Forget"), NONE, _("The new model knows the labels above and nothing else.")),
        ]
        fillCombo(ui.keepSelector, keeping, AUTO)
        ui.parentSelector.connect("currentIndexChanged(int)", self._parentChanged)
        ui.keepSelector.connect("currentIndexChanged(int)", self._changed)
        ui.leaveOneOutCheckBox.connect("toggled(bool)", self._changed)

    @property
    def parent(self) -> CardSummary | None:
        """The model or encoder to start from; None from scratch."""
        return self._cards.get(comboData(self._ui.parentSelector))

    @property
    def name(self) -> str:
        """What the id of the new model is made from."""
        store = self._context.store()
        return store.name if store is not None else ""

    @property
    def title(self) -> str:
        """What a person calls such a training."""
        if self.parent is None:
            return _("Train on {name}").format(name=self.name)
        return _("Fine-tune {title} on {name}").format(title=self.parent.title, name=self.name)

    def refresh(self) -> None:
        """Show what the library, the store and the settings hold now."""
        models = [card for card in self._context.models() if card.problem is None]
        encoders = [card for card in self._context.encoders() if card.problem is None]
        self._cards = {modelKey(card): card for card in (*models, *encoders)}
        chosen = self._context.chosenModel()
        wanted = self._picked or (modelKey(chosen) if chosen is not None else "")
        titles = modelTitles(models)
        items = [(titles[modelKey(card)], modelKey(card), modelToolTip(card)) for card in models]
        titles, text = modelTitles(encoders), _("Encoder: {title}")
        items += [
            (text.format(title=titles[modelKey(card)]), modelKey(card), encoderToolTip(card))
            for card in encoders
        ]
        items.append((_("Nothing (from scratch)"), SCRATCH, _("Needs more cases and more time.")))
        fillCombo(self._ui.parentSelector, items, self._preferred(wanted))
        self.budget.refresh()
        self._showLabels()
        self.update()

    def startFrom(self, key: str) -> None:
        """Choose what to start from, as a person would; given as ``id@version``."""
        self._picked = key
        self.refresh()

    def update(self) -> None:
        """Show the rows that are needed now."""
        ui, store = self._ui, self._context.store()
        scratch = self.parent is None
        if store is not self._shown:
            self._showLabels()
            selectData(ui.parentSelector, self._preferred(comboData(ui.parentSelector)))
        others = self._otherLabels(store)
        for name, visible in (("network", scratch), ("size", scratch), ("keep", bool(others))):
            showRow(ui, f"{name}Selector", visible)
        text = _("The model to start from knows {names}, which these cases do not have.")
        ui.keepSelector.toolTip = text.format(names=", ".join(others))
        count = sum(case.kind == "unlabelled" for case in store.cases) if store is not None else 0
        text = _("{count} scan(s) without labels are learnt from as well.") if count else ""
        showText(ui.unlabelledCountLabel, text.format(count=count))
        self._showLeaveOneOut(store)

    def reason(self) -> str:
        """Why nothing can be learnt, as a sentence; "" when it can."""
        store = self._context.store()
        if store is None:
            return _("Choose a case store above, or put a first case into one.")
        if store.problem is not None:
            return store.problem
        if not _annotated(store):
            return _("The case store has no annotated case to learn from: add one.")
        if not self.labels.ticked():
            return _("Tick at least one label to learn.")
        parent = self.parent
        if parent is not None and len(parent.channels) != len(store.channels):
            text = _("'{title}' takes {wanted} image(s) of each patient, these cases have {given}.")
            return text.format(title=parent.title, wanted=len(parent.channels), given=len(store.channels))
        return ""

    def request(self, output: Path) -> FineTuneRequest:
        """What a click of *Start* asks for; :meth:`reason` must be "".

        Args:
            output: folder of the new model.
        """
        ui, settings, store, parent = self._ui, self._settings, self._context.store(), self.parent
        key, isEncoder = (modelKey(parent), parent.kind == ENCODER) if parent is not None else ("", False)
        return FineTuneRequest(
            store=store.folder if store is not None else Path(),
            output=output,
            parent="" if isEncoder else key,
            encoder=key if isEncoder else "",
            network=comboData(ui.networkSelector),
            size=comboData(ui.sizeSelector),
            minutes=self.budget.minutes,
            labels=tuple(self.labels.ticked()) if self.labels.unticked() else (),
            keep=comboData(ui.keepSelector) if self._otherLabels(store) else AUTO,
            leaveOneOut=bool(ui.leaveOneOutCheckBox.enabled and ui.leaveOneOutCheckBox.checked),
            device=settings.device,
            precision=settings.precision,
        )

    def _otherLabels(self, store: StoreSummary | None) -> list[str]:
        """Names of what the parent knows and the cases do not have; an encoder knows none."""
        known = {plain_name(label.name) for label in store.labels} if store is not None else set()
        names = self.parent.labels if self.parent is not None else ()
        return [name for name in names if plain_name(name) not in known]

    def _preferred(self, wanted: str) -> str:
        """What to start from that was wanted; while a person chose none, a model that fits the cases."""
        store = self._context.store()
        fitting = [
            key
            for key, card in self._cards.items()
            if card.kind != ENCODER and (store is None or len(card.channels) == len(store.channels))
        ]
        if wanted and (wanted in fitting or wanted == self._picked):
            return wanted
        return fitting[0] if fitting else SCRATCH

    def _showLabels(self) -> None:
        store = self._shown = self._context.store()
        labels = [*store.labels] if store is not None else []
        shown = _Labels(
            tuple(label.name for label in labels),
            tuple(label.color for label in labels),
            tuple(label.value for label in labels),
        )
        self.labels.show(shown, self._unticked.get(store.folder, ()) if store is not None else ())

    def _showLeaveOneOut(self, store: StoreSummary | None) -> None:
        ui, count, minutes = self._ui, len(_annotated(store)), self.budget.minutes
        ui.leaveOneOutCheckBox.enabled = count > 1 and minutes is not None
        text = ""
        if ui.leaveOneOutCheckBox.enabled and ui.leaveOneOutCheckBox.checked and minutes is not None:
            text = _("{count} more trainings of {minutes:g} minutes: {total:g} minutes longer.").format(
                count=count, minutes=minutes, total=count * minutes
            )
        showText(ui.leaveOneOutTimeLabel, text)

    def _parentChanged(self, _index: int) -> None:
        self._picked = comboData(self._ui.parentSelector)
        self._onChanged()

    def _labelsChanged(self) -> None:
        store = self._context.store()
        if store is not None:
            self._unticked[store.folder] = self.labels.unticked()
        self._onChanged()

    def _changed(self, _what: Any = None) -> None:
        self._onChanged()


def _annotated(store: StoreSummary | None) -> list[Any]:
    """The cases that a training learns from."""
    return [case for case in store.cases if case.kind == "annotated"] if store is not None else []
