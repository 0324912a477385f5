"""Draws the icons of the module from their .svg files: ``make icons``."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtSvg

ICONS = Path(__file__).resolve().parents[2] / "MedContextSegment" / "Resources" / "Icons"
SIZES = {"": 128, "_256": 256}
"""End of the file's name -> pixels. Slicer and its extension catalogue ask for 128."""


def draw(source: Path, target: Path, pixels: int) -> None:
    """Write a square PNG with a transparent background."""
    image = QtGui.QImage(pixels, pixels, QtGui.QImage.Format.Format_ARGB32)
    image.fill(QtCore.Qt.GlobalColor.transparent)
    painter = QtGui.QPainter(image)
    QtSvg.QSvgRenderer(str(source)).render(painter)
    painter.end()
    if not image.save(str(target)):
        error = f"{target} could not be written."
        raise OSError(error)


def main() -> None:
    QtGui.QGuiApplication([])
    for source in sorted(ICONS.glob("*.svg")):
        for ending, pixels in SIZES.items():
            draw(source, source.with_name(f"{source.stem}{ending}.png"), pixels)


if __name__ == "__main__":
    main()
