"""What the tests of the batch page and of the review share: what a person does there, and what they read."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from harness.batches import paintIn
from harness.panel import segmentArrays, waitUntil

# The page: ``part`` is a BatchPanel


def batchStatus(part: Any) -> str:
    """The lines below the buttons."""
    return str(part.ui.batchStatusLabel.text).replace("\u200b", "")


def untilListed(part: Any, cases: int) -> None:
    """Wait until so many cases are in the table."""
    assert waitUntil(lambda: part.ui.batchTable.rowCount >= cases), batchStatus(part)


def untilEnded(part: Any) -> None:
    """Wait until no batch goes on, and the panel has heard how it ended and read what it left."""
    assert waitUntil(lambda: not (part.working or part._timer.active or part.follower.looking)), batchStatus(
        part
    )


def tableTexts(part: Any) -> list[tuple[str, ...]]:
    """What a person reads in the table, from top to bottom."""
    return [part.table.texts(row) for row in range(part.ui.batchTable.rowCount)]


# The review: ``part`` is a ReviewQueuePanel


def click(part: Any, button: Any) -> None:
    """Click, and wait until a case is there."""
    assert button.enabled, (button.text, reviewStatus(part))
    button.click()
    assert waitUntil(lambda: not part.control.running)


def shownCase(part: Any) -> str:
    """The case in the scene, "" for none."""
    return str(part.actions.case.case) if part.actions.case is not None else ""


def reviewStatus(part: Any) -> str:
    """The line at the bottom."""
    return str(part.ui.reviewQueueStatusLabel.text).replace("\u200b", "")


def correct(part: Any) -> np.ndarray:
    """Paint into the case that is shown, as a person does; gives its first segment, bool ``(K, J, I)``."""
    case = part.actions.case
    return np.asarray(paintIn(case.segmentation, case.volumes[0]) > 0)


def shownSegments(part: Any) -> dict[str, np.ndarray]:
    """The segments of the case that is shown, by name."""
    return segmentArrays(part.actions.case.segmentation, part.actions.case.volumes[0])


def press(widget: Any, key: str) -> None:
    """A key, as the keyboard sends it to what has the focus."""
    from PySide6 import QtCore, QtTest

    QtTest.QTest.keyClick(widget, getattr(QtCore.Qt.Key, f"Key_{key}"))
    slicer.app.processEvents()
