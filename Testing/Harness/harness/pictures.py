"""How pictures for the documentation are taken: of the panel, of dialogs, and of Slicer's views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
from PySide6 import QtGui

from harness.views import SliceView, ThreeDView

WIDTH = 400
VIEWS = (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal"))
SIZE = 400


def dark_palette() -> QtGui.QPalette:
    """Light text on dark ground, as Slicer's dark style."""
    palette = QtGui.QPalette()
    roles = QtGui.QPalette.ColorRole
    for role, color in {
        roles.Window: "#353535",
        roles.WindowText: "#f0f0f0",
        roles.Base: "#232323",
        roles.AlternateBase: "#353535",
        roles.ToolTipBase: "#353535",
        roles.ToolTipText: "#f0f0f0",
        roles.Text: "#f0f0f0",
        roles.Button: "#353535",
        roles.ButtonText: "#f0f0f0",
        roles.PlaceholderText: "#a0a0a0",
        roles.Highlight: "#2a82da",
        roles.HighlightedText: "#000000",
    }.items():
        palette.setColor(role, QtGui.QColor(color))
    for role in (roles.WindowText, roles.Text, roles.ButtonText):
        palette.setColor(QtGui.QPalette.ColorGroup.Disabled, role, QtGui.QColor("#808080"))
    return palette


def grab(widget: Any, path: Path, part: Any = None) -> None:
    """The whole panel, or a part of it, as high as it wants to be at :data:`WIDTH` pixels."""
    panel = widget.parent
    layout = panel.layout()
    for _pass in range(3):  # wrapped texts know their height only once their width is known
        panel.resize(WIDTH, max(layout.heightForWidth(WIDTH), layout.sizeHint().height()))
        slicer.app.processEvents()
    (part or panel).grab().save(str(path))


def grabDialog(dialog: Any, path: Path) -> None:
    """A dialog, as high as it wants to be."""
    dialog.show()
    for _pass in range(3):
        dialog.resize(dialog.width, dialog.layout().heightForWidth(dialog.width))
        slicer.app.processEvents()
    dialog.grab().save(str(path))
    dialog.close()


def views(volume: Any, path: Path, overlay: Any = None) -> None:
    """Three slices through the middle of the segments and their surfaces, side by side.

    Args:
        volume: the scan.
        path: PNG to write.
        overlay: certainty volume shown over it, or None.
    """
    segmentation = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    bounds = [0.0] * 6
    segmentation.GetRASBounds(bounds)
    middle = [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
    pictures = []
    for name, orientation in VIEWS:
        view = SliceView(name, orientation, (SIZE, SIZE))
        view.show(volume, overlay, 0.0 if overlay is None else 0.5)
        view.logic.GetSliceNode().JumpSliceByOffsetting(*middle)
        pictures.append(view.grab())
    segmentation.CreateClosedSurfaceRepresentation()
    surfaces = ThreeDView((SIZE, SIZE))
    surfaces.viewNode.SetBoxVisible(False)
    surfaces.viewNode.SetAxisLabelsVisible(False)
    surfaces.look()
    pictures.append(surfaces.grab())
    row = np.ascontiguousarray(np.concatenate(pictures, axis=1))
    height, width, _colors = row.shape
    image = QtGui.QImage(row.data, width, height, 3 * width, QtGui.QImage.Format.Format_RGB888)
    image.save(str(path))


def joined(path: Path, picture: Any) -> None:
    """Put a picture ``(height, width, 3)`` to the right of the one in a file."""
    height, width, _colors = picture.shape
    right = QtGui.QImage(picture.data, width, height, 3 * width, QtGui.QImage.Format.Format_RGB888)
    left = QtGui.QImage(str(path))
    both = QtGui.QImage(left.width() + width, max(left.height(), height), QtGui.QImage.Format.Format_RGB888)
    both.fill(QtGui.QColor("white"))
    painter = QtGui.QPainter(both)
    painter.drawImage(0, 0, left)
    painter.drawImage(left.width(), 0, right)
    painter.end()
    both.save(str(path))
