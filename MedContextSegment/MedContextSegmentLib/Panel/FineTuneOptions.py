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
from MedContextSegmentLib.Learn.FineTuneCommand import AUTO, NONE, FineTuneRequest
from MedContextSegmentLib.Panel.LabelList import LabelList
from MedContextSegmentLib.Panel.LearnContext import LearnContext
from MedContextSegmentLib.Panel.ModelChooser import modelTitles
from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo, selectData, showRow, showText
from MedContextSegmentLib.Run.Models import modelKey, modelToolTip

SCRATCH = "from scratch"
UNTIL_STOPPED = "0"
MINUTES = ("5", "15", "60", UNTIL_STOPPED)
NETWORKS = ("dynunet", "segresnet", "mednext", "unetr", "swin_unetr", "nnformer")
SIZES = ("small", "medium", "large")


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
        fillCombo(ui.networkSelector, [(name, name, "") for name in NETWORKS], NETWORKS[0])
        sizes = [(_("Small"), "small", ""), (_("Medium"), "medium", ""), (_("Large"), "large", "")]
        fillCombo(ui.sizeSelector, sizes, SIZES[0])
        keeping = [
            (_("Keep"), AUTO, _("The new model goes on finding them, as well as the old one does.")),
            (_("Forget"), NONE, _("The new model knows the labels above and nothing else.")),
        ]
        fillCombo(ui.keepSelector, keeping, AUTO)
        ui.parentSelector.connect("currentIndexChanged(int)", self._parentChanged)
        for selector in (ui.networkSelector, ui.sizeSelector, ui.keepSelector):
            selector.connect("currentIndexChanged(int)", self._changed)
        ui.budgetSelector.connect("currentIndexChanged(int)", self._budgetChanged)
        ui.leaveOneOutCheckBox.connect("toggled(bool)", self._changed)

    @property
    def parent(self) -> CardSummary | None:
        """The model to start from; None from scratch."""
        return self._cards.get(comboData(self._ui.parentSelector))

    @property
    def title(self) -> str:
        """What a person calls such a training."""
        store, parent = self._context.store(), self.parent
        name = store.name if store is not None else ""
        if parent is None:
            return _("Train on {name}").format(name=name)
        return _("Fine-tune {title} on {name}").format(title=parent.title, name=name)

    @property
    def minutes(self) -> float | None:
        """How long to learn; None until stopped."""
        return _minutes(comboData(self._ui.budgetSelector)) or None

    def refresh(self) -> None:
        """Show what the library, the store and the settings hold now."""
        cards = [card for card in self._context.models() if card.problem is None]
        self._cards = {modelKey(card): card for card in cards}
        chosen = self._context.chosenModel()
        wanted = self._picked or (modelKey(chosen) if chosen is not None else "")
        titles = modelTitles(cards)
        items = [(titles[key], key, modelToolTip(card)) for key, card in self._cards.items()]
        items.append((_("Nothing (from scratch)"), SCRATCH, _("Needs more cases and more time.")))
        fillCombo(self._ui.parentSelector, items, self._preferred(wanted))
        self._showBudgets()
        self._showLabels()
        self.update()

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
        return FineTuneRequest(
            store=store.folder if store is not None else Path(),
            output=output,
            parent=modelKey(parent) if parent is not None else "",
            network=comboData(ui.networkSelector),
            size=comboData(ui.sizeSelector),
            minutes=self.minutes,
            labels=tuple(self.labels.ticked()) if self.labels.unticked() else (),
            keep=comboData(ui.keepSelector) if self._otherLabels(store) else AUTO,
            leaveOneOut=bool(ui.leaveOneOutCheckBox.enabled and ui.leaveOneOutCheckBox.checked),
            device=settings.device,
            precision=settings.precision,
        )

    def _otherLabels(self, store: StoreSummary | None) -> list[str]:
        """Names of what the parent knows and the cases do not have."""
        known = {plain_name(label.name) for label in store.labels} if store is not None else set()
        names = self.parent.labels if self.parent is not None else ()
        return [name for name in names if plain_name(name) not in known]

    def _preferred(self, wanted: str) -> str:
        """The model to start from that was wanted; while a person chose none, one that fits the cases."""
        store = self._context.store()
        fitting = [
            key
            for key, card in self._cards.items()
            if store is None or len(card.channels) == len(store.channels)
        ]
        if wanted and (wanted in fitting or wanted == self._picked):
            return wanted
        return fitting[0] if fitting else SCRATCH

    def _showBudgets(self) -> None:
        kept = str(self._settings.trainingMinutes)
        kept = kept if kept == UNTIL_STOPPED or _minutes(kept) else MINUTES[1]
        offered = [*MINUTES] if kept in MINUTES else [kept, *MINUTES]
        items = [
            (_("Until stopped") if key == UNTIL_STOPPED else _("{count} minutes").format(count=key), key, "")
            for key in offered
        ]
        fillCombo(self._ui.budgetSelector, items, kept)

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
        ui, count, minutes = self._ui, len(_annotated(store)), self.minutes
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

    def _budgetChanged(self, _index: int) -> None:
        self._settings.trainingMinutes = comboData(self._ui.budgetSelector)
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


def _minutes(text: str) -> float:
    """The number; 0 where it is none that can be."""
    try:
        return max(0.0, min(float(text), 1e5))
    except ValueError:
        return 0.0
