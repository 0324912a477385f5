"""The volume selectors of the panel: one row for each input channel of the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MedContextSegmentLib.Panel.QtHelpers import quiet
from MedContextSegmentLib.Run.Models import Channels, channelTitle


class ChannelRows:
    """Rows of a form layout, made when a model needs them and hidden when one does not.

    Args:
        layout: the QFormLayout.
        firstRow: number of the row that the first channel gets.
        onChanged: called when another volume is chosen.
    """

    def __init__(self, layout: Any, firstRow: int, onChanged: Callable[[], None]) -> None:
        self._layout, self._firstRow, self._onChanged = layout, firstRow, onChanged
        self._rows: list[tuple[Any, Any]] = []
        self._count = 0

    @property
    def selectors(self) -> list[Any]:
        """The volume selectors in use, in the order of the model's channels."""
        return [selector for _label, selector in self._rows[: self._count]]

    def show(self, card: Channels | None) -> None:
        """Show a row for each channel of a model or of a case store."""
        self._count = len(card.channels) if card is not None else 0
        while len(self._rows) < self._count:
            self._addRow()
        for index, (label, selector) in enumerate(self._rows):
            used = index < self._count
            if used and card is not None:
                title = channelTitle(card, index)
                label.text = _("{channel}:").format(channel=card.channels[index] or title)
                selector.toolTip = _("Volume to segment, {channel}.").format(channel=title)
            label.setVisible(used)
            selector.setVisible(used)

    def nodes(self) -> list[Any]:
        """The chosen volumes; None where none is chosen."""
        return [selector.currentNode() for selector in self.selectors]

    def setNodes(self, nodes: Sequence[Any]) -> None:
        """Choose volumes, without calling back; what is no longer in the scene counts as None."""
        for index, selector in enumerate(self.selectors):
            node = nodes[index] if index < len(nodes) else None
            with quiet(selector):
                selector.setCurrentNode(node if node is not None and node.GetScene() is not None else None)

    def setEnabled(self, enabled: bool) -> None:
        for selector in self.selectors:
            selector.enabled = enabled

    def _addRow(self) -> None:
        number = len(self._rows)
        label = qt.QLabel()
        label.objectName = f"channel{number + 1}Label"
        selector = slicer.qMRMLNodeComboBox()
        selector.objectName = f"channel{number + 1}Selector"
        selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        selector.hideChildNodeTypes = ["vtkMRMLLabelMapVolumeNode"]
        selector.noneEnabled = True
        selector.noneDisplay = _("Choose a volume")
        selector.addEnabled = False
        selector.removeEnabled = False
        selector.renameEnabled = True
        selector.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Fixed)
        selector.setMRMLScene(slicer.mrmlScene)
        selector.connect("currentNodeChanged(vtkMRMLNode*)", self._nodeChanged)
        self._layout.insertRow(self._firstRow + number, label, selector)
        self._rows.append((label, selector))

    def _nodeChanged(self, _node: Any) -> None:
        self._onChanged()
