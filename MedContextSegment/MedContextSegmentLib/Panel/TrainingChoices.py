"""Choices that every training has: the network, its size, and the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from MedContextSegmentLib.Panel.QtHelpers import comboData, fillCombo

NETWORKS = ("dynunet", "segresnet", "mednext", "unetr", "swin_unetr", "nnformer", "nnunet")
SIZES = ("small", "medium", "large")
UNTIL_STOPPED = "0"


def offerNetworks(ui: Any, onChanged: Callable[[Any], None]) -> None:
    """Fill ``networkSelector`` and ``sizeSelector``.

    Args:
        ui: has both.
        onChanged: called when another one was chosen.
    """
    fillCombo(ui.networkSelector, [(name, name, "") for name in NETWORKS], NETWORKS[0])
    sizes = [(_("Small"), "small", ""), (_("Medium"), "medium", ""), (_("Large"), "large", "")]
    fillCombo(ui.sizeSelector, sizes, SIZES[0])
    for selector in (ui.networkSelector, ui.sizeSelector):
        selector.connect("currentIndexChanged(int)", onChanged)


class TimeBudget:
    """How long to learn; remembered.

    Args:
        combo: a QComboBox.
        settings: a :class:`Settings.Settings`.
        setting: name of the one that keeps it.
        offered: minutes to choose from; the second one where nothing is remembered.
        onChanged: called when another time was chosen.
    """

    def __init__(
        self,
        combo: Any,
        settings: Any,
        setting: str,
        offered: tuple[str, ...],
        onChanged: Callable[[], None],
    ) -> None:
        self._combo, self._settings, self._setting = combo, settings, setting
        self._offered, self._onChanged = (*offered, UNTIL_STOPPED), onChanged
        combo.connect("currentIndexChanged(int)", self._changed)

    @property
    def minutes(self) -> float | None:
        """How long to learn; None until stopped."""
        return _number(comboData(self._combo)) or None

    def refresh(self) -> None:
        """Offer the times, and choose the one that is remembered."""
        kept = str(getattr(self._settings, self._setting))
        kept = kept if kept == UNTIL_STOPPED or _number(kept) else self._offered[1]
        offered = [*self._offered] if kept in self._offered else [kept, *self._offered]
        items = [
            (_("Until stopped") if key == UNTIL_STOPPED else _("{count} minutes").format(count=key), key, "")
            for key in offered
        ]
        fillCombo(self._combo, items, kept)

    def _changed(self, _index: int) -> None:
        setattr(self._settings, self._setting, comboData(self._combo))
        self._onChanged()


def _number(text: str) -> float:
    """The number; 0 where it is none that can be."""
    try:
        return max(0.0, min(float(text), 1e5))
    except ValueError:
        return 0.0
