"""The section Advanced: how this machine computes, installing and the doctor."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from slicer.i18n import tr as _

from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo, quiet


class AdvancedPanel:
    """Shows the settings of the machine and keeps them.

    Args:
        ui: the widgets of the .ui file.
        settings: a :class:`Settings.Settings`.
        onInstall: called by *Install*.
        onOfflinePack: called by *Offline pack*.
        onDoctor: called by *Doctor*.
    """

    def __init__(
        self,
        ui: Any,
        settings: Any,
        onInstall: Callable[[], None],
        onOfflinePack: Callable[[], None],
        onDoctor: Callable[[], None],
    ) -> None:
        self._ui, self._settings = ui, settings
        for name in ("device", "precision", "certainty"):
            selector = getattr(ui, f"{name}Selector")
            selector.connect("currentIndexChanged(int)", partial(self._store, name, selector))
        ui.lowMemoryCheckBox.connect("toggled(bool)", self._storeLowMemory)
        ui.installButton.connect("clicked()", onInstall)
        ui.offlinePackButton.connect("clicked()", onOfflinePack)
        ui.doctorButton.connect("clicked()", onDoctor)
        self.refresh()

    def refresh(self) -> None:
        """Show what the settings hold now."""
        ui, settings = self._ui, self._settings
        devices = [
            (_("Automatic"), "auto", ""),
            (_("Processor (CPU)"), "cpu", ""),
            (_("NVIDIA graphics card (CUDA)"), "cuda", ""),
            (_("Apple graphics (MPS)"), "mps", ""),
        ]
        if settings.device not in [device for _title, device, _tip in devices]:
            devices.append((settings.device, settings.device, ""))
        fillCombo(ui.deviceSelector, devices, settings.device)
        precisions = [
            (_("Automatic"), "auto", ""),
            (_("32 bit (fp32)"), "fp32", ""),
            (_("16 bit (bf16)"), "bf16", ""),
            (_("16 bit (fp16)"), "fp16", ""),
        ]
        fillCombo(ui.precisionSelector, precisions, settings.precision)
        certainties = [
            (_("None"), "none", ""),
            (_("From the prediction"), "entropy", _("Takes no extra time.")),
            (
                _("From masked views"),
                "masked",
                _("Looks several times with parts of the image hidden: slower."),
            ),
        ]
        fillCombo(ui.certaintySelector, certainties, settings.certainty)
        with quiet(ui.lowMemoryCheckBox):
            ui.lowMemoryCheckBox.checked = settings.lowMemory

    def _store(self, name: str, selector: Any, _index: int) -> None:
        """Keep what was chosen, and nothing else: other settings may have been changed elsewhere meanwhile."""
        setattr(self._settings, name, comboData(selector))

    def _storeLowMemory(self, wanted: bool) -> None:
        self._settings.lowMemory = bool(wanted)
