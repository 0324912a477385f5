"""Whether the chosen output still fits when another volume is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def leaveOtherScan(selector: Any, before: Sequence[Any], now: Sequence[Any]) -> None:
    """Choose a new segmentation as output where the chosen one is of another scan, which a result would mix up.

    Args:
        selector: the combo box of the output; nothing chosen means a new segmentation.
        before: the volumes that were chosen before, by channel.
        now: those that a person has chosen now; only the first one counts.
    """
    output, volume = selector.currentNode(), now[0] if now else None
    if output is None or volume is None or (before and before[0] is volume):
        return
    role = output.GetReferenceImageGeometryReferenceRole()
    if output.GetNodeReferenceID(role) != volume.GetID():
        selector.setCurrentNode(None)
