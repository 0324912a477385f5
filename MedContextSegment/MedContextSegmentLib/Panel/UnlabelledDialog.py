"""The dialog that asks which volumes of the scene are to be learnt from without labels, and says what is copied."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import qt
from slicer.i18n import tr as _

from medcontext.case_list import StoreSummary
from medcontext.errors import MedContextError
from MedContextSegmentLib.Learn.UnlabelledScans import UnlabelledPlan, planVolumes
from MedContextSegmentLib.Panel.ChannelRows import ChannelRows
from MedContextSegmentLib.Panel.Dialogs import makeDialog, runDialog
from MedContextSegmentLib.Panel.QtHelpers import quiet, showText
from MedContextSegmentLib.Scene.VolumeChoice import candidateVolumes


class UnlabelledDialog:
    """Asks for volumes: any number for a store of one channel, else those of one case.

    Args:
        store: where they go.

    Attributes:
        plan: what would be linked and copied; None where nothing is chosen or can be added.
    """

    def __init__(self, store: StoreSummary) -> None:
        self._store = store
        self.plan: UnlabelledPlan | None = None
        self.dialog, self.ui = makeDialog("Unlabelled", _("Add unlabelled volumes"))
        ui, self._volumes = self.ui, candidateVolumes()
        self.channels = ChannelRows(ui.unlabelledChannelsArea.layout(), 0, self._changed)
        several = len(store.channels) > 1
        if several:
            names, modalities = zip(*store.channels, strict=True)
            self.channels.show(SimpleNamespace(channels=names, modalities=modalities))
        ui.unlabelledList.setVisible(not several)
        ui.unlabelledChannelsArea.setVisible(several)
        with quiet(ui.unlabelledList):
            for row, node in enumerate(self._volumes):
                ui.unlabelledList.addItem(node.GetName() or "")
                item = ui.unlabelledList.item(row)
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
                item.setCheckState(qt.Qt.Unchecked)
        self._ok = ui.unlabelledButtonBox.button(qt.QDialogButtonBox.Ok)
        self._ok.text = _("Add")
        ui.unlabelledList.connect("itemChanged(QListWidgetItem*)", self._changed)
        ui.unlabelledButtonBox.connect("accepted()", self.dialog.accept)
        ui.unlabelledButtonBox.connect("rejected()", self.dialog.reject)
        self._changed()

    def ask(self) -> UnlabelledPlan | None:
        """Show the dialog; None when the person gave up."""
        return self.plan if runDialog(self.dialog) else None

    def _chosen(self) -> list[Any]:
        if len(self._store.channels) > 1:
            return self.channels.nodes()
        rows = self.ui.unlabelledList
        return [
            node for row, node in enumerate(self._volumes) if rows.item(row).checkState() == qt.Qt.Checked
        ]

    def _changed(self, _what: Any = None) -> None:
        self.plan, chosen = None, self._chosen()
        if any(node is not None for node in chosen):
            try:
                self.plan = planVolumes(chosen, self._store)
                text = planText(self.plan)
            except MedContextError as error:
                text = str(error)
        elif self._volumes:
            text = _("Choose the volumes to learn from.")
        else:
            text = _("There is no volume in the scene.")
        self._ok.enabled = self.plan is not None
        showText(self.ui.unlabelledStatusLabel, text)


def planText(plan: UnlabelledPlan) -> str:
    """What will be linked and what will be copied, in words."""
    lines = [plan.question] if plan.question else []
    if plan.paths:
        lines.append(
            _(
                "These scans stay where they are and are not copied; they are read when a model learns: {paths}."
            ).format(paths=", ".join(str(path) for path in plan.paths))
        )
    return "\n".join(lines)
